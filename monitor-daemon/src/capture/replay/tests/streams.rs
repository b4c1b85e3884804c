//! Streams: bytes that arrive late, in pieces, or never.

use std::cell::Cell;
use std::io::{PipeWriter, Write as _, pipe};
use std::path::PathBuf;

use monitor_engine::{EngineConfig, LinkType};
use monitor_tests::wiregen::LinkLayer;

use super::capture;
use crate::capture::replay::stream::Stream;
use crate::capture::replay::*;

fn replay() -> (Replay, PipeWriter) {
    let (reader, writer) = pipe().unwrap();
    let stream = Stream::new(PathBuf::from("a stream"), Box::new(reader));
    (Replay::of_stream(stream, Options::default()), writer)
}

/// Writes each part once the replay waits and has read as many packets as the parts before have.
fn run(parts: &[(&[u8], u64)]) -> (Result<(), ReplayError>, u64) {
    let (replay, writer) = replay();
    let mut writer = Some(writer);
    let mut parts = parts.iter();
    let expected = Cell::new(0);
    let mut engine = Engine::new(EngineConfig::default(), ()).unwrap();
    let (notify, notified) = std::sync::mpsc::channel();
    let result = replay.run(
        0,
        &mut engine,
        &mut |engine: &mut Engine<()>, left: Duration| {
            if left.is_zero() {
                return true;
            }
            if engine.counters().packets.get() == expected.get() {
                match parts.next() {
                    Some((bytes, packets)) => {
                        if let Some(writer) = &mut writer {
                            writer.write_all(bytes).unwrap();
                        }
                        expected.set(expected.get() + packets);
                    }
                    None => writer = None,
                }
            }
            notified.recv().unwrap();
            true
        },
        move || {
            // The receiver is gone at the end.
            let _ = notify.send(());
        },
    );
    (result, engine.counters().packets.get())
}

#[test]
fn what_has_arrived_is_read_while_the_stream_is_idle() {
    let capture = capture(LinkLayer::Ethernet, 20_000);
    let frames = &capture.frames;
    let half = frames.len() / 2;
    let whole = capture.pcap();
    let at = 24
        + frames[..half]
            .iter()
            .map(|frame| 16 + frame.data.len())
            .sum::<usize>();
    let parts: [(&[u8], u64); 4] = [
        (&whole[..3], 0),
        (&whole[3..at], half as u64),
        (&whole[at..at + 7], 0),
        (&whole[at + 7..], (frames.len() - half) as u64),
    ];
    // An incomplete record gives no packet.
    let (result, packets) = run(&parts);
    result.unwrap();
    assert_eq!(packets, frames.len() as u64);
}

#[test]
fn a_packet_after_a_pause_is_read_before_the_next_one_arrives() {
    let mut capture = capture(LinkLayer::Ethernet, 100);
    let count = capture.frames.len() as u64;
    // Far from each other: the time of the last packet is only confirmed by the next one.
    for (hours, frame) in (0..).zip(&mut capture.frames) {
        frame.time += hours * 3_600_000_000_000;
    }
    let whole = capture.pcap();
    let mut parts = vec![(&whole[..24], 0)];
    let mut at = 24;
    for frame in &capture.frames {
        let end = at + 16 + frame.data.len();
        parts.push((&whole[at..end], 1));
        at = end;
    }
    let (result, packets) = run(&parts);
    result.unwrap();
    assert_eq!(packets, count);
}

#[test]
fn a_stream_of_something_else_is_an_error_at_its_first_bytes() {
    let (result, _) = run(&[(b"GET / HTTP/1.1\r\n", 0)]);
    assert_eq!(
        result.unwrap_err().to_string(),
        "a stream is neither a pcap nor a pcapng file (it starts with 47 45 54 20): give a capture as tcpdump -w or \
         Wireshark writes it, plain or compressed by gzip, bzip2, xz, zstd or lz4"
    );
    let (result, _) = run(&[]);
    assert!(
        matches!(result, Err(ReplayError::Empty { .. })),
        "{result:?}"
    );
}

#[test]
fn a_stream_is_given_alone() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("one.pcap");
    std::fs::write(&file, capture(LinkLayer::Ethernet, 10).pcap()).unwrap();
    for other in ["-", "tcp://127.0.0.1:9"] {
        let error = Replay::open(&[file.clone(), other.into()], Options::default()).unwrap_err();
        assert!(
            matches!(error, ReplayError::SeveralStreams { .. }),
            "{error:?}"
        );
    }
}

#[test]
fn the_link_type_of_a_stream_is_that_of_its_header() {
    let capture = capture(LinkLayer::Raw, 100);
    let (_, packets) = run(&[(&capture.pcap(), capture.frames.len() as u64)]);
    assert_eq!(packets, capture.frames.len() as u64);
    assert_eq!(
        super::expected(&capture, LinkType::Ip).len() as u64,
        packets
    );
}

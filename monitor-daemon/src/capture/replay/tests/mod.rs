//! Unit tests of the replay: generated files of every format, and damaged files.

mod compression;
mod formats;
mod links;
mod streams;

use std::io::{Cursor, Write};
use std::path::Path;
use std::time::{Duration, Instant};

use flate2::Compression;
use flate2::write::GzEncoder;
use monitor_engine::{LinkType, Packet};
use monitor_tests::wiregen::{Capture, End, Flow, Layers, LinkLayer, Random};

use super::*;
use crate::status::CaptureStatus as _;

/// Time, link type and bytes of every packet of a file, and the end of the file.
type Contents = (Vec<(u64, LinkType, Vec<u8>)>, Result<(), Broken>);

fn open(bytes: &[u8]) -> Result<CaptureFile, ReplayError> {
    CaptureFile::read(
        Path::new("test.pcap"),
        Box::new(Cursor::new(bytes.to_vec())),
    )
}

fn drain(file: &mut CaptureFile) -> Contents {
    let mut packets = Vec::new();
    loop {
        let more = file.batch(u64::MAX, |batch| {
            assert!(!batch.is_empty() && batch.len() <= file::BATCH);
            packets.extend(
                batch
                    .iter()
                    .map(|packet| (packet.time, packet.link, packet.data.to_vec())),
            );
        });
        match more {
            Ok(More::Yes) => {}
            Ok(More::No | More::Later(_) | More::Pending) => return (packets, Ok(())),
            Err(broken) => return (packets, Err(broken)),
        }
    }
}

fn contents(bytes: &[u8]) -> Contents {
    drain(&mut open(bytes).expect("a capture"))
}

fn capture(link: LinkLayer, bytes: usize) -> Capture {
    let mut flow = Flow::new("10.0.0.1:40000", "10.0.0.2:80");
    flow.open()
        .send(End::Server, &Random::new(1).bytes(bytes))
        .close();
    Capture::of(&Layers::on(link), &flow)
}

fn expected(capture: &Capture, link: LinkType) -> Vec<(u64, LinkType, Vec<u8>)> {
    capture
        .frames
        .iter()
        .map(|frame| (frame.time, link, frame.data.clone()))
        .collect()
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

#[test]
fn a_replay_counts_its_packets() {
    let capture = capture(LinkLayer::Ethernet, 10_000);
    let dir = tempfile::tempdir().unwrap();
    let [whole, cut, radio] = ["whole", "cut", "radio"].map(|name| dir.path().join(name));
    std::fs::write(&whole, gzip(&capture.pcapng())).unwrap();
    let pcap = capture.pcap();
    std::fs::write(&cut, &pcap[..pcap.len() - 1]).unwrap();
    std::fs::write(
        &radio,
        Capture {
            link_type: 127,
            ..capture.clone()
        }
        .pcap(),
    )
    .unwrap();

    let options = Options {
        workers: 1,
        ..Options::default()
    };
    let replay = Replay::open(&[whole, cut, radio], options).unwrap();
    let mut engine = Engine::new(monitor_engine::EngineConfig::default(), ()).unwrap();
    assert!(!replay.status().snapshot().finished);
    replay.run(0, &mut engine, &mut |_, _| true, || ()).unwrap();

    let snapshot = replay.status().snapshot();
    assert!(snapshot.finished && snapshot.interfaces.iter().all(|file| !file.up));
    let counter = |name| {
        snapshot
            .counters
            .iter()
            .find(|counter| counter.0 == name)
            .unwrap()
            .2
    };
    let frames = capture.frames.len() as u64;
    let last = capture.frames.last().unwrap().data.len() as u64;
    assert_eq!(counter("rx_packets"), 2 * frames - 1);
    assert_eq!(counter("rx_bytes"), 2 * capture.bytes() - last);
    assert_eq!(
        (counter("skipped_frames"), counter("broken_files")),
        (frames, 1)
    );
    assert_eq!(engine.counters().packets.get(), 2 * frames - 1);
    assert_eq!(
        engine.reader().connections(None).count(),
        1,
        "the same SYN at the same time is a copy"
    );
}

#[test]
fn packets_are_delivered_at_the_recorded_speed() {
    let due = [0, 2, 60, 62, 62].map(Duration::from_millis);
    let packets = [0, 1, 30, 31, 10].map(|ms| Packet {
        time: 5_000_000_000 + ms * 1_000_000,
        ..file::NOTHING
    });
    let mut engine = Engine::new(monitor_engine::EngineConfig::default(), ()).unwrap();
    let start = Instant::now();
    let mut pauses = Vec::new();
    let mut besides = |engine: &mut Engine, left: Duration| {
        let done = engine.counters().packets.get() as usize;
        pauses.push((done, start.elapsed() + left));
        if done == packets.len() {
            return false;
        }
        std::thread::sleep(left);
        true
    };
    let mut pace = Pace::new(Some(0.5), &mut besides);
    pace.each(&packets[..3], &mut engine);
    assert!(
        start.elapsed() >= due[2],
        "the third packet came after {:?}",
        start.elapsed()
    );
    pace.each(&packets[3..], &mut engine);
    assert!(!pace.stopped() && engine.counters().packets.get() == 5);
    // The idle hook ends the replay before this packet is due: it is not delivered.
    let late = Packet {
        time: 3_600_000_000_000,
        ..file::NOTHING
    };
    pace.each(&[late], &mut engine);
    assert!(pace.stopped() && engine.counters().packets.get() == 5);
    for (done, until) in pauses.iter().filter(|(done, _)| *done < 5) {
        assert!(
            *until >= due[*done],
            "packet {done} is due after {:?}, not {until:?}",
            due[*done]
        );
    }
    assert!(pauses.iter().any(|(done, _)| *done == 2), "{pauses:?}");
}

/// Compares the number of packets of every public capture beside the checkout with an independent reader.
#[test]
fn public_captures_have_the_expected_number_of_packets() {
    let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/corpus");
    let Ok(index) = std::fs::read_to_string(corpus.join("index.jsonl")) else {
        println!(
            "SKIPPED public_captures_have_the_expected_number_of_packets: there is no {}",
            corpus.display()
        );
        return;
    };
    for line in index.lines() {
        let entry: serde_json::Value = serde_json::from_str(line).unwrap();
        let name = entry["file"].as_str().unwrap();
        let mut file = CaptureFile::open(&corpus.join("pcaps").join(name)).unwrap();
        let (packets, end) = drain(&mut file);
        let skipped: u64 = file.skipped().map(|(_, frames)| frames).sum();
        assert_eq!(
            packets.len() as u64 + skipped,
            entry["packets"].as_u64().unwrap(),
            "{name}"
        );
        // Two of them are truncated in their last record.
        assert!(
            matches!(end, Ok(()) | Err(Broken::Truncated { .. })),
            "{name}: {end:?}"
        );
    }
}

//! Unit tests of the replay: generated files of every format, and damaged files.

use std::io::{Cursor, Write};
use std::path::Path;
use std::time::{Duration, Instant};

use flate2::Compression;
use flate2::write::GzEncoder;
use monitor_engine::{LinkType, Packet};
use monitor_tests::wiregen::{
    Block, Capture, End, Flow, Layers, LinkLayer, PcapFlavour, PcapNg, Random,
};

use super::*;
use crate::status::CaptureStatus as _;
use crate::util::chain::Chain;

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
            Ok(More::No | More::Later(_)) => return (packets, Ok(())),
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
fn every_pcap_variant_is_read() {
    let capture = capture(LinkLayer::Ethernet, 1_000_000);
    assert!(capture.bytes() > 3 * 262_144, "more than the buffer holds");
    for big_endian in [false, true] {
        for nanoseconds in [false, true] {
            let (packets, end) = contents(&capture.pcap_as(PcapFlavour {
                big_endian,
                nanoseconds,
            }));
            end.unwrap();
            assert_eq!(
                packets,
                expected(&capture, LinkType::Ethernet),
                "{big_endian} {nanoseconds}"
            );
        }
    }
}

#[test]
fn every_supported_link_type_is_read() {
    let layers = [
        (LinkLayer::Ethernet, LinkType::Ethernet),
        (LinkLayer::Raw, LinkType::Ip),
        (LinkLayer::Sll, LinkType::LinuxSll),
        (LinkLayer::Sll2, LinkType::LinuxSll2),
        (LinkLayer::Null, LinkType::Null),
        (LinkLayer::Loop, LinkType::Null),
    ];
    for (layer, link) in layers {
        let capture = capture(layer, 5000);
        for file in [capture.pcap(), capture.pcapng()] {
            let (packets, end) = contents(&file);
            end.unwrap();
            assert_eq!(packets, expected(&capture, link), "{layer:?}");
        }
    }
    for link_type in [12, 14, 228, 229] {
        assert_eq!(link::link(link_type), Some(LinkType::Ip));
    }
}

#[test]
fn pcapng_sections_have_their_own_interfaces_and_clocks() {
    for big_endian in [false, true] {
        let mut file = PcapNg::new(big_endian);
        file.section()
            .interface(1, 6, 0)
            .interface(101, 0x80 | 10, 100)
            .block(0x0bad_0000, &[1, 2, 3, 4]);
        file.packet(Block::Enhanced, 1, 1536, b"odd");
        file.packet(Block::Obsolete, 0, 2_000_001, b"even");
        file.packet(Block::Simple, 0, 0, b"simple");
        file.packet(Block::Enhanced, 7, 0, b"of an interface that is not there");
        // The next section has the other byte order and its own interfaces.
        file.big_endian(!big_endian).section().interface(276, 9, -1);
        file.packet(Block::Enhanced, 0, 5_000_000_000, b"later");
        let mut file = open(&file.finish()).unwrap();
        let (packets, end) = drain(&mut file);
        end.unwrap();
        let expected: [(u64, LinkType, &[u8]); 4] = [
            (101_500_000_000, LinkType::Ip, b"odd"),
            (2_000_001_000, LinkType::Ethernet, b"even"),
            (2_000_001_000, LinkType::Ethernet, b"simple"),
            (4_000_000_000, LinkType::LinuxSll2, b"later"),
        ];
        let got: Vec<_> = packets
            .iter()
            .map(|(time, link, data)| (*time, *link, &data[..]))
            .collect();
        assert_eq!(got, expected);
        assert_eq!(file.unknown_interface(), 1);
    }
}

#[test]
fn gzipped_files_are_recognized_by_content() {
    let capture = capture(LinkLayer::Ethernet, 1_000_000);
    let dir = tempfile::tempdir().unwrap();
    // Two members, as of `cat a.gz b.gz`, without the suffix in the name.
    let whole = capture.pcap();
    let (front, back) = whole.split_at(whole.len() / 3);
    let path = dir.path().join("capture");
    std::fs::write(&path, [gzip(front), gzip(back)].concat()).unwrap();
    let (packets, end) = drain(&mut CaptureFile::open(&path).unwrap());
    end.unwrap();
    assert_eq!(packets, expected(&capture, LinkType::Ethernet));

    let cut = gzip(&whole);
    std::fs::write(&path, &cut[..cut.len() / 2]).unwrap();
    let (packets, end) = drain(&mut CaptureFile::open(&path).unwrap());
    assert!(matches!(end, Err(Broken::Read { .. })), "{end:?}");
    assert!(packets.len() > 100 && packets.len() < capture.frames.len());
    assert!(expected(&capture, LinkType::Ethernet).starts_with(&packets));
}

#[test]
fn truncated_files_are_used_up_to_the_truncation() {
    let capture = capture(LinkLayer::Ethernet, 4000);
    for file in [capture.pcap(), capture.pcapng()] {
        let all = expected(&capture, LinkType::Ethernet);
        let mut seen = 0;
        for length in (4..file.len()).step_by(3).chain([file.len() - 1]) {
            let (packets, end) = contents(&file[..length]);
            assert!(all.starts_with(&packets));
            assert!(
                packets.len() >= seen,
                "a longer file gives no fewer packets"
            );
            seen = packets.len();
            match end {
                Ok(()) => {}
                Err(Broken::Truncated { offset }) => assert!((offset as usize) < length),
                Err(other) => panic!("cut to {length}: {other}"),
            }
        }
        assert_eq!(seen, all.len() - 1);
    }
}

#[test]
fn files_of_other_formats_are_refused_by_name() {
    let refused = |bytes: &[u8]| open(bytes).err().map(|error| error.to_string()).unwrap();
    assert_eq!(
        refused(b""),
        "test.pcap is empty: a capture has at least a file header"
    );
    assert_eq!(
        refused(b"#!/bin/sh"),
        "test.pcap is neither a pcap nor a pcapng file (it starts with 23 21 2f 62): give a capture as \
         tcpdump -w or Wireshark writes it, gzipped or not"
    );
    let missing = Replay::open(&["/nonexistent.pcap".into()], Options::default()).unwrap_err();
    assert_eq!(
        Chain(&missing).to_string(),
        "cannot open /nonexistent.pcap: No such file or directory (os error 2)"
    );
    let directory = Replay::open(&["/".into()], Options::default()).unwrap_err();
    assert_eq!(
        directory.to_string(),
        "/ is not a regular file: write the capture to a file first"
    );
}

#[test]
fn unsupported_link_types_are_counted() {
    let mut capture = capture(LinkLayer::Ethernet, 4000);
    capture.link_type = 127;
    let mut file = open(&capture.pcap()).unwrap();
    let (packets, end) = drain(&mut file);
    end.unwrap();
    assert_eq!(packets, []);
    assert_eq!(
        file.skipped().collect::<Vec<_>>(),
        [(127, capture.frames.len() as u64)]
    );
    assert_eq!(link::name(127), "127 (IEEE 802.11 radiotap)");
    assert_eq!(link::name(9999), "9999");
}

#[test]
fn claimed_lengths_do_not_allocate_memory() {
    let mut pcap = Capture {
        link_type: 1,
        frames: Vec::new(),
    }
    .pcap();
    pcap.extend([0; 8]);
    pcap.extend([0xff; 8]);
    let (packets, end) = contents(&pcap);
    assert_eq!(packets, []);
    assert!(
        matches!(end, Err(Broken::Malformed { offset: 24, .. })),
        "{end:?}"
    );

    // A packet block must not have that length; any other block is skipped without being read into memory.
    for (kind, truncated) in [(6_u32, false), (0x0bad_0000, true)] {
        let mut pcapng = PcapNg::new(false).section().interface(1, 6, 0).finish();
        pcapng.extend(kind.to_le_bytes());
        pcapng.extend(0xffff_fff0_u32.to_le_bytes());
        pcapng.extend([0; 100]);
        let (_, end) = contents(&pcapng);
        assert_eq!(
            matches!(end, Err(Broken::Truncated { .. })),
            truncated,
            "{end:?}"
        );
        assert!(end.is_err());
    }
}

#[test]
fn arbitrary_bytes_never_panic() {
    let mut random = Random::new(7);
    let capture = capture(LinkLayer::Ethernet, 3000);
    let good = [capture.pcap(), capture.pcapng(), {
        let mut file = PcapNg::new(true);
        file.section()
            .interface(1, 6, 5)
            .packet(Block::Obsolete, 0, 1, b"a")
            .packet(Block::Simple, 0, 1, b"b");
        file.finish()
    }];
    for round in 0..3_000 {
        let mut bytes = good[round % good.len()].clone();
        for _ in 0..=random.below(8) {
            let at = 4 + random.below(bytes.len().min(400) - 4);
            bytes[at] = if random.chance(30) {
                0xff
            } else {
                random.number() as u8
            };
        }
        bytes.truncate(4 + random.below(bytes.len() - 3));
        let _ = contents(&bytes);
    }
}

#[test]
fn a_replay_counts_what_it_reads() {
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
    replay.run(0, &mut engine, &mut |_, _| true);

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

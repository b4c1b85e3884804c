//! Formats of files, valid and malformed.

use monitor_engine::LinkType;
use monitor_tests::wiregen::{Block, Capture, LinkLayer, PcapFlavour, PcapNg, Random};

use super::{capture, contents, drain, expected, open};
use crate::capture::replay::*;
use crate::util::chain::Chain;

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
        let frame = [0x45; 20];
        assert_eq!(
            link::link(link_type, &frame, false),
            Some((LinkType::Ip, &frame[..]))
        );
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
         tcpdump -w or Wireshark writes it, plain or compressed by gzip, bzip2, xz, zstd or lz4"
    );
    let missing = Replay::open(&["/nonexistent.pcap".into()], Options::default()).unwrap_err();
    assert_eq!(
        Chain(&missing).to_string(),
        "cannot open /nonexistent.pcap: No such file or directory (os error 2)"
    );
    let directory = Replay::open(&["/".into()], Options::default()).unwrap_err();
    assert_eq!(
        directory.to_string(),
        "/ is neither a file nor a named pipe: write the capture to a file first"
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

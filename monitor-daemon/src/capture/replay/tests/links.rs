//! Link types with headers that are removed: the IP packet is found, and other frames are skipped.

use monitor_engine::LinkType;
use monitor_tests::wiregen::Random;

use crate::capture::replay::link::{is_stripped, link};

/// An IPv4 header; the rest is of no interest here.
const IP: [u8; 20] = [
    0x45, 0, 0, 20, 0, 0, 0, 0, 64, 6, 0, 0, 10, 0, 0, 1, 10, 0, 0, 2,
];

fn frame(parts: &[&[u8]]) -> Vec<u8> {
    [&parts.concat()[..], &IP].concat()
}

#[track_caller]
fn assert_found(link_type: u16, parts: &[&[u8]], big_endian: bool) {
    let bytes = frame(parts);
    assert!(is_stripped(link_type));
    assert_eq!(
        link(link_type, &bytes, big_endian),
        Some((LinkType::Ip, &IP[..])),
        "{link_type}: {parts:x?}"
    );
    for len in 0..bytes.len() - IP.len() {
        assert_eq!(link(link_type, &bytes[..len], big_endian), None, "{len}");
    }
}

#[track_caller]
fn assert_skipped(link_type: u16, parts: &[&[u8]]) {
    assert_eq!(link(link_type, &frame(parts), false), None, "{parts:x?}");
}

#[test]
fn ppp_and_cisco_hdlc() {
    assert_found(9, &[&[0xff, 3, 0, 0x21]], false);
    assert_found(9, &[&[0, 0x21]], false);
    assert_found(50, &[&[0xff, 3, 0x21]], false);
    assert_found(51, &[&[0x11, 0, 0, 1, 0, 22, 0, 0x21]], false);
    assert_found(104, &[&[0x0f, 0, 8, 0]], false);
    // LCP; a keep-alive of Cisco HDLC.
    assert_skipped(9, &[&[0xff, 3, 0xc0, 0x21]]);
    assert_skipped(104, &[&[0x8f, 0, 0x80, 0x35]]);
}

#[test]
fn netfilter_log() {
    let little: [&[u8]; 3] = [&[2, 0, 0, 5], &[5, 0, 10, 0, b'p', 0, 0, 0], &[24, 0, 9, 0]];
    let big: [&[u8]; 3] = [&[2, 0, 0, 5], &[0, 8, 0, 1, 8, 0, 1, 0], &[0, 24, 0, 9]];
    assert_found(239, &little, false);
    assert_found(239, &big, true);
    // An impossible length; another version.
    assert_skipped(239, &[&[2, 0, 0, 5], &[0, 0, 10, 0]]);
    assert_skipped(239, &[&[2, 1, 0, 5], &[24, 0, 9, 0]]);
}

#[test]
fn ip_over_infiniband() {
    assert_found(242, &[&[0; 40], &[8, 0, 0, 0]], false);
    assert_skipped(242, &[&[0; 40], &[8, 6, 0, 0]]);
}

#[test]
fn ieee_802_11_data_frames() {
    let llc = [0xaa, 0xaa, 3, 0, 0, 0, 8, 0];
    // From a station; between two access points; with QoS; with QoS and HT control.
    for (control, header) in [
        ([0x08, 0x01], 24),
        ([0x08, 0x03], 30),
        ([0x88, 0x02], 26),
        ([0x88, 0x82], 30),
    ] {
        let mut bytes = vec![0; header];
        bytes[..2].copy_from_slice(&control);
        assert_found(105, &[&bytes, &llc], false);
        assert_found(127, &[&[0, 0, 8, 0, 0, 0, 0, 0], &bytes, &llc], false);
    }
    // Time and flags are present, and the header is padded to four bytes.
    let radiotap: &[u8] = &[0, 0, 18, 0, 3, 0, 0, 0, 1, 2, 3, 4, 5, 6, 7, 8, 0x20, 0];
    let mut qos = [0; 28];
    qos[0] = 0x88;
    assert_found(127, &[radiotap, &qos, &llc], false);
    // Two words of presence.
    let radiotap: &[u8] = &[0, 0, 13, 0, 2, 0, 0, 0x80, 0, 0, 0, 0, 0x20];
    assert_found(127, &[radiotap, &qos, &llc], false);

    let mut plain = [0; 26];
    plain[0] = 0x88;
    let with = |at: usize, bits: u8| {
        let mut header = plain;
        header[at] |= bits;
        header
    };
    assert_found(105, &[&plain, &llc], false);
    // A beacon; no data; encrypted; an aggregate.
    assert_skipped(105, &[&[0x80; 24], &llc]);
    assert_skipped(105, &[&with(0, 0x40), &llc]);
    assert_skipped(105, &[&with(1, 0x40), &llc]);
    assert_skipped(105, &[&with(24, 0x80), &llc]);
    // A radiotap header of another version, or longer than the frame.
    assert_skipped(127, &[&[1, 0, 8, 0, 0, 0, 0, 0], &plain, &llc]);
    assert_skipped(127, &[&[0, 0, 0xff, 0xff, 0, 0, 0, 0], &plain, &llc]);
}

#[test]
fn any_bytes_are_survived() {
    let mut random = Random::new(7);
    for _ in 0..20_000 {
        let len = random.below(90);
        let bytes = random.bytes(len);
        for link_type in [9, 50, 51, 104, 105, 127, 239, 242] {
            for big_endian in [false, true] {
                if let Some((_, rest)) = link(link_type, &bytes, big_endian) {
                    assert!(bytes.ends_with(rest));
                }
            }
        }
    }
}

//! Header readers: they return the fields of built packets, and survive any bytes.
#![allow(missing_docs, clippy::unwrap_used, reason = "tests")]

mod packets;

use std::net::IpAddr;

use monitor_common::wire::{self, Address, Error, Fragment};
use packets::{Network, Spec, spec};
use proptest::prelude::*;

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn the_parser_finds_the_generated_headers(spec in spec()) {
        let (frame, header, payload) = spec.frame();
        let frame = frame.as_slice();

        let ethernet = wire::ethernet(frame).unwrap();
        prop_assert_eq!(ethernet.payload, header);
        prop_assert_eq!(usize::from(ethernet.vlans.count), spec.tags.len());
        for (index, (_, control)) in spec.tags.iter().enumerate() {
            prop_assert_eq!(ethernet.vlans.ids[index], control & 0x0fff);
        }

        let datagram = wire::ip(frame, ethernet.payload).unwrap();
        let (src, dst, version, id_mask) = match spec.network {
            Network::V4(src, dst, _) => (Address::v4(src), Address::v4(dst), 4, 0xffff),
            Network::V6(src, dst, _) => (Address::v6(src), Address::v6(dst), 6, u32::MAX),
        };
        prop_assert_eq!((datagram.src, datagram.dst, datagram.version), (src, dst, version));
        prop_assert_eq!((datagram.protocol, datagram.header, datagram.payload), (spec.protocol, header, payload));
        prop_assert_eq!(datagram.end, frame.len() - spec.padding);
        let fragment = spec
            .fragment
            .filter(|(_, offset, more)| *more || *offset != 0)
            .map(|(id, offset, more)| Fragment { id: id & id_mask, offset, more });
        prop_assert_eq!(datagram.fragment, fragment);

        let tcp = wire::tcp(frame, datagram.payload).unwrap();
        prop_assert_eq!((tcp.src, tcp.dst), spec.ports);
        prop_assert_eq!(wire::ports(frame, datagram.payload).unwrap(), spec.ports);
        prop_assert_eq!(wire::control(frame, datagram.payload).unwrap(), tcp.flags);
        prop_assert_eq!((tcp.seq, tcp.ack, tcp.flags, tcp.window), (0x0102_0304, 0x0506_0708, 0x18, 0x2000));
        prop_assert_eq!((tcp.checksum, tcp.urgent), (0xabcd, 7));
        prop_assert_eq!(tcp.options, payload + 20);
        prop_assert_eq!(&frame[tcp.options..tcp.payload], spec.tcp_options.as_slice());
        prop_assert_eq!(&frame[tcp.payload..datagram.end], spec.data.as_slice());
    }

    #[test]
    fn a_cut_packet_is_truncated_or_ends_behind_its_bytes(spec in spec(), keep in any::<prop::sample::Index>()) {
        let (frame, ..) = spec.frame();
        let cut = &frame[..keep.index(frame.len() - spec.padding)];
        let read = wire::ethernet(cut).and_then(|e| wire::ip(cut, e.payload));
        match read {
            Err(error) => prop_assert_eq!(error, Error::Truncated),
            Ok(datagram) => prop_assert!(datagram.end > cut.len()),
        }
    }

    #[test]
    fn anything_is_survived(bytes in prop::collection::vec(any::<u8>(), 0..200), at in 0_usize..220) {
        check_bounds(&bytes, at);
    }

    #[test]
    fn anything_in_a_packet_is_survived(spec in spec(), hits in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..8)) {
        let (mut frame, header, payload) = spec.frame();
        for (place, value) in hits {
            let place = place.index(frame.len());
            frame[place] = value;
        }
        check_bounds(&frame, header);
        check_bounds(&frame, payload);
    }
}

/// For any bytes, offsets only increase and headers are within the packet.
fn check_bounds(bytes: &[u8], at: usize) {
    if let Ok(ethernet) = wire::ethernet(bytes) {
        assert!(ethernet.payload <= bytes.len() && ethernet.vlans.count <= 2);
    }
    if let Ok(datagram) = wire::ip(bytes, at) {
        assert!(datagram.payload >= at + 20 && datagram.payload <= datagram.end);
    }
    if let Ok(tcp) = wire::tcp(bytes, at) {
        assert!(tcp.options == at + 20 && tcp.options <= tcp.payload && tcp.payload <= bytes.len());
    }
}

/// A small IPv4 segment for the cases below.
fn plain() -> Spec {
    Spec {
        tags: vec![],
        network: Network::V4([10, 0, 0, 1], [10, 0, 0, 2], vec![]),
        fragment: None,
        protocol: 6,
        ports: (1234, 80),
        tcp_options: vec![],
        data: b"hello".to_vec(),
        padding: 0,
    }
}

#[test]
fn of_three_tags_the_outer_two_are_returned_and_a_fourth_is_refused() {
    let spec = Spec {
        tags: vec![(0x88a8, 1), (0x8100, 2), (0x8100, 3)],
        ..plain()
    };
    let ethernet = wire::ethernet(spec.frame().0.as_slice()).unwrap();
    assert_eq!(
        (ethernet.vlans.ids, ethernet.vlans.count, ethernet.payload),
        ([1, 2], 2, 26)
    );
    let spec = Spec {
        tags: vec![(0x88a8, 1), (0x8100, 2), (0x8100, 3), (0x8100, 4)],
        ..plain()
    };
    assert_eq!(
        wire::ethernet(spec.frame().0.as_slice()),
        Err(Error::TooManyTags)
    );
}

#[test]
fn extension_headers_are_walked_up_to_the_bound() {
    let with = |count: usize| {
        let network = Network::V6([1; 16], [2; 16], vec![(60, 0); count]);
        let (packet, payload) = Spec { network, ..plain() }.packet();
        wire::ip(packet.as_slice(), 0).map(|d| (d.protocol, d.payload == payload))
    };
    assert_eq!(with(wire::MAX_EXTENSION_HEADERS), Ok((6, true)));
    assert_eq!(
        with(wire::MAX_EXTENSION_HEADERS + 1),
        Err(Error::TooManyExtensions)
    );
}

#[test]
fn a_single_ipv6_fragment_is_a_whole_datagram() {
    let network = Network::V6([1; 16], [2; 16], vec![]);
    let (packet, payload) = Spec {
        network,
        fragment: Some((9, 0, false)),
        ..plain()
    }
    .packet();
    let datagram = wire::ip(packet.as_slice(), 0).unwrap();
    assert_eq!(
        (datagram.fragment, datagram.protocol, datagram.payload),
        (None, 6, payload)
    );
}

#[test]
fn a_length_of_zero_means_to_the_end() {
    let (mut packet, _) = plain().packet();
    packet[2..4].fill(0);
    assert_eq!(wire::ip(packet.as_slice(), 0).unwrap().end, packet.len());

    let (mut packet, _) = Spec {
        network: Network::V6([1; 16], [2; 16], vec![]),
        ..plain()
    }
    .packet();
    packet[4..6].fill(0);
    assert_eq!(wire::ip(packet.as_slice(), 0).unwrap().end, packet.len());
}

#[test]
fn lengths_that_contradict_the_header_are_refused() {
    let (packet, payload) = plain().packet();
    let patched = |at: usize, value: u8| {
        let mut packet = packet.clone();
        packet[at] = value;
        packet
    };
    // Header length 16, total length 19, version 5, data offset 16 and 60.
    assert_eq!(
        wire::ip(patched(0, 0x44).as_slice(), 0),
        Err(Error::Malformed)
    );
    assert_eq!(
        wire::ip(patched(3, 19).as_slice(), 0),
        Err(Error::Malformed)
    );
    assert_eq!(wire::ip(patched(0, 0x55).as_slice(), 0), Err(Error::NotIp));
    assert_eq!(
        wire::tcp(patched(payload + 12, 0x40).as_slice(), payload),
        Err(Error::Malformed)
    );
    assert_eq!(
        wire::tcp(patched(payload + 12, 0xf0).as_slice(), payload),
        Err(Error::Truncated)
    );

    // Extension headers that reach past the IPv6 payload length.
    let network = Network::V6([1; 16], [2; 16], vec![(60, 4)]);
    let (mut packet, _) = Spec { network, ..plain() }.packet();
    packet[4..6].copy_from_slice(&[0, 8]);
    assert_eq!(wire::ip(packet.as_slice(), 0), Err(Error::Malformed));
}

#[test]
fn addresses_read_as_people_write_them() {
    for text in ["192.0.2.1", "2001:db8::1", "::1", "::"] {
        let address = Address::from(text.parse::<IpAddr>().unwrap());
        assert_eq!(address.to_string(), text);
        assert_eq!(address.is_v4(), text.contains('.'));
    }
}

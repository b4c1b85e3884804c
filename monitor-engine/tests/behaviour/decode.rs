//! Frames: all but TCP over IP are counted, padding is cut off, pieces make one packet.

use monitor_engine::{LinkType, Packet, Side, TunnelKinds, VerifyChecksums};
use proptest::prelude::*;

use crate::common::frame::{FIN, PSH, ethernet};
use crate::common::{Flow, Lab};
use crate::tunnels::wrapped;

const C: Side = Side::Client;
const S: Side = Side::Server;

#[test]
fn ethernet_padding_is_not_payload() {
    for (client, server) in [
        ("10.0.0.1:5000", "10.0.0.2:80"),
        ("[2001:db8::1]:5000", "[2001:db8::2]:80"),
    ] {
        let (mut lab, flow) = (Lab::new(), Flow::between(client, server));
        lab.frame(LinkType::Ethernet, &flow.syn().ethernet(&[], 6));
        lab.frame(
            LinkType::Ethernet,
            &flow.segment(C, 0, PSH, b"x").ethernet(&[5], 18),
        );
        lab.frame(
            LinkType::Ethernet,
            &flow.segment(C, 0, PSH, b"x").ethernet(&[], 18),
        );
        lab.frame(
            LinkType::Ethernet,
            &flow.segment(C, 1, PSH, b"y").ethernet(&[], 40),
        );
        let connection = lab.newest(flow.client, flow.server).unwrap();
        let untagged = lab
            .connections()
            .into_iter()
            .find(|c| c.vlan.is_empty())
            .unwrap();
        assert_eq!(
            lab.peek(untagged.id, S, 0, 99).unwrap(),
            b"xy",
            "{connection:?}"
        );
    }
}

#[test]
fn pieces_make_one_packet() {
    let (mut lab, flow) = (Lab::new(), Flow::new());
    let text: Vec<u8> = (0..5000u32).map(|i| (i / 20) as u8).collect();
    let frame = flow.segment(C, 0, PSH, &text).ethernet(&[], 0);
    let (first, rest) = frame.split_at(100);
    let more: Vec<&[u8]> = rest.chunks(333).collect();
    lab.engine.process(&[Packet {
        time: lab.now,
        interface: 0,
        link: LinkType::Ethernet,
        data: first,
        more: &more,
        cut: 0,
        checksum: monitor_engine::Checksum::Unknown,
    }]);
    assert_eq!(lab.held(S), [(0, text)]);
}

#[test]
fn padding_in_a_piece_of_its_own_is_not_payload() {
    let (mut lab, flow) = (Lab::new(), Flow::new());
    let frame = flow.segment(C, 0, PSH, b"all of it").ethernet(&[], 0);
    let more: [&[u8]; 1] = [b"padding"];
    lab.engine.process(&[Packet {
        time: lab.now,
        interface: 0,
        link: LinkType::Ethernet,
        data: &frame,
        more: &more,
        cut: 0,
        checksum: monitor_engine::Checksum::Unknown,
    }]);
    assert_eq!(lab.text(S), "all of it");
}

#[test]
fn a_length_of_zero_reaches_to_the_end() {
    // Length field of GSO and BIG TCP packets longer than 65535 bytes.
    for (client, server) in [
        ("10.0.0.1:5000", "10.0.0.2:80"),
        ("[2001:db8::1]:5000", "[2001:db8::2]:80"),
    ] {
        let (mut lab, flow) = (Lab::new(), Flow::between(client, server));
        let text: Vec<u8> = (0..150_000u32).map(|i| (i / 700) as u8).collect();
        let packet = flow.segment(C, 0, PSH, &text).ip();
        let (first, rest) = packet.split_at(3000);
        let more: Vec<&[u8]> = rest.chunks(4096).collect();
        lab.engine.process(&[Packet {
            time: lab.now,
            interface: 0,
            link: LinkType::Ip,
            data: first,
            more: &more,
            cut: 0,
            checksum: monitor_engine::Checksum::Unknown,
        }]);
        assert_eq!(lab.held(S), [(0, text)]);
    }
}

#[test]
fn a_segment_cut_by_the_capture_leaves_a_hole() {
    let (mut lab, mut flow) = (Lab::new(), Flow::new());
    flow.open(&mut lab);
    let packet = flow.segment(C, 0, PSH, b"0123456789").ip();
    lab.ip(&packet[..packet.len() - 4]);
    flow.at(&mut lab, C, 10, b"abc");
    assert_eq!(
        lab.held(S),
        [(0, b"012345".to_vec()), (10, b"abc".to_vec())]
    );
    assert_eq!(lab.count("truncated"), 1);
}

#[test]
fn a_fin_on_a_truncated_segment_is_behind_all_of_its_bytes() {
    let (mut lab, mut flow) = (Lab::new(), Flow::new());
    flow.open(&mut lab);
    let packet = flow.segment(C, 0, PSH | FIN, b"0123456789").ip();
    lab.ip(&packet[..packet.len() - 4]);
    assert_eq!(lab.side(S).fin, Some(10));
}

#[test]
fn a_length_of_zero_reaches_to_the_end_beyond_the_captured_bytes() {
    // The packets of segmentation offload have such a length; a snap length cuts them.
    for (client, server, length) in [
        ("10.0.0.1:5000", "10.0.0.2:80", 2),
        ("[2001:db8::1]:5000", "[2001:db8::2]:80", 4),
    ] {
        let (mut lab, mut flow) = (Lab::new(), Flow::between(client, server));
        flow.open(&mut lab);
        let text: Vec<u8> = (0..4000_u32).map(|i| (i / 20) as u8).collect();
        let mut packet = flow.segment(C, 0, PSH | FIN, &text).ip();
        packet[length..length + 2].fill(0);
        let cut = 3900;
        let captured = packet.len() - cut;
        for (data, more) in [
            (captured, 0),
            // The same in two pieces.
            (captured - 50, 50),
        ] {
            let (data, rest) = packet.split_at(data);
            let more = [&rest[..more]];
            lab.engine.process(&[Packet {
                time: lab.now,
                interface: 0,
                link: LinkType::Ip,
                data,
                more: if more[0].is_empty() { &[] } else { &more },
                cut: cut as u32,
                checksum: monitor_engine::Checksum::Unknown,
            }]);
            assert_eq!(lab.held(S), [(0, text[..100].to_vec())]);
            assert_eq!(lab.side(S).fin, Some(4000));
        }
        assert_eq!(lab.count("truncated"), 2);
    }
}

#[test]
fn a_segment_whose_options_are_cut_off_takes_its_place() {
    let (mut lab, mut flow) = (Lab::new(), Flow::new());
    flow.open(&mut lab);
    for (off, flags, payload) in [(0, PSH, b"0123456789"), (10, PSH | FIN, b"abcdefghij")] {
        let mut segment = flow.segment(C, off, flags, payload);
        segment.timestamp = Some(1);
        // The IP header, the TCP header, and half of its options.
        lab.ip(&segment.ip()[..20 + 20 + 6]);
    }
    assert_eq!(lab.side(S).fin, Some(20));
    assert_eq!(lab.held(S), []);
    assert_eq!((lab.count("truncated"), lab.count("malformed")), (2, 0));
}

#[test]
fn every_link_type_is_read() {
    let flow = Flow::new();
    let ip = flow.segment(C, 0, PSH, b"same").ip();
    let with = |head: &[u8]| [head, &ip[..]].concat();
    let cooked = with(&[0, 0, 0, 1, 0, 6, 2, 0, 0, 0, 0, 1, 0, 0, 8, 0]);
    let cooked2 = with(&[8, 0, 0, 0, 0, 0, 0, 1, 0, 1, 0, 6, 2, 0, 0, 0, 0, 1, 0, 0]);
    for (link, frame) in [
        (LinkType::Ip, ip.clone()),
        (LinkType::Ethernet, ethernet(&ip, &[], 0)),
        (LinkType::Ethernet, ethernet(&ip, &[1, 2, 3], 0)),
        (LinkType::LinuxSll, cooked),
        (LinkType::LinuxSll2, cooked2),
        (LinkType::Null, with(&[2, 0, 0, 0])),
        (LinkType::Null, with(&[0, 0, 0, 2])),
    ] {
        let mut lab = Lab::new();
        lab.frame(link, &frame);
        assert_eq!(lab.text(S), "same", "{link:?}");
    }
}

#[test]
fn headers_between_the_link_layer_and_ip_are_followed() {
    let flow = Flow::new();
    let ip = flow.segment(C, 0, PSH, b"same").ip();
    let addresses = [2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2];
    let ethernet = |head: &[u8]| [&addresses, head, &ip].concat();
    let sll = |head: &[u8]| [&[0, 0, 0, 1, 0, 6, 2, 0, 0, 0, 0, 1, 0, 0], head, &ip].concat();
    let sll2 = [
        &[
            0x81, 0, 0, 0, 0, 0, 0, 1, 0, 1, 0, 6, 2, 0, 0, 0, 0, 1, 0, 0, 0, 7, 8, 0,
        ],
        &ip[..],
    ]
    .concat();
    let snap = [0, 60, 0xaa, 0xaa, 3, 0, 0, 0, 8, 0];
    let pppoe = [0x88, 0x64, 0x11, 0, 0, 1, 0, 46, 0, 0x21];
    let tagged_pppoe = [&[0x81, 0, 0, 7], &pppoe[..]].concat();
    for (link, frame, vlan) in [
        (LinkType::Ethernet, ethernet(&snap), None),
        (LinkType::Ethernet, ethernet(&pppoe), None),
        (LinkType::Ethernet, ethernet(&tagged_pppoe), Some(7)),
        (
            LinkType::Ethernet,
            ethernet(&[0x88, 0x47, 0, 1, 0, 64, 0, 2, 1, 64]),
            None,
        ),
        (LinkType::LinuxSll, sll(&[0x81, 0, 0, 7, 8, 0]), Some(7)),
        (
            LinkType::LinuxSll,
            sll(&[0, 4, 0xaa, 0xaa, 3, 0, 0, 0, 8, 0]),
            None,
        ),
        (LinkType::LinuxSll2, sll2, Some(7)),
    ] {
        let mut lab = Lab::new();
        lab.frame(link, &frame);
        assert_eq!(lab.text(S), "same", "{frame:?}");
        assert_eq!(lab.only().vlan, Vec::from_iter(vlan), "{frame:?}");
    }
}

#[test]
fn frames_that_are_not_followed_are_counted() {
    let (mut lab, flow) = (Lab::new(), Flow::new());
    let mut udp = flow.syn().ip();
    udp[9] = 17;
    lab.ip(&udp);
    lab.frame(LinkType::Ethernet, &[0; 60]);
    lab.ip(&flow.syn().ip()[..30]);
    lab.ip(&[]);
    let mut short_header = flow.syn().ip();
    short_header[32] = 0x40;
    lab.ip(&short_header);
    assert_eq!(lab.count("not_tcp"), 1);
    assert_eq!(lab.count("not_ip"), 1);
    assert_eq!(lab.count("malformed"), 3);
    assert_eq!(lab.count("packets"), 5);
    assert_eq!(lab.connections(), []);
}

#[test]
fn a_type_that_the_ip_version_contradicts_is_not_ip() {
    // Steering drops such a frame: a replay must not follow frames that a live capture drops.
    let (mut lab, flow) = (Lab::new(), Flow::new());
    let mut frame = flow.syn().ethernet(&[], 0);
    frame[12..14].copy_from_slice(&[0x86, 0xdd]);
    lab.frame(LinkType::Ethernet, &frame);
    assert_eq!((lab.count("not_ip"), lab.connections().len()), (1, 0));
}

#[test]
fn wrong_checksums_are_dropped_only_when_asked() {
    for verify in [false, true] {
        let mut config = Lab::config();
        config.tcp.verify_checksums = policy(verify);
        let (mut lab, mut flow) = (Lab::with(config), Flow::new());
        flow.open(&mut lab);
        let mut wrong = flow.segment(C, 0, PSH, b"wrong").ip();
        *wrong.last_mut().unwrap() ^= 1;
        lab.ip(&wrong);
        assert_eq!(lab.count("bad_checksum"), u64::from(verify));
        assert_eq!(lab.side(S).end, if verify { 0 } else { 5 });
        let mut v6 = Flow::between("[2001:db8::1]:5000", "[2001:db8::2]:80");
        v6.send(&mut lab, C, b"right, over IPv6");
        let connection = lab.newest(v6.client, v6.server).unwrap();
        assert_eq!(
            lab.peek(connection.id, S, 0, 99).unwrap(),
            b"right, over IPv6"
        );
    }
}

#[test]
fn checksums_that_the_capture_reports_as_complete_are_verified() {
    use monitor_engine::Checksum::{Unfinished, Unknown, Valid, Verify};
    for (checksum, kept) in [
        (Verify, false),
        (Unknown, true),
        (Unfinished, true),
        (Valid, true),
    ] {
        let mut config = Lab::config();
        config.tcp.verify_checksums = VerifyChecksums::Reported;
        let (mut lab, mut flow) = (Lab::with(config), Flow::new());
        flow.open(&mut lab);
        let unknown = lab.count("checksum_unknown");
        let mut wrong = flow.segment(C, 0, PSH, b"wrong").ip();
        *wrong.last_mut().unwrap() ^= 1;
        lab.engine.process(&[Packet {
            time: lab.now,
            interface: 0,
            link: LinkType::Ip,
            data: &wrong,
            more: &[],
            cut: 0,
            checksum,
        }]);
        assert_eq!(lab.side(S).end, if kept { 5 } else { 0 }, "{checksum:?}");
        assert_eq!(lab.count("bad_checksum"), u64::from(!kept));
        assert_eq!(
            lab.count("checksum_unknown") - unknown,
            u64::from(checksum == Unknown)
        );
    }
}

fn policy(verify: bool) -> VerifyChecksums {
    if verify {
        VerifyChecksums::Always
    } else {
        VerifyChecksums::Never
    }
}

fn link() -> impl Strategy<Value = LinkType> {
    prop_oneof![
        Just(LinkType::Ethernet),
        Just(LinkType::Ip),
        Just(LinkType::LinuxSll),
        Just(LinkType::LinuxSll2),
        Just(LinkType::Null)
    ]
}

proptest! {
    /// Real frames with bytes changed, cut and split: no panic, and nothing out of bounds.
    #[test]
    fn survives_anything(
        frames in prop::collection::vec((
            link(),
            0..6usize,
            prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..4),
            any::<prop::sample::Index>(),
            any::<bool>(),
            0..20_usize,
        ), 1..40),
        verify in any::<bool>(),
    ) {
        let mut config = Lab::config();
        config.tcp.verify_checksums = policy(verify);
        config.tunnels = TunnelKinds::ALL;
        let mut lab = Lab::with(config);
        let v4 = Flow::new();
        let v6 = Flow::between("[2001:db8::1]:5000", "[2001:db8::2]:80");
        for (link, kind, changes, cut, whole, tunnel) in frames {
            let flow = if kind % 2 == 0 { &v4 } else { &v6 };
            let mut segment = flow.segment(C, kind as i64 * 3, PSH, b"some payload to carry");
            segment.scale = Some(7);
            let ip = match kind {
                0..4 => segment.ip(),
                _ => crate::common::frame::fragments(&segment.ip(), 77, 8).swap_remove(kind - 4),
            };
            let ip = wrapped(C, &ip).into_iter().nth(tunnel).map_or(ip, |(_, _, tunneled)| tunneled);
            let mut frame = if link == LinkType::Ethernet { ethernet(&ip, &[9, 9][..kind / 2 % 3], 3) } else { ip };
            for (at, value) in changes {
                let at = at.index(frame.len());
                frame[at] = value;
            }
            let cut = cut.index(frame.len() + 1);
            let (first, rest) = frame.split_at(cut);
            let more: Vec<&[u8]> = if whole { rest.chunks(5).collect() } else { Vec::new() };
            lab.engine.process(&[Packet { time: lab.now, interface: 0, link, data: first, more: &more, cut: 0, checksum: monitor_engine::Checksum::Unknown, }]);
        }
        prop_assert!(lab.count("used") <= lab.count("budget"));
        for connection in lab.connections() {
            for side in Side::BOTH {
                let total: u64 = lab.runs(connection.id, side).iter().map(|run| run.1.len() as u64).sum();
                prop_assert_eq!(total, connection.sides[side.index()].retained);
            }
        }
    }
}

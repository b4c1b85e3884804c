//! Tunnels: the inner connection, its identity, fragments on either layer, depth, and lengths that contradict each other.

use std::net::{IpAddr, Ipv4Addr};

use monitor_engine::{EngineConfig, LinkType, Side, Tunnel, TunnelKind, TunnelKinds};

use crate::common::frame::{PSH, ethernet, fragments};
use crate::common::{Flow, Lab};

const C: Side = Side::Client;
const S: Side = Side::Server;

const ENDS: [[u8; 4]; 2] = [[198, 51, 100, 1], [198, 51, 100, 2]];

fn lab(kinds: TunnelKinds) -> Lab {
    Lab::with(EngineConfig {
        tunnels: kinds,
        ..Lab::config()
    })
}

/// Returns an IPv4 packet between the ends of the tunnel.
fn outer(from: Side, protocol: u8, payload: &[u8]) -> Vec<u8> {
    outer_between(ENDS, from, protocol, payload)
}

fn outer_between(ends: [[u8; 4]; 2], from: Side, protocol: u8, payload: &[u8]) -> Vec<u8> {
    let (src, dst) = (ends[from.index()], ends[from.peer().index()]);
    let mut ip = vec![0x45, 0];
    ip.extend((20 + payload.len() as u16).to_be_bytes());
    ip.extend([0, 1, 0, 0, 64, protocol, 0, 0]);
    ip.extend(src);
    ip.extend(dst);
    ip.extend(payload);
    ip
}

fn udp(port: u16, payload: &[u8]) -> Vec<u8> {
    let head = [50_000, port, 8 + payload.len() as u16, 0].map(u16::to_be_bytes);
    [&head.concat(), payload].concat()
}

fn ethertype(ip: &[u8]) -> u16 {
    if ip[0] >> 4 == 4 { 0x0800 } else { 0x86dd }
}

fn vxlan(vni: u32, ip: &[u8]) -> Vec<u8> {
    let head = [&[8, 0, 0, 0][..], &(vni << 8).to_be_bytes()].concat();
    udp(4789, &[head, ethernet(ip, &[], 0)].concat())
}

fn gre(flags: u8, ethertype: u16, fields: &[u8], payload: &[u8]) -> Vec<u8> {
    [&[flags, 0], &ethertype.to_be_bytes()[..], fields, payload].concat()
}

fn plain_gre(ip: &[u8]) -> Vec<u8> {
    gre(0, ethertype(ip), &[], ip)
}

/// Returns the outer packet around an inner one, for each kind, with the id that it must show.
pub fn wrapped(from: Side, ip: &[u8]) -> Vec<(TunnelKind, Option<u32>, Vec<u8>)> {
    use TunnelKind::{Erspan, Geneve, Gre, Ipip, Vxlan};
    let frame = ethernet(ip, &[], 0);
    let ipip = if ip[0] >> 4 == 4 { 4 } else { 41 };
    let [a, b] = ethertype(ip).to_be_bytes();
    let geneve = [&[2, 0, a, b, 0, 0, 9, 0], &[0; 8][..], ip].concat();
    let bridged = [&[0, 0, 0x65, 0x58, 0, 0, 9, 0][..], &frame].concat();
    let session = [0x10, 0, 0x0c, 9, 0, 0, 0, 0];
    let third = [
        0x20, 0, 0, 9, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0,
    ];
    [
        (Gre, None, 47, plain_gre(ip)),
        (
            Gre,
            Some(9),
            47,
            gre(0xb0, 0x6558, &[0, 0, 0, 0, 0, 0, 0, 9, 0, 0, 0, 5], &frame),
        ),
        (Ipip, None, ipip, ip.to_vec()),
        (Vxlan, Some(9), 17, vxlan(9, ip)),
        (Geneve, Some(9), 17, udp(6081, &geneve)),
        (Geneve, Some(9), 17, udp(6081, &bridged)),
        (Erspan, None, 47, gre(0, 0x88be, &[], &frame)),
        (
            Erspan,
            Some(9),
            47,
            gre(
                0x10,
                0x88be,
                &[0, 0, 0, 1],
                &[&session, &frame[..]].concat(),
            ),
        ),
        (
            Erspan,
            Some(9),
            47,
            gre(0x10, 0x22eb, &[0, 0, 0, 1], &[&third, &frame[..]].concat()),
        ),
    ]
    .map(|(kind, id, protocol, payload)| (kind, id, outer(from, protocol, &payload)))
    .into()
}

#[test]
fn the_connection_in_each_kind_of_tunnel_is_followed() {
    for flow in [
        Flow::new(),
        Flow::between("[2001:db8::1]:5000", "[2001:db8::2]:80"),
    ] {
        let request = wrapped(C, &flow.segment(C, 0, PSH, b"request").ip());
        let response = wrapped(S, &flow.segment(S, 0, PSH, b"response").ip());
        for ((kind, id, request), (_, _, response)) in request.into_iter().zip(response) {
            let mut lab = lab(TunnelKinds::default().with(kind));
            lab.frame(LinkType::Ethernet, &ethernet(&request, &[5], 0));
            lab.frame(LinkType::Ethernet, &ethernet(&response, &[5], 0));
            assert_eq!(
                (lab.text(S), lab.text(C)),
                ("request".into(), "response".into())
            );
            let connection = lab.only();
            assert_eq!(
                (connection.client, connection.server),
                (flow.client, flow.server)
            );
            let tunnel = Tunnel {
                kind,
                id,
                ends: ENDS.map(|end| IpAddr::V4(Ipv4Addr::from(end))),
                vlan: vec![5],
            };
            assert_eq!(connection.tunnels, [tunnel]);
            assert!(connection.vlan.is_empty());
            assert_eq!((lab.count("tunneled"), lab.count("not_tcp")), (2, 0));
        }
    }
}

#[test]
fn other_kinds_are_not_followed() {
    let flow = Flow::new();
    for (kind, _, packet) in wrapped(C, &flow.segment(C, 0, PSH, b"request").ip()) {
        let others = TunnelKinds::ALL.iter().filter(|other| *other != kind);
        for kinds in [TunnelKinds::default(), others.collect()] {
            let mut lab = lab(kinds);
            lab.ip(&packet);
            assert_eq!(lab.connections(), []);
            assert_eq!(
                (lab.count("tunneled"), lab.count("not_tcp")),
                (0, 1),
                "{kind:?}"
            );
        }
    }
}

#[test]
fn equal_addresses_in_two_tunnels_are_two_connections() {
    let flow = Flow::new();
    let mut lab = lab(TunnelKinds::ALL);
    let inner = |text: &[u8]| flow.segment(C, 0, PSH, text).ip();
    lab.ip(&inner(b"none"));
    lab.ip(&outer(C, 17, &vxlan(1, &inner(b"first"))));
    lab.ip(&outer(C, 17, &vxlan(2, &inner(b"second"))));
    lab.ip(&outer_between(
        [[1; 4], [2; 4]],
        C,
        17,
        &vxlan(1, &inner(b"third")),
    ));
    lab.ip(&outer(C, 47, &plain_gre(&inner(b"fourth"))));
    let tagged = ethernet(&outer(C, 47, &plain_gre(&inner(b"fifth"))), &[7], 0);
    lab.frame(LinkType::Ethernet, &tagged);
    // The other direction of the second.
    lab.ip(&outer(
        S,
        17,
        &vxlan(2, &flow.segment(S, 0, PSH, b"reply").ip()),
    ));
    let mut texts: Vec<_> = lab
        .connections()
        .iter()
        .map(|connection| {
            let text = |side| lab.runs(connection.id, side).concat_text();
            (text(S), text(C))
        })
        .collect();
    texts.sort();
    let one_sided = |text: &str| (text.to_owned(), String::new());
    assert_eq!(
        texts,
        [
            one_sided("fifth"),
            one_sided("first"),
            one_sided("fourth"),
            one_sided("none"),
            ("second".to_owned(), "reply".to_owned()),
            one_sided("third"),
        ]
    );
}

trait ConcatText {
    fn concat_text(&self) -> String;
}

impl ConcatText for Vec<(u64, Vec<u8>)> {
    fn concat_text(&self) -> String {
        self.iter()
            .map(|(_, bytes)| String::from_utf8_lossy(bytes).into_owned())
            .collect()
    }
}

#[test]
fn two_tunnels_deep_and_no_deeper() {
    let flow = Flow::new();
    let inner = flow.segment(C, 0, PSH, b"deep").ip();
    let twice = outer(C, 17, &vxlan(3, &outer(C, 47, &plain_gre(&inner))));
    let mut lab = lab(TunnelKinds::ALL);
    lab.ip(&outer(C, 4, &twice));
    assert_eq!((lab.connections(), lab.count("not_tcp")), (vec![], 1));
    lab.ip(&twice);
    assert_eq!(lab.text(S), "deep");
    let kinds: Vec<_> = lab
        .only()
        .tunnels
        .iter()
        .map(|tunnel| tunnel.kind)
        .collect();
    assert_eq!(kinds, [TunnelKind::Vxlan, TunnelKind::Gre]);
}

#[test]
fn fragments_are_put_together_on_both_layers() {
    let text: Vec<u8> = (0..1500_u32).map(|i| (i / 7) as u8).collect();
    for flow in [
        Flow::new(),
        Flow::between("[2001:db8::1]:5000", "[2001:db8::2]:80"),
    ] {
        let whole = flow.segment(C, 0, PSH, &text).ip();
        let inner: Vec<_> = fragments(&whole, 9, 400)
            .iter()
            .map(|piece| outer(C, 17, &vxlan(4, piece)))
            .collect();
        let outer_only = fragments(&outer(C, 17, &vxlan(4, &whole)), 8, 600);
        let both: Vec<_> = (20..)
            .zip(&inner)
            .flat_map(|(id, packet)| fragments(packet, id, 96))
            .collect();
        for mut packets in [inner.clone(), outer_only, both] {
            for _ in 0..2 {
                let mut lab = lab(TunnelKinds::ALL);
                for packet in &packets {
                    lab.ip(packet);
                }
                assert_eq!(lab.held(S), [(0, text.clone())]);
                assert_eq!(lab.only().tunnels[0].id, Some(4));
                packets.reverse();
            }
        }
    }
}

#[test]
fn fragments_in_two_tunnels_do_not_mix() {
    let flow = Flow::new();
    let cut = |text: &[u8]| fragments(&flow.segment(C, 0, PSH, text).ip(), 9, 24);
    let (first, second) = (
        cut(b"one text of some length"),
        cut(b"two text of some length"),
    );
    let mut lab = lab(TunnelKinds::ALL);
    for (one, two) in first.iter().zip(&second) {
        lab.ip(&outer(C, 17, &vxlan(1, one)));
        lab.ip(&outer(C, 17, &vxlan(2, two)));
    }
    let mut texts: Vec<_> = lab
        .connections()
        .iter()
        .map(|connection| lab.runs(connection.id, S).concat_text())
        .collect();
    texts.sort();
    assert_eq!(
        texts,
        ["one text of some length", "two text of some length"]
    );
    assert_eq!(lab.count("fragments_dropped"), 0);
}

#[test]
fn an_inner_packet_longer_than_its_tunnel_is_malformed() {
    let flow = Flow::new();
    let mut inner = flow.segment(C, 0, PSH, b"request").ip();
    let longer = (inner.len() as u16 + 1).to_be_bytes();
    inner[2..4].copy_from_slice(&longer);
    let mut lab = lab(TunnelKinds::ALL);
    let mut padded = outer(C, 47, &plain_gre(&inner));
    padded.extend([0xee; 20]);
    lab.ip(&padded);
    assert_eq!((lab.connections(), lab.count("malformed")), (vec![], 1));
}

#[test]
fn padding_behind_the_tunnel_is_no_payload() {
    let flow = Flow::new();
    // A length of 0 reaches to the end of the packet that carries it.
    for zero in [false, true] {
        let mut inner = flow.segment(C, 0, PSH, b"request").ip();
        if zero {
            inner[2..4].fill(0);
        }
        let mut lab = lab(TunnelKinds::ALL);
        let packet = outer(C, 47, &plain_gre(&inner));
        lab.frame(LinkType::Ethernet, &ethernet(&packet, &[], 9));
        assert_eq!(lab.text(S), "request");
    }
}

#[test]
fn any_number_of_tunnels_takes_the_same_memory() {
    const TRACKED: u32 = 4096;
    let flow = Flow::new();
    let mut lab = lab(TunnelKinds::ALL);
    // Packets that open no connection take numbers for a moment.
    let orphan = flow.segment(C, 0, 4, b"").ip();
    for vni in 0..2 * TRACKED {
        lab.ip(&outer(C, 17, &vxlan(vni, &orphan)));
    }
    assert_eq!(lab.connections(), []);
    // Live connections keep theirs.
    lab.now += 2_000_000_000;
    for vni in 0..TRACKED + 10 {
        lab.ip(&outer(
            C,
            17,
            &vxlan(vni, &flow.segment(C, 0, PSH, b"request").ip()),
        ));
    }
    assert!(lab.count("tunnels_full") >= 10);
    let connections = lab.connections();
    assert!(connections.len() > 4000, "{}", connections.len());
    let mut ids: Vec<_> = connections.iter().map(|c| c.tunnels[0].id).collect();
    ids.sort_unstable();
    ids.dedup();
    assert_eq!(ids.len(), connections.len(), "each has its own tunnel");
    assert!(lab.count("used") <= lab.count("budget"));
}

#[test]
fn in_a_live_capture_the_worker_that_has_the_tunnel_keeps_its_connections() {
    let text: Vec<u8> = (0..900_u32).map(|i| (i / 5) as u8).collect();
    for worker in 0..4 {
        let mut lab = Lab::with(EngineConfig {
            tunnels: TunnelKinds::ALL,
            worker,
            workers: 4,
            ..Lab::config()
        });
        let flow = Flow::new();
        let whole = flow.segment(C, 0, PSH, &text).ip();
        for piece in fragments(&outer(C, 17, &vxlan(4, &whole)), 8, 304) {
            lab.ip(&piece);
        }
        assert_eq!(lab.held(S), [(0, text.clone())]);
        assert_eq!(lab.engine.handoffs().count(), 0);
        lab.ip(&outer(
            S,
            17,
            &vxlan(4, &flow.segment(S, 0, PSH, b"reply").ip()),
        ));
        assert_eq!(lab.text(C), "reply");
    }
}

#[test]
fn stopped_connections_in_a_tunnel_are_not_shunted() {
    let flow = Flow::new();
    let mut lab = lab(TunnelKinds::ALL);
    let packet = outer(C, 47, &plain_gre(&flow.segment(C, 0, PSH, b"request").ip()));
    lab.ip(&packet);
    let id = lab.only().id;
    let stopped = lab.engine.stop(id, None).unwrap();
    assert_eq!(stopped.tunnels.len(), 1);
    assert_eq!(
        lab.engine.shunts().count(),
        0,
        "its packets are those of the tunnel"
    );
    lab.ip(&packet);
    assert_eq!(lab.count("stopped_segments"), 1);
}

//! Known faults of other reassemblers, each as a test with its name.

use monitor_engine::{CloseReason, EngineConfig, Event, LinkType, Side, SockId, TcpState};

use crate::common::frame::{FIN, PSH};
use crate::common::{Flow, Lab, S as SECOND};

const C: Side = Side::Client;
const S: Side = Side::Server;

fn opened() -> (Lab, Flow) {
    let (mut lab, mut flow) = (Lab::new(), Flow::new());
    flow.open(&mut lab);
    (lab, flow)
}

/// The receiver acknowledges bytes that were not captured, and the loss delay passes.
fn lose(lab: &mut Lab, flow: &mut Flow, to: u64) {
    flow.ack(lab, S, to);
    lab.wait(300);
}

#[test]
fn libnids_prunes_its_queue_at_64_kib_and_stalls() {
    let mut lab = Lab::new();
    let mut flow = Flow {
        scale: [Some(7), Some(7)],
        ..Flow::numbered(5)
    };
    flow.open(&mut lab);
    let part = [b'q'; 1000];
    flow.ack(&mut lab, S, 0);
    for i in 1..=200 {
        flow.at(&mut lab, C, i * 1000, &part);
    }
    flow.at(&mut lab, C, 0, &part);
    let connection = lab.newest(flow.client, flow.server).unwrap();
    assert_eq!(
        connection.sides[1].next, 201_000,
        "200 KB waited behind the hole, and none was pruned"
    );
    assert_eq!(connection.sides[1].retained, 201_000);
}

#[test]
fn retina_and_protolens_stall_at_loss_or_at_128_queued_packets() {
    let (mut lab, mut flow) = opened();
    for i in 1..=400 {
        flow.at(&mut lab, C, i * 20, b"a packet behind loss");
    }
    lose(&mut lab, &mut flow, 8020);
    flow.at(&mut lab, C, 8020, b"and on");
    assert_eq!(lab.side(S).next, 8026);
    assert_eq!(lab.peek(lab.only().id, S, 20, 9999).unwrap().len(), 8006);
}

#[test]
fn libtins_ends_the_flow_at_loss() {
    let (mut lab, mut flow) = opened();
    flow.at(&mut lab, C, 50_000, b"far behind");
    lose(&mut lab, &mut flow, 50_010);
    assert_eq!(lab.only().closed, None);
    flow.sent = [50_010, 0];
    flow.send(&mut lab, C, b" and on");
    assert_eq!(
        lab.peek(lab.only().id, S, 50_000, 99).unwrap(),
        b"far behind and on"
    );
}

#[test]
fn tcpflow_writes_silent_zeros() {
    let (mut lab, mut flow) = opened();
    flow.at(&mut lab, C, 100, b"x");
    lose(&mut lab, &mut flow, 101);
    assert_eq!(lab.held(S), [(100, b"x".to_vec())], "no byte is invented");
    assert!(lab.peek(lab.only().id, S, 0, 99).is_err());
    assert!(lab.events().iter().any(|event| matches!(
        event,
        Event::Gap {
            off: 0,
            len: 100,
            ..
        }
    )));
}

#[test]
fn pcapplusplus_and_tshark_write_words_into_the_data() {
    let (mut lab, mut flow) = opened();
    flow.at(&mut lab, C, 0, b"before");
    flow.at(&mut lab, C, 20, b"after");
    lose(&mut lab, &mut flow, 25);
    assert_eq!(
        lab.held(S),
        [(0, b"before".to_vec()), (20, b"after".to_vec())]
    );
}

#[test]
fn mos_freezes_the_side_for_good() {
    let (mut lab, mut flow) = opened();
    flow.send(&mut lab, C, b"a");
    flow.at(&mut lab, C, 2, b"c");
    lose(&mut lab, &mut flow, 3);
    flow.sent[0] = 3;
    for _ in 0..100 {
        flow.send(&mut lab, C, b"still going");
    }
    assert_eq!(lab.side(S).next, 3 + 1100);
}

#[test]
fn protolens_stalls_at_the_sequence_wrap_and_gopacket_is_off_by_one() {
    let (mut lab, mut flow) = (Lab::new(), Flow::new());
    flow.isn = [u32::MAX - 3, 0];
    flow.open(&mut lab);
    for part in ["ab", "cd", "ef", "gh"] {
        flow.send(&mut lab, C, part.as_bytes());
    }
    assert_eq!(lab.text(S), "abcdefgh");
    assert_eq!(lab.side(S).gaps, 0);
}

#[test]
fn pcapplusplus_identifies_a_flow_by_a_32_bit_hash() {
    // 200 000 flows of one byte that identifies the flow; two of them share 32 bits of a hash with near certainty.
    let mut config = EngineConfig {
        memory: 1 << 30,
        ..Lab::config()
    };
    config.tcp.idle_timeout = None;
    let mut lab = Lab::with(config);
    let byte = |n: u32| (n.wrapping_mul(0x9e37_79b9) >> 24) as u8;
    for n in 0..200_000 {
        lab.ip(&Flow::numbered(n).segment(C, 0, PSH, &[byte(n)]).ip());
    }
    lab.events();
    assert_eq!(lab.count("active"), 200_000);
    let first: Vec<_> = (0..20_000).map(|n| Flow::numbered(n).client).collect();
    for connection in lab.reader.connections(None) {
        let port = u32::from(connection.client.port()) - 40_000;
        let std::net::IpAddr::V4(ip) = connection.client.ip() else {
            panic!()
        };
        let n = (ip.to_bits() & 0x00ff_ffff) * 20_000 + port;
        assert!(n >= 20_000 || first[n as usize] == connection.client);
        assert_eq!(lab.peek(connection.id, S, 0, 9).unwrap(), [byte(n)]);
    }
}

#[test]
fn tcpflow_counts_ethernet_padding_as_payload() {
    let (mut lab, flow) = (Lab::new(), Flow::new());
    lab.frame(LinkType::Ethernet, &flow.syn().ethernet(&[], 6));
    lab.frame(
        LinkType::Ethernet,
        &flow.segment(C, 0, PSH, b"").ethernet(&[], 6),
    );
    lab.frame(
        LinkType::Ethernet,
        &flow.segment(C, 0, PSH, b"ab").ethernet(&[], 4),
    );
    assert_eq!(lab.text(S), "ab");
}

#[test]
fn retina_advances_by_one_for_a_fin_that_carries_data() {
    let (mut lab, mut flow) = opened();
    lab.ip(&flow.segment(C, 0, FIN | PSH, b"goodbye").ip());
    let side = lab.side(S);
    assert_eq!((side.next, side.end, side.fin), (7, 7, Some(7)));
    flow.sent = [8, 0];
    flow.acked = [0, 8];
    flow.fin(&mut lab, S);
    flow.ack(&mut lab, C, 1);
    assert_eq!(lab.only().closed, Some(CloseReason::Fin));
}

#[test]
fn mos_has_no_midstream_pickup_no_ipv6_no_vlan_no_fragments() {
    let mut lab = Lab::new();
    let flow = Flow::between("[2001:db8::1]:5000", "[2001:db8::2]:80");
    for piece in
        crate::common::frame::fragments(&flow.segment(S, 70, PSH, b"all four at once").ip(), 1, 16)
    {
        lab.frame(
            LinkType::Ethernet,
            &crate::common::frame::ethernet(&piece, &[100, 200], 0),
        );
    }
    assert_eq!(lab.text(C), "all four at once");
    assert!(lab.only().midstream);
    assert_eq!(lab.only().vlan, [100, 200]);
}

#[test]
fn mos_ignores_a_new_syn_on_a_live_tuple_for_good() {
    let (mut lab, mut flow) = opened();
    flow.send(&mut lab, C, b"first");
    let old = lab.only().id;
    let mut flow = Flow {
        isn: [900_000, 800_000],
        ..Flow::new()
    };
    flow.open(&mut lab);
    flow.send(&mut lab, C, b"second");
    let new = lab.newest(flow.client, flow.server).unwrap();
    assert_ne!(old, new.id);
    assert_eq!(lab.peek(new.id, S, 0, 99).unwrap(), b"second");
    assert_eq!(lab.peek(old, S, 0, 99).unwrap(), b"first");
}

#[test]
fn mos_lets_any_rst_end_a_flow() {
    let (mut lab, mut flow) = opened();
    flow.send(&mut lab, C, b"hello");
    flow.ack(&mut lab, S, 5);
    flow.rst(&mut lab, C, 1_000_000);
    flow.send(&mut lab, C, b" world");
    assert_eq!(lab.text(S), "hello world");
    assert_eq!(lab.only().states[1], TcpState::Established);
}

#[test]
fn in_mos_one_old_active_flow_keeps_all_younger_idle_ones_from_expiring() {
    let mut config = Lab::config();
    config.tcp.idle_timeout = Some(60 * SECOND);
    let mut lab = Lab::with(config);
    let (mut old, mut young) = (Flow::numbered(1), Flow::numbered(2));
    old.open(&mut lab);
    young.open(&mut lab);
    for _ in 0..62 {
        lab.wait(1000);
        old.send(&mut lab, C, b".");
    }
    assert_eq!(
        lab.newest(young.client, young.server).unwrap().closed,
        Some(CloseReason::Timeout)
    );
    assert_eq!(lab.newest(old.client, old.server).unwrap().closed, None);
}

#[test]
fn mos_loses_data_whose_ack_was_seen_first() {
    let (mut lab, mut flow) = opened();
    flow.ack(&mut lab, S, 5);
    flow.send(&mut lab, C, b"hello");
    assert_eq!(lab.text(S), "hello");
}

#[test]
fn in_mos_data_in_a_syn_leaves_a_hole_at_0() {
    let (mut lab, flow) = (Lab::new(), Flow::new());
    let mut syn = flow.syn();
    syn.payload = b"early".to_vec();
    lab.ip(&syn.ip());
    let mut answer = flow.syn_ack();
    answer.ack = flow.isn[0].wrapping_add(6);
    lab.ip(&answer.ip());
    lab.ip(&flow.segment(C, 5, PSH, b" bird").ip());
    assert_eq!(lab.text(S), "early bird");
}

#[test]
fn mos_segfaults_when_its_pool_runs_out_between_two_halves_of_a_flow() {
    let mut config = EngineConfig {
        memory: 1 << 20,
        ..Lab::config()
    };
    config.tcp.idle_timeout = None;
    let mut lab = Lab::with(config);
    for n in 0..1500 {
        let mut flow = Flow::numbered(n);
        flow.open(&mut lab);
        flow.send(&mut lab, C, &[1; 3000]);
        flow.send(&mut lab, S, &[2; 3000]);
        lab.wait(100);
        let connection = lab.newest(flow.client, flow.server).unwrap();
        assert_eq!(lab.runs(connection.id, S), [(0, vec![1; 3000])]);
        assert_eq!(lab.runs(connection.id, C), [(0, vec![2; 3000])]);
    }
}

#[test]
fn in_mos_a_stale_sockid_names_another_flow() {
    let mut config = EngineConfig {
        memory: 1 << 20,
        ..Lab::config()
    };
    config.tcp.linger = Some(SECOND);
    let mut lab = Lab::with(config);
    let mut old: Vec<SockId> = Vec::new();
    for n in 0..300 {
        let mut flow = Flow::numbered(n);
        flow.open(&mut lab);
        flow.send(&mut lab, C, b"mine");
        old.push(lab.newest(flow.client, flow.server).unwrap().id);
        flow.close(&mut lab);
        lab.wait(2000);
    }
    let now = old.pop().unwrap();
    for id in old {
        assert_ne!(id, now);
        assert!(lab.peek(id, S, 0, 9).is_err(), "{id:?}");
    }
}

#[test]
fn mos_exits_when_there_is_nothing_new_to_peek() {
    let (mut lab, mut flow) = opened();
    flow.send(&mut lab, C, b"x");
    let id = lab.only().id;
    assert_eq!(lab.peek(id, S, 0, 9).unwrap(), b"x");
    assert_eq!(
        lab.peek(id, S, 0, 9).unwrap(),
        b"x",
        "reading takes nothing away"
    );
    assert!(
        lab.peek(id, S, 1, 9).is_err(),
        "an error, and we are still here"
    );
}

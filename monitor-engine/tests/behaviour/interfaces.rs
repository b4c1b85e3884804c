//! Identity of flows: packets captured on several interfaces, equal addresses on two of them, VLAN tags.

use monitor_engine::{CloseReason, FlowConfig, LinkType, Side};

use crate::common::frame::{ACK, PSH, Segment};
use crate::common::{Flow, Lab};

const C: Side = Side::Client;
const S: Side = Side::Server;

/// Applies a segment on each of some interfaces.
fn on_each(lab: &mut Lab, interfaces: &[u16], segment: &Segment) {
    for interface in interfaces {
        lab.interface = *interface;
        lab.ip(&segment.ip());
    }
}

#[test]
fn copies_on_other_interfaces_are_no_retransmissions() {
    let (mut lab, mut flow) = (Lab::new(), Flow::new());
    for (round, order) in [[1, 2, 3], [1, 2, 3], [3, 1, 2], [2, 3, 1], [1, 3, 2]]
        .into_iter()
        .enumerate()
    {
        if round == 0 {
            for segment in [flow.syn(), flow.syn_ack()] {
                on_each(&mut lab, &order, &segment);
            }
        }
        let data = flow.data(C, b"ping");
        on_each(&mut lab, &order, &data);
        let answer = flow.data(S, b"pong");
        on_each(&mut lab, &order, &answer);
    }
    assert_eq!(lab.text(S), "ping".repeat(5));
    assert_eq!(lab.text(C), "pong".repeat(5));
    assert_eq!(lab.count("retransmitted_bytes"), 0);
    assert_eq!(lab.count("seen_elsewhere"), 20);
    assert_eq!(lab.count("seen_elsewhere_bytes"), 80);
    assert_eq!(lab.only().interface, 1);
}

#[test]
fn a_batch_of_each_interface_in_turn_shows_every_byte_once() {
    let (mut lab, mut flow) = (Lab::new(), Flow::new());
    for mut segment in [flow.syn(), flow.syn_ack()] {
        segment.timestamp = Some(200);
        on_each(&mut lab, &[4, 5], &segment);
    }
    let mut stamped = Vec::new();
    for round in 0..20_u32 {
        let mut data = flow.data(C, b"0123456789");
        data.timestamp = Some(300 + 10 * round);
        stamped.push(data);
    }
    for batch in stamped.chunks(5) {
        for interface in [4, 5] {
            for segment in batch {
                on_each(&mut lab, &[interface], segment);
            }
        }
    }
    assert_eq!(lab.text(S), "0123456789".repeat(20));
    assert_eq!(lab.count("retransmitted_bytes"), 0);
    assert_eq!(lab.count("seen_elsewhere_bytes"), 200);
    assert_eq!(lab.count("refused_timestamp"), 0);
}

#[test]
fn a_retransmission_on_several_interfaces_counts_once() {
    let (mut lab, mut flow) = (Lab::new(), Flow::new());
    flow.open(&mut lab);
    let data = flow.data(C, b"lost between 1 and 2");
    on_each(&mut lab, &[1], &data);
    on_each(&mut lab, &[1, 2], &data);
    let next = flow.data(C, b"!");
    on_each(&mut lab, &[1, 2], &next);
    assert_eq!(lab.side(S).retransmitted, 20);
    assert_eq!(lab.count("seen_elsewhere"), 2);
    assert_eq!(lab.text(S), "lost between 1 and 2!");
}

#[test]
fn a_path_that_changes_its_interface_is_followed() {
    let (mut lab, mut flow) = (Lab::new(), Flow::new());
    lab.interface = 1;
    flow.open(&mut lab);
    flow.send(&mut lab, C, b"by the first, ");
    lab.interface = 2;
    flow.send(&mut lab, C, b"by the second");
    flow.send(&mut lab, S, b"ok");
    flow.close(&mut lab);
    assert_eq!(lab.text(S), "by the first, by the second");
    assert_eq!(lab.count("seen_elsewhere_bytes"), 0);
    assert!(lab.only().closed.is_some());
}

#[test]
fn separate_interfaces_have_separate_connections() {
    let mut config = Lab::config();
    config.flow = FlowConfig {
        separate_interfaces: true,
        ..FlowConfig::default()
    };
    let mut lab = Lab::with(config);
    let mut flows = [Flow::new(), Flow::new()];
    for round in 0..3 {
        for (number, flow) in (1..).zip(&mut flows) {
            lab.interface = number;
            if round == 0 {
                flow.open(&mut lab);
            }
            flow.send(&mut lab, C, format!("interface {number}. ").as_bytes());
        }
    }
    let all = lab.connections();
    assert_eq!(all.len(), 2);
    for connection in all {
        let text = format!("interface {}. ", connection.interface).repeat(3);
        let bytes = lab.peek(connection.id, S, 0, 100).unwrap();
        assert_eq!(String::from_utf8(bytes).unwrap(), text);
    }
    assert_eq!(lab.count("seen_elsewhere"), 0);
}

/// Two flows with equal addresses and ports, and other sequence numbers.
fn red_and_blue() -> [Flow; 2] {
    let blue = Flow {
        isn: [0x4000_0000, 0x5000_0000],
        ..Flow::new()
    };
    [Flow::new(), blue]
}

#[test]
fn equal_addresses_on_two_interfaces_at_the_same_time_are_two_connections() {
    let (mut lab, mut flows) = (Lab::new(), red_and_blue());
    // The packets alternate, from the SYNs to the FINs.
    let mut apply = |lab: &mut Lab, step: &dyn Fn(&mut Flow, u16) -> Segment| {
        for (interface, flow) in (1..).zip(&mut flows) {
            let segment = step(flow, interface);
            on_each(lab, &[interface], &segment);
        }
    };
    apply(&mut lab, &|flow, _| flow.syn());
    apply(&mut lab, &|flow, _| flow.syn_ack());
    for _ in 0..3 {
        apply(&mut lab, &|flow, interface| {
            flow.data(C, format!("ask {interface}. ").as_bytes())
        });
        apply(&mut lab, &|flow, interface| {
            flow.data(S, format!("answer {interface}. ").as_bytes())
        });
    }
    assert_eq!(lab.count("opened"), 2);
    for connection in lab.connections() {
        let name = connection.interface;
        let expected = [format!("answer {name}. "), format!("ask {name}. ")];
        for (side, text) in [C, S].into_iter().zip(expected) {
            let bytes = lab.peek(connection.id, side, 0, 100).unwrap();
            assert_eq!(String::from_utf8(bytes).unwrap(), text.repeat(3));
        }
        assert_eq!(connection.closed, None);
    }
    for (number, flow) in (1..).zip(&mut flows) {
        lab.interface = number;
        flow.close(&mut lab);
    }
    for connection in lab.connections() {
        assert_eq!(connection.closed, Some(CloseReason::Fin));
    }
    assert_eq!(lab.count("seen_elsewhere"), 0);
    assert_eq!(lab.count("retransmitted_bytes"), 0);
}

#[test]
fn a_successor_that_is_captured_on_several_interfaces_closes_its_predecessor() {
    // The order in which the interfaces show SYN and answer of the successor.
    for order in [
        [(1, "syn"), (2, "syn"), (1, "answer"), (2, "answer")],
        [(2, "syn"), (1, "syn"), (2, "answer"), (1, "answer")],
        [(2, "syn"), (2, "answer"), (1, "syn"), (1, "answer")],
        [(2, "syn"), (2, "answer"), (3, "syn"), (3, "answer")],
    ] {
        let (mut lab, [mut old, mut new]) = (Lab::new(), red_and_blue());
        for segment in [old.syn(), old.syn_ack(), old.data(C, b"old")] {
            on_each(&mut lab, &[1], &segment);
        }
        for (interface, which) in order {
            let segment = if which == "syn" {
                new.syn()
            } else {
                new.syn_ack()
            };
            on_each(&mut lab, &[interface], &segment);
        }
        for text in [&b"new"[..], b"er"] {
            let data = new.data(C, text);
            on_each(&mut lab, &[1, 2, 3], &data);
        }
        assert_eq!(lab.count("opened"), 2, "{order:?}");
        let all = lab.connections();
        let texts = all
            .iter()
            .map(|one| (one.closed, lab.peek(one.id, S, 0, 9).unwrap()));
        let mut texts: Vec<_> = texts.collect();
        texts.sort_by_key(|(closed, _)| closed.is_none());
        let expected = [
            (Some(CloseReason::Reused), b"old".to_vec()),
            (None, b"newer".to_vec()),
        ];
        assert_eq!(texts, expected, "{order:?}");
        assert_eq!(lab.count("retransmitted_bytes"), 0, "{order:?}");
    }
}

/// Has a request and an answer captured with the tags of each direction; returns the number of connections.
fn connections_of(flow_config: FlowConfig, client: &[u16], server: &[u16]) -> usize {
    let mut config = Lab::config();
    config.flow = flow_config;
    let (mut lab, mut flow) = (Lab::with(config), Flow::new());
    let (syn, answer) = (flow.syn(), flow.syn_ack());
    lab.frame(LinkType::Ethernet, &syn.ethernet(client, 0));
    lab.frame(LinkType::Ethernet, &answer.ethernet(server, 0));
    let data = flow.data(C, b"request");
    assert_eq!(data.flags, ACK | PSH);
    lab.frame(LinkType::Ethernet, &data.ethernet(client, 0));
    lab.connections().len()
}

#[test]
fn a_priority_tag_never_separates() {
    let separate = FlowConfig::default();
    assert_eq!(connections_of(separate, &[0], &[]), 1);
    assert_eq!(connections_of(separate, &[0, 5], &[5]), 1);
    assert_eq!(connections_of(separate, &[5, 0], &[5]), 1);
    assert_eq!(connections_of(separate, &[5], &[6]), 2);
}

#[test]
fn tags_can_be_ignored() {
    let ignore = FlowConfig {
        ignore_vlan: true,
        ..FlowConfig::default()
    };
    assert_eq!(connections_of(ignore, &[5], &[6]), 1);
    assert_eq!(connections_of(ignore, &[5, 7], &[]), 1);
}

//! RSTs: believed inside the window only (RFC 5961), their payload never.

use monitor_engine::{CloseReason, Event, Refusal, Side, TcpState};

use crate::common::frame::{ACK, FIN, PSH, RST};
use crate::common::{Flow, Lab};

const C: Side = Side::Client;
const S: Side = Side::Server;

fn opened() -> (Lab, Flow) {
    let (mut lab, mut flow) = (Lab::new(), Flow::new());
    flow.open(&mut lab);
    flow.send(&mut lab, C, b"0123456789");
    flow.send(&mut lab, S, b"abcdef");
    flow.ack(&mut lab, C, 6);
    (lab, flow)
}

/// The handshake of two ends that negotiate selective acknowledgments.
fn open_with_sack(lab: &mut Lab, flow: &mut Flow) {
    for mut syn in [flow.syn(), flow.syn_ack()] {
        syn.sack = true;
        lab.ip(&syn.ip());
    }
    flow.ack(lab, C, 0);
}

#[test]
fn at_the_edge_it_ends_the_connection() {
    let (mut lab, mut flow) = opened();
    flow.rst(&mut lab, C, 10);
    let connection = lab.only();
    assert_eq!(connection.closed, Some(CloseReason::Rst));
    assert_eq!(connection.states, [TcpState::Closed; 2]);
    let closed = Event::Closed {
        id: connection.id,
        reason: CloseReason::Rst,
    };
    assert_eq!(
        lab.events()
            .iter()
            .filter(|event| **event == closed)
            .count(),
        1
    );
    assert_eq!(lab.text(S), "0123456789", "its bytes stay readable");
}

#[test]
fn after_it_nothing_counts_whatever_follows() {
    let (mut lab, mut flow) = opened();
    flow.at(&mut lab, C, 100, b"beyond a hole");
    flow.rst(&mut lab, C, 10);
    flow.rst(&mut lab, C, 113);
    flow.at(&mut lab, C, 10, b"late");
    let starts: Vec<u64> = lab.held(S).iter().map(|range| range.0).collect();
    assert_eq!(starts, [0, 100]);
    assert_eq!(lab.held(S)[0].1, b"0123456789");
}

#[test]
fn outside_the_window_it_is_ignored() {
    let (mut lab, mut flow) = opened();
    for off in [9, 0, -1000, 10 + 65535 + 1, 10 + (1 << 30)] {
        flow.rst(&mut lab, C, off);
    }
    assert_eq!(lab.only().closed, None);
    assert_eq!(lab.refused(Refusal::Rst), 5);
    flow.send(&mut lab, C, b" and on");
    assert_eq!(lab.text(S), "0123456789 and on");
}

#[test]
fn inside_the_window_but_not_at_its_edge_it_is_challenged() {
    let (mut lab, mut flow) = opened();
    flow.rst(&mut lab, S, 6 + 1000);
    assert_eq!(lab.only().closed, None);
    assert_eq!(lab.refused(Refusal::Rst), 1);
    flow.send(&mut lab, S, b"still here");
    assert_eq!(lab.text(C), "abcdefstill here");
    flow.rst(&mut lab, S, 16);
    assert_eq!(lab.only().closed, Some(CloseReason::Rst));
}

#[test]
fn without_an_answer_it_ends_the_connection_after_all() {
    let (mut lab, mut flow) = opened();
    flow.rst(&mut lab, S, 6 + 1000);
    lab.wait(700_000);
    assert_eq!(lab.only().closed, Some(CloseReason::Rst));
}

#[test]
fn an_answer_to_a_forged_syn_ack_resets_nothing() {
    let (mut lab, mut flow) = (Lab::new(), Flow::new());
    lab.ip(&flow.syn().ip());
    let mut forged = flow.syn_ack();
    forged.ack = forged.ack.wrapping_add(5000);
    lab.ip(&forged.ip());
    // The client answers with a RST at the acknowledged number (RFC 9293, 3.10.7.3).
    let mut rst = flow.segment(C, 5000, RST, b"");
    rst.flags = RST;
    lab.ip(&rst.ip());
    lab.ip(&flow.syn_ack().ip());
    flow.ack(&mut lab, C, 0);
    flow.send(&mut lab, C, b"genuine");
    flow.ack(&mut lab, S, 7);
    assert_eq!(lab.only().closed, None);
    assert_eq!(lab.text(S), "genuine");
    assert_eq!(lab.refused(Refusal::Rst), 1);
}

#[test]
fn at_the_number_of_a_received_fin_it_ends_the_connection() {
    for off in [10, 11] {
        let (mut lab, mut flow) = opened();
        flow.fin(&mut lab, C);
        flow.ack(&mut lab, S, 11);
        flow.rst(&mut lab, C, off);
        assert_eq!(lab.only().closed, Some(CloseReason::Rst), "{off}");
    }
}

#[test]
fn its_payload_is_not_stream_data() {
    let (mut lab, flow) = opened();
    lab.ip(&flow
        .segment(S, 6, RST, b"connection refused by policy")
        .ip());
    assert_eq!(lab.text(C), "abcdef");
    assert_eq!(lab.side(C).end, 6);
    assert_eq!(lab.only().closed, Some(CloseReason::Rst));
}

#[test]
fn refusal_of_a_syn() {
    let (mut lab, flow) = (Lab::new(), Flow::new());
    lab.ip(&flow.syn().ip());
    let mut refusal = flow.segment(S, 0, RST | ACK, b"");
    refusal.seq = 0;
    lab.ip(&refusal.ip());
    assert_eq!(lab.only().closed, Some(CloseReason::Rst));
}

#[test]
fn a_refusal_that_acknowledges_something_else_is_forged() {
    let (mut lab, flow) = (Lab::new(), Flow::new());
    lab.ip(&flow.syn().ip());
    let mut refusal = flow.segment(S, 0, RST | ACK, b"");
    refusal.seq = 0;
    refusal.ack = flow.isn[0].wrapping_add(12345);
    lab.ip(&refusal.ip());
    assert_eq!(lab.only().closed, None);
    assert_eq!(lab.refused(Refusal::Rst), 1);
}

#[test]
fn data_that_was_on_its_way_is_kept() {
    let (mut lab, mut flow) = opened();
    flow.rst(&mut lab, C, 10);
    flow.at(&mut lab, S, 6, b"ghi");
    assert_eq!(lab.text(C), "abcdefghi");
    assert_eq!(lab.count("opened"), 1, "no new connection for it");
}

#[test]
fn the_holes_of_a_reset_connection_are_named() {
    let (mut lab, mut flow) = opened();
    flow.at(&mut lab, C, 20, b"behind a hole");
    flow.rst(&mut lab, C, 10);
    let gap = Event::Gap {
        id: lab.only().id,
        side: S,
        off: 10,
        len: 10,
    };
    assert!(lab.events().contains(&gap));
    assert_eq!(lab.side(S).next, 33);
}

#[test]
fn after_it_data_counts_only_if_its_receiver_acknowledges_more_than_before() {
    let (mut lab, mut flow) = opened();
    flow.ack(&mut lab, S, 10);
    flow.at(&mut lab, C, 100, b"beyond a hole");
    flow.rst(&mut lab, C, 10);
    // Sent before the RST arrived.
    flow.ack(&mut lab, S, 10);
    flow.at(&mut lab, C, 10, b"late");
    let starts: Vec<u64> = lab.held(S).iter().map(|range| range.0).collect();
    assert_eq!(starts, [0, 100]);
    assert_eq!(lab.held(S)[0].1, b"0123456789");

    let (mut lab, mut flow) = opened();
    flow.ack(&mut lab, S, 10);
    flow.rst(&mut lab, C, 10);
    flow.ack(&mut lab, S, 10);
    flow.at(&mut lab, C, 10, b"ignored");
    assert_eq!(lab.text(S), "0123456789");
    flow.ack(&mut lab, S, 17);
    flow.at(&mut lab, C, 17, b" it");
    assert_eq!(lab.text(S), "0123456789ignored it");
}

#[test]
fn at_the_end_of_the_highest_range_it_counts_unless_the_receiver_may_have_forgotten_it() {
    for (ranges, closed) in [(4, Some(CloseReason::Rst)), (5, None)] {
        let (mut lab, mut flow) = (Lab::new(), Flow::new());
        open_with_sack(&mut lab, &mut flow);
        for range in 1..=ranges {
            flow.at(&mut lab, C, range * 100, b"beyond");
        }
        flow.rst(&mut lab, C, ranges * 100 + 6);
        assert_eq!(lab.only().closed, closed);
    }
}

#[test]
fn below_a_fin_that_is_acknowledged_selectively_it_is_challenged() {
    let (mut lab, mut flow) = (Lab::new(), Flow::new());
    flow.window[1] = 20;
    open_with_sack(&mut lab, &mut flow);
    flow.send(&mut lab, C, b"GET /");
    flow.ack(&mut lab, S, 5);
    lab.ip(&flow.segment(C, 25, FIN, b"").ip());
    flow.at(&mut lab, C, 10, b"abcde");
    let mut answer = flow.segment(S, 0, ACK, b"");
    answer.sacked = Some([25, 26].map(|off| flow.segment(C, off, ACK, b"").seq));
    lab.ip(&answer.ip());
    lab.ip(&flow.segment(C, 15, RST, b"").ip());
    lab.ip(&answer.ip());
    assert_eq!(lab.only().closed, None);
    assert_eq!(lab.refused(Refusal::Rst), 1);
}

#[test]
fn a_new_syn_after_a_rst_opens_a_new_connection() {
    let (mut lab, mut flow) = opened();
    flow.rst(&mut lab, C, 10);
    let old = lab.only().id;
    let mut flow = Flow {
        isn: [70_000, 80_000],
        ..Flow::new()
    };
    flow.open(&mut lab);
    lab.ip(&flow.segment(C, 0, PSH, b"second").ip());
    let new = lab.newest(flow.client, flow.server).unwrap();
    assert_ne!(new.id, old);
    assert_eq!(lab.peek(new.id, S, 0, 9).unwrap(), b"second");
}

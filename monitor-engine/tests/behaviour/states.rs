//! The states of both ends, as RFC 9293 names them.

use monitor_engine::TcpState as T;
use monitor_engine::{CloseReason, Event, Side};

use crate::common::frame::{ACK, FIN, PSH};
use crate::common::{Flow, Lab};

const C: Side = Side::Client;
const S: Side = Side::Server;

/// Client's and server's state.
fn states(lab: &Lab) -> (T, T) {
    let connection = lab.only();
    connection.states.into()
}

fn opened() -> (Lab, Flow) {
    let (mut lab, mut flow) = (Lab::new(), Flow::new());
    flow.open(&mut lab);
    (lab, flow)
}

#[test]
fn handshake() {
    let (mut lab, mut flow) = (Lab::new(), Flow::new());
    lab.ip(&flow.syn().ip());
    assert_eq!(states(&lab), (T::SynSent, T::Listen));
    lab.ip(&flow.syn_ack().ip());
    assert_eq!(states(&lab), (T::SynSent, T::SynReceived));
    flow.ack(&mut lab, C, 0);
    assert_eq!(states(&lab), (T::Established, T::Established));
    let id = lab.only().id;
    let events = lab.events();
    assert_eq!(events.first(), Some(&Event::Opened { id }));
    assert_eq!(
        events
            .iter()
            .filter(|event| **event == Event::Established { id })
            .count(),
        1
    );
}

#[test]
fn repeated_handshake_segments_change_nothing() {
    let (mut lab, mut flow) = (Lab::new(), Flow::new());
    for _ in 0..3 {
        lab.ip(&flow.syn().ip());
    }
    for _ in 0..3 {
        lab.ip(&flow.syn_ack().ip());
    }
    flow.ack(&mut lab, C, 0);
    lab.ip(&flow.syn_ack().ip());
    flow.send(&mut lab, C, b"hello");
    assert_eq!(states(&lab), (T::Established, T::Established));
    assert_eq!(lab.text(S), "hello");
    assert_eq!(lab.count("opened"), 1);
}

#[test]
fn simultaneous_open() {
    let (mut lab, mut flow) = (Lab::new(), Flow::between("10.0.0.1:4000", "10.0.0.2:4001"));
    lab.ip(&flow.syn().ip());
    let mut other = flow.syn_ack();
    other.flags &= !ACK;
    lab.ip(&other.ip());
    assert_eq!(states(&lab), (T::SynReceived, T::SynReceived));
    // Each answers the other's SYN with its own once more, now acknowledging.
    let mut answer = flow.syn();
    answer.flags |= ACK;
    answer.ack = flow.isn[1].wrapping_add(1);
    lab.ip(&answer.ip());
    lab.ip(&flow.syn_ack().ip());
    flow.send(&mut lab, C, b"from one");
    flow.send(&mut lab, S, b"from the other");
    assert_eq!(states(&lab), (T::Established, T::Established));
    assert_eq!(
        (lab.text(S).as_str(), lab.text(C).as_str()),
        ("from one", "from the other")
    );
    let connection = lab.only();
    assert!(!connection.midstream);
    assert_eq!(
        connection.client, flow.client,
        "who called first is the client"
    );
    assert_eq!(
        connection.sides.each_ref().map(|side| side.isn),
        [Some(5000), Some(1000)]
    );
}

#[test]
fn orderly_close() {
    let (mut lab, mut flow) = opened();
    flow.send(&mut lab, C, b"bye");
    flow.fin(&mut lab, C);
    assert_eq!(states(&lab), (T::FinWait1, T::CloseWait));
    flow.ack(&mut lab, S, 4);
    assert_eq!(states(&lab), (T::FinWait2, T::CloseWait));
    flow.fin(&mut lab, S);
    assert_eq!(states(&lab), (T::TimeWait, T::LastAck));
    assert_eq!(lab.only().closed, None, "the last ACK is missing");
    flow.ack(&mut lab, C, 1);
    assert_eq!(states(&lab), (T::TimeWait, T::Closed));
    let connection = lab.only();
    assert_eq!(connection.closed, Some(CloseReason::Fin));
    assert_eq!(
        connection.sides.each_ref().map(|side| side.fin),
        [Some(0), Some(3)]
    );
    let closed = Event::Closed {
        id: connection.id,
        reason: CloseReason::Fin,
    };
    assert_eq!(
        lab.events()
            .iter()
            .filter(|event| **event == closed)
            .count(),
        1
    );
    assert_eq!(lab.text(S), "bye", "a closed connection stays readable");
}

#[test]
fn after_a_half_close_the_other_direction_continues() {
    let (mut lab, mut flow) = opened();
    flow.send(&mut lab, C, b"request");
    flow.fin(&mut lab, C);
    flow.ack(&mut lab, S, 8);
    for part in ["a ", "long ", "answer"] {
        flow.send(&mut lab, S, part.as_bytes());
        flow.ack(&mut lab, C, flow.acked[0]);
    }
    assert_eq!(states(&lab), (T::FinWait2, T::CloseWait));
    assert_eq!(lab.text(C), "a long answer");
    assert_eq!(lab.only().closed, None);
    flow.fin(&mut lab, S);
    flow.ack(&mut lab, C, 14);
    assert_eq!(lab.only().closed, Some(CloseReason::Fin));
}

#[test]
fn crossing_fins() {
    let (mut lab, flow) = opened();
    lab.ip(&flow.segment(C, 0, FIN, b"").ip());
    lab.ip(&flow.segment(S, 0, FIN, b"").ip());
    assert_eq!(states(&lab), (T::Closing, T::Closing));
    let mut flow = flow;
    flow.sent = [1, 1];
    flow.ack(&mut lab, C, 1);
    flow.ack(&mut lab, S, 1);
    assert_eq!(states(&lab), (T::TimeWait, T::TimeWait));
    assert_eq!(lab.only().closed, Some(CloseReason::Fin));
}

#[test]
fn fin_with_data() {
    let (mut lab, flow) = opened();
    lab.ip(&flow.segment(C, 0, FIN | PSH, b"last words").ip());
    assert_eq!(lab.text(S), "last words");
    let side = lab.side(S);
    assert_eq!((side.fin, side.next, side.end), (Some(10), 10, 10));
    assert_eq!(states(&lab), (T::FinWait1, T::CloseWait));
}

#[test]
fn a_fin_repeated_with_data_stays_at_its_offset() {
    let (mut lab, flow) = opened();
    lab.ip(&flow.segment(C, 0, PSH, b"abc").ip());
    lab.ip(&flow.segment(C, 3, FIN, b"").ip());
    lab.ip(&flow.segment(C, 0, FIN | PSH, b"abc").ip());
    assert_eq!(lab.side(S).fin, Some(3));
    assert_eq!(lab.text(S), "abc");
}

#[test]
fn early_fin_waits_for_the_bytes_before_it() {
    let (mut lab, flow) = opened();
    lab.ip(&flow.segment(C, 6, FIN, b"").ip());
    assert_eq!(lab.side(S).fin, Some(6));
    assert_eq!(
        states(&lab),
        (T::FinWait1, T::Established),
        "not delivered yet"
    );
    lab.ip(&flow.segment(C, 3, PSH, b"def").ip());
    lab.ip(&flow.segment(C, 0, PSH, b"abc").ip());
    assert_eq!(states(&lab), (T::FinWait1, T::CloseWait));
    assert_eq!(lab.text(S), "abcdef");
}

/// Both ends close while the last bytes of the client are missing: `abc` and FINs.
fn close_over_a_hole() -> (Lab, Flow) {
    let (mut lab, mut flow) = opened();
    flow.at(&mut lab, C, 0, b"abc");
    lab.ip(&flow.segment(C, 10, FIN, b"").ip());
    flow.sent = [11, 0];
    flow.acked[1] = 11;
    flow.fin(&mut lab, S);
    flow.ack(&mut lab, C, 1);
    (lab, flow)
}

#[test]
fn fin_over_a_hole_closes_after_the_loss_delay_and_names_the_hole() {
    let (mut lab, mut flow) = close_over_a_hole();
    assert_eq!(lab.only().closed, None);
    lab.wait(201);
    let connection = lab.only();
    assert_eq!(connection.closed, Some(CloseReason::Fin));
    let gap = Event::Gap {
        id: connection.id,
        side: S,
        off: 3,
        len: 7,
    };
    assert!(lab.events().contains(&gap));
    assert_eq!(
        (connection.sides[1].next, connection.sides[1].gaps),
        (10, 1)
    );
    // Late bytes still find their place.
    flow.at(&mut lab, C, 3, b"defghij");
    assert_eq!(lab.text(S), "abcdefghij");
}

#[test]
fn bytes_that_the_fins_have_overtaken_close_the_connection_without_a_gap() {
    let (mut lab, mut flow) = close_over_a_hole();
    lab.wait(100);
    flow.at(&mut lab, C, 6, b"ghij");
    assert_eq!(lab.only().closed, None);
    flow.at(&mut lab, C, 3, b"def");
    let connection = lab.only();
    assert_eq!(connection.closed, Some(CloseReason::Fin));
    assert_eq!(connection.sides[1].gaps, 0);
    assert_eq!(lab.text(S), "abcdefghij");
    lab.wait(300);
    let is_gap = |event: &Event| matches!(event, Event::Gap { .. });
    assert!(!lab.events().iter().any(is_gap));
}

#[test]
fn a_new_syn_closes_a_connection_whose_fins_have_overtaken_bytes() {
    let (mut lab, flow) = close_over_a_hole();
    let old = lab.only().id;
    let mut next = Flow {
        isn: [70_000, 80_000],
        ..Flow::new()
    };
    next.open(&mut lab);
    next.send(&mut lab, C, b"second");
    let new = lab.newest(flow.client, flow.server).unwrap();
    assert_ne!(new.id, old);
    let reason = CloseReason::Fin;
    assert!(lab.events().contains(&Event::Closed { id: old, reason }));
    assert_eq!(lab.peek(new.id, S, 0, 9).unwrap(), b"second");
}

#[test]
fn the_end_of_a_capture_closes_a_connection_whose_fins_have_overtaken_bytes() {
    let (mut lab, _) = close_over_a_hole();
    lab.engine.finish();
    let connection = lab.only();
    assert_eq!(connection.closed, Some(CloseReason::Fin));
    assert_eq!(connection.sides[1].gaps, 1);
}

#[test]
fn bytes_at_and_after_the_fin_are_not_of_the_stream() {
    let (mut lab, flow) = opened();
    lab.ip(&flow.segment(C, 0, FIN | PSH, b"abc").ip());
    lab.ip(&flow.segment(C, 2, PSH, b"cXYZ").ip());
    lab.ip(&flow.segment(C, 5, PSH, b"nothing").ip());
    assert_eq!(lab.text(S), "abc");
    assert_eq!(lab.side(S).end, 3);
    assert_eq!(lab.count("after_fin_bytes"), 3 + 7);
}

#[test]
fn bytes_that_wait_up_to_the_end_of_a_block_are_discarded_by_a_fin_alone() {
    /// Bytes of a block, and blocks that an index block leads to.
    const BLOCK: i64 = 2048;
    const INDEXED: i64 = 512;
    for end in (1..8).chain([INDEXED - 1, INDEXED, INDEXED + 1]) {
        let (mut lab, mut flow) = (Lab::new(), Flow::new());
        flow.scale = [Some(7); 2];
        flow.open(&mut lab);
        flow.ack(&mut lab, S, 0);
        flow.send(&mut lab, C, &[b'x'; 1900]);
        flow.at(&mut lab, C, end * BLOCK - 1, b"z");
        assert_eq!(lab.side(S).end as i64, end * BLOCK);
        lab.ip(&flow.segment(C, 1900, FIN, b"").ip());
        assert_eq!(lab.text(S), "x".repeat(1900), "{end}");
        let side = lab.side(S);
        assert_eq!((side.end, side.fin), (1900, Some(1900)));
    }
}

#[test]
fn a_second_fin_elsewhere_does_not_move_the_end() {
    let (mut lab, flow) = opened();
    lab.ip(&flow.segment(C, 0, FIN | PSH, b"abc").ip());
    lab.ip(&flow.segment(C, 20, FIN, b"").ip());
    lab.ip(&flow.segment(C, 1, FIN, b"").ip());
    assert_eq!(lab.side(S).fin, Some(3));
}

#[test]
fn a_fin_before_received_bytes_is_not_believed() {
    let (mut lab, mut flow) = opened();
    flow.at(&mut lab, C, 0, b"abcdefgh");
    lab.ip(&flow.segment(C, 2, FIN, b"").ip());
    assert_eq!(lab.side(S).fin, None);
    flow.at(&mut lab, C, 8, b"ij");
    assert_eq!(lab.text(S), "abcdefghij");
}

#[test]
fn data_after_the_last_ack_of_a_closed_connection_is_not_lost() {
    let (mut lab, mut flow) = opened();
    flow.at(&mut lab, S, 5, b"world");
    flow.sent = [0, 10];
    flow.acked = [10, 0];
    flow.close(&mut lab);
    lab.wait(201);
    assert_eq!(lab.only().closed, Some(CloseReason::Fin));
    flow.at(&mut lab, S, 0, b"hello");
    assert_eq!(lab.text(C), "helloworld");
    assert_eq!(lab.count("opened"), 1);
}

//! Times of FINs, and the sender and the time of the RST.

use monitor_engine::{CloseReason, Reset, Side, SideSettings};

use crate::common::frame::{ACK, FIN, RST};
use crate::common::{Flow, Lab, MS};

const C: Side = Side::Client;
const S: Side = Side::Server;

fn opened() -> (Lab, Flow, u64) {
    let (mut lab, mut flow) = (Lab::new(), Flow::new());
    flow.open(&mut lab);
    let start = lab.now;
    (lab, flow, start)
}

/// Returns the times of the FINs of client and server, in milliseconds since `start`.
fn fins(lab: &Lab, start: u64) -> [Option<u64>; 2] {
    let fins = lab.only().fins;
    fins.map(|time| time.map(|time| (time - start) / MS))
}

/// Returns sender and time of the RST, in milliseconds since `start`.
fn reset(lab: &Lab, start: u64) -> Option<(Side, Option<u64>)> {
    let Reset { by, time } = lab.only().reset?;
    // Rounded down.
    Some((by, time.map(|time| (time + MS / 2 - start) / MS)))
}

#[test]
fn each_fin_has_its_time() {
    let (mut lab, mut flow, start) = opened();
    flow.send(&mut lab, C, b"request");
    assert_eq!(fins(&lab, start), [None, None]);
    lab.now = start + 10 * MS;
    flow.fin(&mut lab, C);
    assert_eq!(fins(&lab, start), [Some(10), None]);
    for n in 0..100 {
        lab.now = start + (20 + n) * MS;
        flow.send(&mut lab, S, b"part of the response");
        flow.ack(&mut lab, C, 20 * (n + 1));
    }
    lab.now = start + 500 * MS;
    flow.fin(&mut lab, S);
    lab.now = start + 510 * MS;
    flow.ack(&mut lab, S, 8);
    flow.ack(&mut lab, C, 2001);
    assert_eq!(lab.only().closed, Some(CloseReason::Fin));
    assert_eq!(fins(&lab, start), [Some(10), Some(500)]);
    assert_eq!(reset(&lab, start), None);
}

#[test]
fn a_fin_with_data_or_without_any_byte_has_its_time() {
    let (mut lab, mut flow, start) = opened();
    lab.now = start + 10 * MS;
    lab.ip(&flow.segment(C, 0, FIN | ACK, b"all of it").ip());
    lab.now = start + 20 * MS;
    flow.fin(&mut lab, S);
    assert_eq!(fins(&lab, start), [Some(10), Some(20)]);
    // It comes again.
    lab.now = start + 30 * MS;
    flow.fin(&mut lab, S);
    assert_eq!(fins(&lab, start), [Some(10), Some(20)]);
    assert_eq!(lab.text(S), "all of it");
}

#[test]
fn a_fin_beyond_a_hole_counts_when_the_hole_is_filled_or_lost() {
    for is_filled in [true, false] {
        let (mut lab, mut flow, start) = opened();
        flow.at(&mut lab, C, 0, b"abc");
        lab.now = start + 10 * MS;
        lab.ip(&flow.segment(C, 6, FIN | ACK, b"ghi").ip());
        assert_eq!(fins(&lab, start), [None, None]);
        if is_filled {
            lab.now = start + 20 * MS;
            flow.at(&mut lab, C, 3, b"def");
            assert_eq!(fins(&lab, start), [Some(20), None]);
        } else {
            flow.ack(&mut lab, S, 10);
            lab.wait(300);
            assert_eq!(fins(&lab, start), [None, None]);
            lab.now = start + 400 * MS;
            lab.ip(&flow.segment(C, 10, ACK, b"").ip());
            assert_eq!(fins(&lab, start), [Some(400), None]);
        }
    }
}

#[test]
fn the_sender_of_the_rst_and_its_time_are_noted() {
    for sender in [C, S] {
        let (mut lab, mut flow, start) = opened();
        flow.send(&mut lab, C, b"request");
        flow.send(&mut lab, S, b"response");
        lab.now = start + 10 * MS;
        flow.rst(&mut lab, sender, if sender == C { 7 } else { 8 });
        assert_eq!(reset(&lab, start), Some((sender, Some(10))));
        // Bytes that were on their way have times of their own, on both sides.
        lab.now = start + 10 * MS + MS / 4;
        flow.send(&mut lab, sender.peer(), b" and more");
        lab.now = start + 20 * MS;
        for n in 0..20 {
            lab.now = start + (20 + n) * MS;
            flow.send(&mut lab, sender, b"x");
            flow.rst(&mut lab, sender.peer(), 30);
        }
        assert_eq!(reset(&lab, start), Some((sender, Some(10))));
        let connection = lab.only();
        assert!(connection.last > start + 30 * MS);
        let turns = lab.reader.turns(connection.id, [0, 0], 9).unwrap().turns;
        let time = connection.reset.unwrap().time.unwrap();
        let after: Vec<_> = turns.iter().filter(|turn| turn.time > time).collect();
        assert_eq!(after[0].side, sender);
        assert_eq!(after[0].len, 9);
    }
}

#[test]
fn a_rst_after_a_fin_has_its_own_time() {
    let (mut lab, mut flow, start) = opened();
    flow.send(&mut lab, C, b"request");
    lab.now = start + 10 * MS;
    flow.fin(&mut lab, C);
    lab.now = start + 20 * MS;
    flow.send(&mut lab, S, b"unwanted");
    lab.now = start + 21 * MS;
    flow.rst(&mut lab, C, 8);
    assert_eq!(fins(&lab, start), [Some(10), None]);
    assert_eq!(reset(&lab, start), Some((C, Some(21))));
}

#[test]
fn a_rst_of_a_silent_end_has_its_time() {
    let (mut lab, mut flow, start) = opened();
    flow.send(&mut lab, C, b"request");
    lab.now = start + 10 * MS;
    flow.rst(&mut lab, S, 0);
    lab.now = start + 20 * MS;
    flow.rst(&mut lab, S, 0);
    assert_eq!(reset(&lab, start), Some((S, Some(10))));
}

#[test]
fn a_refusal_is_the_last_packet_and_takes_no_block() {
    let (mut lab, flow) = (Lab::new(), Flow::new());
    lab.ip(&flow.syn().ip());
    let before = lab.count("used");
    let start = lab.now;
    lab.now += 10 * MS;
    let mut rst = flow.syn_ack();
    rst.flags = RST | ACK;
    lab.ip(&rst.ip());
    assert_eq!(lab.only().closed, Some(CloseReason::Rst));
    assert_eq!(reset(&lab, start), Some((S, Some(10))));
    assert_eq!(lab.count("used"), before);
}

#[test]
fn a_rst_that_nothing_follows_counts_and_one_that_is_answered_does_not() {
    let (mut lab, mut flow, start) = opened();
    flow.send(&mut lab, C, b"request");
    flow.send(&mut lab, S, b"response");
    lab.now = start + 10 * MS;
    flow.rst(&mut lab, C, 7 + 1000);
    flow.ack(&mut lab, S, 7);
    lab.now = start + 20 * MS;
    flow.rst(&mut lab, S, 8 + 1000);
    assert_eq!(reset(&lab, start), None, "it may be answered");
    lab.wait(700_000);
    assert_eq!(lab.only().closed, Some(CloseReason::Rst));
    assert_eq!(reset(&lab, start), Some((S, Some(20))));
}

#[test]
fn a_timeout_after_an_answered_rst_is_no_reset() {
    let (mut lab, mut flow, start) = opened();
    flow.send(&mut lab, C, b"request");
    flow.rst(&mut lab, C, 7 + 1000);
    flow.ack(&mut lab, S, 7);
    lab.wait(700_000);
    assert_eq!(lab.only().closed, Some(CloseReason::Timeout));
    assert_eq!(reset(&lab, start), None);
}

#[test]
fn without_a_window_the_sender_is_known_and_the_times_are_not() {
    let (mut lab, mut flow, start) = opened();
    let id = lab.only().id;
    let off = SideSettings {
        disable: true,
        ..SideSettings::default()
    };
    lab.engine.configure(id, [off; 2]).unwrap();
    flow.send(&mut lab, C, b"request");
    flow.fin(&mut lab, C);
    flow.rst(&mut lab, S, 0);
    assert_eq!(lab.side(S).fin, Some(7));
    assert_eq!(fins(&lab, start), [None, None]);
    assert_eq!(reset(&lab, start), Some((S, None)));
}

#[test]
fn the_next_connection_in_a_record_inherits_nothing() {
    let (mut lab, mut flow, _) = opened();
    flow.send(&mut lab, C, b"request");
    flow.rst(&mut lab, C, 7);
    let first = lab.only();
    assert!(first.reset.is_some());
    lab.wait(700_000);
    let mut flow = Flow::numbered(2);
    flow.open(&mut lab);
    assert_eq!(lab.only().id.position(), first.id.position());
    lab.wait(700_000);
    let connection = lab.only();
    assert_eq!(connection.closed, Some(CloseReason::Timeout));
    assert_eq!((connection.reset, connection.fins), (None, [None; 2]));
}

//! Segments that a receiver refuses, beside the genuine ones: readers get the bytes that the receiver accepted.

use monitor_engine::{CloseReason, Refusal, Side};

use crate::common::frame::{ACK, FIN, PSH, RST, SYN, Segment};
use crate::common::{Flow, Lab};

const C: Side = Side::Client;
const S: Side = Side::Server;

/// An established connection on which the client has sent 5 bytes and the server 3, all acknowledged.
fn established() -> (Lab, Flow) {
    let (mut lab, mut flow) = (Lab::new(), Flow::new());
    flow.open(&mut lab);
    flow.send(&mut lab, C, b"GET /");
    flow.send(&mut lab, S, b"200");
    flow.ack(&mut lab, C, 3);
    (lab, flow)
}

/// Sends a forged segment, then the genuine bytes and their acknowledgment.
fn forged_then_genuine(lab: &mut Lab, flow: &mut Flow, forged: &Segment) {
    lab.ip(&forged.ip());
    flow.send(lab, C, b"genuine!");
    flow.ack(lab, S, 13);
}

/// Adds the timestamps option.
fn stamped(segment: Segment, value: u32) -> Segment {
    Segment {
        timestamp: Some(value),
        ..segment
    }
}

#[track_caller]
fn assert_unharmed(lab: &mut Lab, reason: Refusal) {
    assert_eq!(lab.text(S), "GET /genuine!");
    assert_eq!(lab.side(S).end, 13);
    assert_eq!(lab.side(S).gaps, 0);
    assert_eq!(lab.only().closed, None);
    assert_eq!(lab.refused(reason), 1, "{reason:?}");
}

#[test]
fn a_syn_with_another_number_is_challenged_and_the_connection_continues() {
    for seq in [0x4000_0000, 0xC000_0000] {
        let (mut lab, mut flow) = established();
        let mut syn = flow.syn();
        syn.seq = seq;
        lab.ip(&syn.ip());
        // The challenge acknowledgment of the server.
        flow.ack(&mut lab, S, 5);
        flow.send(&mut lab, C, b"genuine!");
        flow.ack(&mut lab, S, 13);
        flow.close(&mut lab);
        assert_eq!(lab.text(S), "GET /genuine!");
        assert_eq!(lab.count("opened"), 1);
        assert_eq!(lab.refused(Refusal::Syn), 1);
        assert_eq!(lab.only().closed, Some(CloseReason::Fin));
    }
}

#[test]
fn a_syn_ack_with_another_number_is_refused() {
    let (mut lab, mut flow) = established();
    let mut answer = flow.syn_ack();
    answer.seq = 0x7000_0000;
    answer.ack = flow.isn[0].wrapping_add(6);
    lab.ip(&answer.ip());
    flow.send(&mut lab, C, b"genuine!");
    assert_unharmed(&mut lab, Refusal::Syn);
}

#[test]
fn a_syn_that_the_other_end_answers_begins_another_connection() {
    let (mut lab, flow) = established();
    let old = lab.only().id;
    let mut new = Flow {
        isn: [0x4000_0000, 0x5000_0000],
        ..Flow::new()
    };
    assert_eq!(new.client, flow.client);
    lab.ip(&new.syn().ip());
    assert_eq!(lab.count("opened"), 1, "not before the server answers");
    lab.ip(&new.syn_ack().ip());
    new.ack(&mut lab, C, 0);
    new.send(&mut lab, C, b"second");
    let id = lab.newest(new.client, new.server).unwrap().id;
    assert_ne!(id, old);
    assert_eq!(lab.peek(id, S, 0, 9).unwrap(), b"second");
    assert_eq!(lab.peek(old, S, 0, 9).unwrap(), b"GET /");
    let old = lab.reader.connection(old).unwrap();
    assert_eq!(old.closed, Some(CloseReason::Reused));
}

#[test]
fn data_and_fin_without_ack_flag_are_refused() {
    for (flags, payload) in [(PSH, &b"forged!!"[..]), (FIN, b"")] {
        let (mut lab, mut flow) = established();
        let mut forged = flow.segment(C, 5, flags, payload);
        forged.flags = flags;
        forged.ack = 0;
        forged_then_genuine(&mut lab, &mut flow, &forged);
        assert_unharmed(&mut lab, Refusal::NoAck);
        assert_eq!(lab.side(S).fin, None);
    }
}

#[test]
fn data_and_fin_that_acknowledge_bytes_never_sent_are_refused() {
    for (flags, payload) in [(PSH, &b"forged!!"[..]), (FIN, b"")] {
        let (mut lab, mut flow) = established();
        let mut forged = flow.segment(C, 5, flags, payload);
        forged.ack = forged.ack.wrapping_add(5000);
        forged_then_genuine(&mut lab, &mut flow, &forged);
        if flags == FIN {
            // It waits for an acknowledgment that never comes.
            flow.close(&mut lab);
            assert_eq!(lab.text(S), "GET /genuine!");
            assert_eq!(lab.side(S).fin, Some(13));
        } else {
            assert_unharmed(&mut lab, Refusal::AckUnsent);
        }
    }
}

#[test]
fn data_that_acknowledges_less_than_was_ever_outstanding_is_refused() {
    let (mut lab, mut flow) = established();
    let mut forged = flow.segment(C, 5, PSH, b"forged!!");
    forged.ack = forged.ack.wrapping_sub(1 << 30);
    forged_then_genuine(&mut lab, &mut flow, &forged);
    assert_unharmed(&mut lab, Refusal::AckTooOld);
}

#[test]
fn a_rst_that_is_not_at_the_edge_is_challenged() {
    let (mut lab, mut flow) = established();
    flow.rst(&mut lab, C, 105);
    flow.ack(&mut lab, S, 5);
    flow.send(&mut lab, C, b"genuine!");
    assert_unharmed(&mut lab, Refusal::Rst);
}

#[test]
fn an_old_timestamp_is_refused() {
    for (flags, payload) in [(PSH, &b"forged!!"[..]), (FIN, b"")] {
        let (mut lab, mut flow) = (Lab::new(), Flow::new());
        lab.ip(&stamped(flow.syn(), 1000).ip());
        lab.ip(&stamped(flow.syn_ack(), 500).ip());
        lab.ip(&stamped(flow.segment(C, 0, ACK, b""), 1001).ip());
        lab.ip(&stamped(flow.segment(C, 0, PSH, b"GET /"), 1002).ip());
        flow.sent[0] = 5;
        flow.acked[1] = 5;
        lab.ip(&stamped(flow.segment(S, 0, ACK, b""), 501).ip());
        lab.ip(&stamped(flow.segment(C, 5, flags, payload), 7).ip());
        lab.ip(&stamped(flow.segment(C, 5, PSH, b"genuine!"), 1003).ip());
        flow.acked[1] = 13;
        lab.ip(&stamped(flow.segment(S, 0, ACK, b""), 502).ip());
        assert_eq!(lab.text(S), "GET /genuine!");
        assert_eq!(lab.side(S).fin, None);
        if flags == PSH {
            assert_unharmed(&mut lab, Refusal::Timestamp);
        }
    }
}

#[test]
fn the_byte_of_a_zero_window_probe_counts_when_it_is_acknowledged() {
    let (mut lab, mut flow) = (Lab::new(), Flow::new());
    flow.window[1] = 5;
    flow.open(&mut lab);
    flow.send(&mut lab, C, b"GET /");
    flow.window[1] = 0;
    flow.ack(&mut lab, S, 5);
    flow.at(&mut lab, C, 5, b"X");
    // The receiver refuses it: the window is still closed.
    flow.ack(&mut lab, S, 5);
    assert_eq!(lab.text(S), "GET /");
    flow.window[1] = 65535;
    flow.ack(&mut lab, S, 5);
    flow.send(&mut lab, C, b"genuine!");
    flow.ack(&mut lab, S, 13);
    assert_unharmed(&mut lab, Refusal::Window);
}

#[test]
fn data_that_ends_beyond_the_window_counts_when_it_is_acknowledged_selectively() {
    let (mut lab, mut flow) = (Lab::new(), Flow::new());
    flow.window[1] = 20;
    flow.open(&mut lab);
    flow.send(&mut lab, C, b"GET /");
    flow.ack(&mut lab, S, 5);
    flow.at(&mut lab, C, 20, b"0123456789");
    assert_eq!(lab.side(S).end, 5);
    let mut answer = flow.segment(S, 0, ACK, b"");
    answer.sacked = Some([20, 30].map(|off| flow.segment(C, off, ACK, b"").seq));
    lab.ip(&answer.ip());
    assert_eq!(lab.side(S).end, 30);
}

#[test]
fn a_repeated_syn_ack_does_not_make_later_timestamps_old() {
    let (mut lab, flow) = (Lab::new(), Flow::new());
    lab.ip(&stamped(flow.syn(), 1000).ip());
    lab.ip(&stamped(flow.syn_ack(), 500).ip());
    lab.ip(&stamped(flow.segment(C, 0, ACK, b""), 1001).ip());
    lab.ip(&stamped(flow.syn_ack(), 510).ip());
    lab.ip(&stamped(flow.segment(S, 0, PSH, b"200"), 501).ip());
    assert_eq!(lab.text(C), "200");
    assert_eq!(lab.side(C).next, 3);
}

#[test]
fn after_crossed_syns_the_timestamp_of_the_syn_ack_counts() {
    let (mut lab, flow) = (Lab::new(), Flow::new());
    let mut crossed = flow.syn_ack();
    (crossed.flags, crossed.ack) = (SYN, 0);
    lab.ip(&stamped(flow.syn(), 1000).ip());
    lab.ip(&stamped(crossed, 500).ip());
    lab.ip(&stamped(flow.segment(C, -1, SYN | ACK, b""), 1001).ip());
    lab.ip(&stamped(flow.syn_ack(), 502).ip());
    lab.ip(&stamped(flow.segment(S, 0, PSH, b"old"), 500).ip());
    lab.ip(&stamped(flow.segment(C, 0, ACK, b""), 1002).ip());
    lab.ip(&stamped(flow.segment(S, 0, PSH, b"200"), 503).ip());
    assert_eq!(lab.text(C), "200");
    assert_eq!(lab.refused(Refusal::Timestamp), 1);
}

#[test]
fn data_of_a_syn_that_is_not_acknowledged_is_replaced() {
    let (mut lab, mut flow) = (Lab::new(), Flow::new());
    let mut syn = flow.syn();
    syn.payload = b"forged".to_vec();
    lab.ip(&syn.ip());
    lab.ip(&flow.syn_ack().ip());
    flow.ack(&mut lab, C, 0);
    flow.send(&mut lab, C, b"genuine");
    flow.ack(&mut lab, S, 7);
    assert_eq!(lab.text(S), "genuine");
    assert_eq!(lab.refused(Refusal::SynData), 1);
}

#[test]
fn an_acknowledgment_of_a_fin_may_be_captured_before_the_fin() {
    let (mut lab, mut flow) = established();
    flow.fin(&mut lab, C);
    let fin = flow.segment(S, 3, FIN, b"");
    flow.sent[1] = 4;
    flow.ack(&mut lab, C, 4);
    flow.acked[1] = 6;
    lab.ip(&Segment {
        ack: flow.isn[0].wrapping_add(7),
        ..fin
    }
    .ip());
    assert_eq!(lab.only().closed, Some(CloseReason::Fin));
}

#[test]
fn the_syn_may_be_captured_after_the_end() {
    for reset in [false, true] {
        let (mut lab, mut flow) = established();
        if reset {
            flow.rst(&mut lab, C, 5);
        } else {
            flow.close(&mut lab);
        }
        lab.ip(&flow.syn().ip());
        assert_eq!(lab.count("opened"), 1);
    }
}

#[test]
fn one_damaged_segment_far_ahead_moves_nothing_when_one_direction_is_captured() {
    let (mut lab, mut flow) = (Lab::new(), Flow::new());
    flow.mute = true;
    flow.at(&mut lab, C, 0, b"line 0\n");
    flow.at(&mut lab, C, 900_000_000, b"damaged");
    flow.at(&mut lab, C, 7, b"line 1\n");
    assert_eq!(lab.text(S), "line 0\nline 1\n");
    assert_eq!((lab.side(S).end, lab.side(S).gaps), (14, 0));
}

#[test]
fn losses_of_the_capture_do_not_make_honest_segments_unacceptable() {
    // The server's answer is lost on the way to the capture: the client acknowledges bytes that were never seen.
    let (mut lab, mut flow) = established();
    flow.sent[1] += 1000;
    flow.acked[0] = 1003;
    flow.send(&mut lab, C, b"genuine!");
    flow.ack(&mut lab, S, 13);
    assert_eq!(lab.text(S), "GET /genuine!");
}

#[test]
fn a_receiver_that_falls_silent_does_not_hold_back_its_sender() {
    let (mut lab, mut flow) = established();
    let mut sent = 5;
    for _ in 0..200 {
        flow.at(&mut lab, C, sent, &[b'x'; 1000]);
        sent += 1000;
        lab.wait(20);
    }
    lab.wait(1100);
    assert_eq!(lab.side(S).next, sent as u64);
    assert_eq!(lab.side(S).gaps, 0);
}

#[test]
fn a_flood_of_forged_segments_stays_within_the_budget() {
    let (mut lab, mut flow) = established();
    for n in 0..10_000u32 {
        let mut forged = flow.segment(C, 5, PSH, &[b'!'; 1400]);
        forged.ack = forged.ack.wrapping_add(5000 + n);
        lab.ip(&forged.ip());
        if n % 4 == 0 {
            flow.ack(&mut lab, S, 5);
        }
    }
    assert!(lab.count("used") <= lab.count("budget"));
    flow.send(&mut lab, C, b"genuine!");
    flow.ack(&mut lab, S, 13);
    assert_eq!(lab.text(S), "GET /genuine!");
    let mut reset = flow.segment(C, 13, RST | SYN, b"");
    reset.flags = RST;
    lab.ip(&reset.ip());
    assert_eq!(lab.only().closed, Some(CloseReason::Rst));
}

#[test]
fn a_syn_that_finds_no_room_is_not_applied_as_data() {
    let mut config = Lab::config();
    config.memory = 1 << 20;
    let (mut lab, mut flow) = (Lab::with(config), Flow::new());
    flow.open(&mut lab);
    // Held, and large enough to leave no room for another.
    let mut forged = flow.segment(C, 0, PSH, &[b'!'; 9000]);
    forged.ack = forged.ack.wrapping_add(5000);
    lab.ip(&forged.ip());
    let mut syn = flow.syn();
    syn.seq = syn.seq.wrapping_add(70);
    syn.payload = vec![b'?'; 9000];
    lab.ip(&syn.ip());
    assert_eq!((lab.side(S).next, lab.side(S).end), (0, 0));
    flow.send(&mut lab, C, b"genuine");
    assert_eq!(lab.text(S), "genuine");
}

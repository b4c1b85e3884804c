//! Refused segments beside FINs, before the answer to a SYN, and as events.

use monitor_engine::{CloseReason, Event, Refusal, Side, VerifyChecksums};

use crate::common::frame::{ACK, FIN, PSH};
use crate::common::{Flow, Lab};

const C: Side = Side::Client;
const S: Side = Side::Server;

fn established() -> (Lab, Flow) {
    let (mut lab, mut flow) = (Lab::new(), Flow::new());
    flow.open(&mut lab);
    flow.send(&mut lab, C, b"GET /");
    flow.ack(&mut lab, S, 5);
    (lab, flow)
}

#[test]
fn data_in_the_place_of_a_forged_fin_beyond_a_hole_withdraws_it() {
    let (mut lab, mut flow) = established();
    lab.ip(&flow.segment(C, 8, FIN, b"").ip());
    assert_eq!(lab.side(S).fin, Some(8));
    flow.send(&mut lab, C, b"genuine!");
    flow.ack(&mut lab, S, 13);
    assert_eq!(lab.side(S).fin, None);
    flow.close(&mut lab);
    assert_eq!(lab.text(S), "GET /genuine!");
    assert_eq!(lab.side(S).fin, Some(13));
}

#[test]
fn a_fin_at_the_edge_comes_before_a_forged_one_and_forged_data_beyond_a_hole() {
    let (mut lab, mut flow) = established();
    flow.at(&mut lab, C, 100, b"forged");
    lab.ip(&flow.segment(C, 200, FIN, b"").ip());
    flow.close(&mut lab);
    assert_eq!(lab.text(S), "GET /");
    assert_eq!((lab.side(S).fin, lab.side(S).end), (Some(5), 5));
    assert!(lab.only().closed.is_some());
}

#[test]
fn a_second_fin_beyond_a_hole_counts_only_if_it_is_acknowledged() {
    let (mut lab, mut flow) = established();
    lab.ip(&flow.segment(C, 200, FIN, b"").ip());
    lab.ip(&flow.segment(C, 9, FIN, b"").ip());
    flow.send(&mut lab, C, b"genuine!");
    flow.ack(&mut lab, S, 13);
    assert_eq!(lab.text(S), "GET /genuine!");
    assert_eq!(lab.refused(Refusal::Fin), 1);
}

#[test]
fn a_fin_where_the_window_ends_does_not_discard_data_that_its_receiver_took_beyond() {
    let (mut lab, mut flow) = (Lab::new(), Flow::new());
    flow.window[1] = 20;
    flow.open(&mut lab);
    flow.send(&mut lab, C, b"GET /");
    flow.ack(&mut lab, S, 5);
    flow.at(&mut lab, C, 10, b"abcde");
    flow.at(&mut lab, C, 23, b"beyond!");
    let mut answer = flow.segment(S, 0, ACK, b"");
    answer.sacked = Some([23, 30].map(|off| flow.segment(C, off, ACK, b"").seq));
    lab.ip(&answer.ip());
    flow.at(&mut lab, C, 15, b"0123456789");
    lab.ip(&flow.segment(C, 25, FIN, b"").ip());
    assert_eq!((lab.side(S).fin, lab.side(S).end), (None, 30));
    flow.at(&mut lab, C, 5, b"-----");
    flow.ack(&mut lab, S, 30);
    assert_eq!(lab.text(S), "GET /-----abcde0123456789yond!");
    assert_eq!(lab.side(S).fin, None);
    assert_eq!(lab.refused(Refusal::Fin), 1);
}

#[test]
fn a_segment_beyond_the_window_acknowledges_the_last_fin_unless_its_receiver_answers() {
    for is_answered in [false, true] {
        let (mut lab, mut flow) = established();
        flow.fin(&mut lab, C);
        flow.fin(&mut lab, S);
        assert_eq!(lab.only().closed, None);
        flow.at(&mut lab, C, 5 + 65_535 + 40, b"beyond the window");
        if is_answered {
            flow.ack(&mut lab, S, 6);
        }
        lab.wait(1001);
        let closed = (!is_answered).then_some(CloseReason::Fin);
        assert_eq!(lab.only().closed, closed);
        assert_eq!(lab.text(S), "GET /");
    }
}

#[test]
fn a_fin_after_repeated_data_counts_only_if_it_is_acknowledged_where_the_window_is_closed() {
    for is_acknowledged in [false, true] {
        let (mut lab, mut flow) = (Lab::new(), Flow::new());
        flow.window[1] = 20;
        flow.open(&mut lab);
        flow.send(&mut lab, C, b"GET /0123456789abcde");
        lab.ip(&flow.segment(C, 18, FIN, b"de").ip());
        assert_eq!(lab.side(S).fin, None);
        flow.window[1] = 0;
        flow.ack(&mut lab, S, 20);
        flow.window[1] = 2000;
        flow.ack(&mut lab, S, 20 + u64::from(is_acknowledged));
        assert_eq!(lab.side(S).fin, is_acknowledged.then_some(20));
        if !is_acknowledged {
            flow.send(&mut lab, C, b" HTTP/1.1");
            flow.ack(&mut lab, S, 29);
            assert_eq!(lab.text(S), "GET /0123456789abcde HTTP/1.1");
            assert_eq!(lab.refused(Refusal::Fin), 1);
        }
    }
}

#[test]
fn a_fin_that_is_acknowledged_selectively_is_no_evidence_of_forged_data_in_its_place() {
    let (mut lab, mut flow) = established();
    let mut forged = flow.segment(C, 12, PSH, b"f");
    forged.ack = forged.ack.wrapping_add(20_000);
    lab.ip(&forged.ip());
    flow.at(&mut lab, C, 9, b"end");
    lab.ip(&flow.segment(C, 12, FIN, b"").ip());
    let mut answer = flow.segment(S, 0, ACK, b"");
    answer.sacked = Some([9, 13].map(|off| flow.segment(C, off, ACK, b"").seq));
    lab.ip(&answer.ip());
    assert_eq!((lab.side(S).fin, lab.side(S).end), (Some(12), 12));
    flow.send(&mut lab, S, b"200");
    flow.at(&mut lab, C, 5, b"the ");
    flow.ack(&mut lab, S, 13);
    assert_eq!(
        (lab.text(S), lab.text(C)),
        ("GET /the end".into(), "200".into())
    );
    assert_eq!(lab.side(S).fin, Some(12));
    assert_eq!(lab.refused(Refusal::AckUnsent), 1);
}

#[test]
fn a_fin_with_a_wrong_checksum_is_no_end_of_stream() {
    let mut config = Lab::config();
    config.tcp.verify_checksums = VerifyChecksums::Always;
    let (mut lab, mut flow) = (Lab::with(config), Flow::new());
    flow.open(&mut lab);
    flow.send(&mut lab, C, b"GET /");
    let mut forged = flow.segment(C, 5, FIN, b"").ip();
    *forged.last_mut().unwrap() ^= 1;
    lab.ip(&forged);
    assert_eq!((lab.count("bad_checksum"), lab.side(S).fin), (1, None));
    flow.send(&mut lab, C, b" HTTP/1.1");
    flow.close(&mut lab);
    assert_eq!(lab.text(S), "GET / HTTP/1.1");
    assert_eq!(lab.side(S).fin, Some(14));
}

#[test]
fn a_fin_or_data_of_a_repeated_syn_does_not_count() {
    for payload in [&b""[..], b"forged"] {
        let (mut lab, mut flow) = (Lab::new(), Flow::new());
        flow.open(&mut lab);
        let mut forged = flow.syn();
        forged.flags |= FIN;
        forged.payload = payload.to_vec();
        lab.ip(&forged.ip());
        flow.send(&mut lab, C, b"GET /");
        flow.ack(&mut lab, S, 5);
        assert_eq!(lab.text(S), "GET /");
        assert_eq!(lab.side(S).fin, None);
        assert_eq!(lab.refused(Refusal::SynData), 1);
        flow.close(&mut lab);
        assert_eq!(lab.side(S).fin, Some(5));
    }
}

#[test]
fn forged_data_in_the_place_of_an_acknowledged_fin_is_refused() {
    let (mut lab, mut flow) = established();
    flow.fin(&mut lab, C);
    flow.ack(&mut lab, S, 6);
    let mut forged = flow.segment(C, 5, PSH, b"f");
    forged.ack = forged.ack.wrapping_add(20_000);
    lab.ip(&forged.ip());
    // The server's acknowledgment covers the forged byte as well as the FIN.
    flow.ack(&mut lab, S, 6);
    flow.fin(&mut lab, S);
    flow.ack(&mut lab, C, 1);
    assert_eq!(lab.text(S), "GET /");
    assert_eq!((lab.side(S).fin, lab.side(C).fin), (Some(5), Some(0)));
    assert_eq!(lab.only().closed, Some(CloseReason::Fin));
    assert_eq!(lab.refused(Refusal::AckUnsent), 1);
}

#[test]
fn data_before_the_answer_to_a_syn_is_refused() {
    let (mut lab, mut flow) = (Lab::new(), Flow::new());
    lab.ip(&flow.syn().ip());
    let mut forged = flow.segment(S, 7000, PSH, b"forged");
    forged.ack = forged.ack.wrapping_add(5);
    lab.ip(&forged.ip());
    lab.ip(&flow.syn_ack().ip());
    flow.ack(&mut lab, C, 0);
    flow.send(&mut lab, S, b"genuine");
    flow.ack(&mut lab, C, 7);
    lab.wait(61_000);
    assert_eq!(lab.text(C), "genuine");
    assert_eq!(lab.refused(Refusal::Unsynchronized), 1);
}

#[test]
fn data_at_the_edge_with_an_old_acknowledgment_counts_if_it_is_acknowledged() {
    let (mut lab, mut flow) = established();
    let mut old = flow.segment(C, 5, PSH, b"old");
    old.ack = old.ack.wrapping_sub(100_000);
    lab.ip(&old.ip());
    assert_eq!(lab.text(S), "GET /");
    flow.ack(&mut lab, S, 8);
    assert_eq!(lab.text(S), "GET /old");
}

#[test]
fn a_refused_segment_is_an_event() {
    let (mut lab, flow) = established();
    lab.events();
    let mut bare = flow.segment(C, 5, PSH, b"bare");
    bare.flags &= !ACK;
    lab.ip(&bare.ip());
    let id = lab.only().id;
    assert_eq!(
        lab.events(),
        [Event::Refused {
            id,
            side: S,
            seq: bare.seq,
            len: 4,
            reason: Refusal::NoAck,
        }]
    );
}

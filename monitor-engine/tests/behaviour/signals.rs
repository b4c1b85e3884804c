//! Segments that say something besides their bytes: keep-alives, zero windows, urgent data, repeats, conflicts.

use monitor_engine::{Event, OverlapPolicy, Side};

use crate::common::frame::{ACK, PSH, URG};
use crate::common::{Flow, Lab};

const C: Side = Side::Client;
const S: Side = Side::Server;

fn opened(policy: OverlapPolicy) -> (Lab, Flow) {
    let (mut lab, mut flow) = (Lab::policy(policy), Flow::new());
    flow.open(&mut lab);
    flow.send(&mut lab, C, b"hello");
    flow.ack(&mut lab, S, 5);
    lab.events();
    (lab, flow)
}

#[test]
fn keep_alive_without_data() {
    let (mut lab, mut flow) = opened(OverlapPolicy::Linux);
    for _ in 0..3 {
        lab.wait(75_000);
        lab.ip(&flow.segment(C, 4, ACK, b"").ip());
        flow.ack(&mut lab, S, 5);
    }
    flow.send(&mut lab, C, b"!");
    assert_eq!(lab.text(S), "hello!");
    assert_eq!(lab.side(S).conflicts, 0);
    assert!(lab.only().closed.is_none());
}

#[test]
fn keep_alive_with_a_garbage_byte_is_no_conflict() {
    for policy in [
        OverlapPolicy::Linux,
        OverlapPolicy::First,
        OverlapPolicy::Last,
        OverlapPolicy::Bsd,
    ] {
        let (mut lab, mut flow) = opened(policy);
        flow.at(&mut lab, C, 4, b"\0");
        assert_eq!(lab.text(S), "hello", "{policy:?}");
        assert_eq!(lab.side(S).conflicts, 0);
        assert_eq!(lab.count("keepalives"), 1);
        assert!(
            !lab.events()
                .iter()
                .any(|event| matches!(event, Event::Conflict { .. }))
        );
    }
}

#[test]
fn zero_window_and_its_probes() {
    let (mut lab, mut flow) = opened(OverlapPolicy::Linux);
    flow.window[1] = 0;
    flow.ack(&mut lab, S, 5);
    assert_eq!(lab.count("zero_windows"), 1);
    // Probes carry the next byte, which the receiver does not take, or the last one again.
    for _ in 0..3 {
        flow.at(&mut lab, C, 5, b" ");
        flow.ack(&mut lab, S, 5);
        lab.ip(&flow.segment(C, 4, ACK, b"").ip());
    }
    flow.window[1] = 60_000;
    flow.ack(&mut lab, S, 5);
    flow.at(&mut lab, C, 5, b" world");
    assert_eq!(lab.text(S), "hello world");
    assert_eq!(lab.side(S).conflicts, 0);
}

#[test]
fn urgent_data_stays_in_line_and_is_counted() {
    let (mut lab, flow) = opened(OverlapPolicy::Linux);
    let mut urgent = flow.segment(C, 5, PSH | URG, b"a!b");
    urgent.urgent = 2;
    lab.ip(&urgent.ip());
    assert_eq!(lab.text(S), "helloa!b");
    assert_eq!(lab.count("urgent"), 1);
    let mut forgotten = flow.segment(C, 8, PSH, b"c");
    forgotten.urgent = 1;
    lab.ip(&forgotten.ip());
    assert_eq!(
        lab.count("urgent"),
        1,
        "a pointer without the flag means nothing"
    );
}

#[test]
fn a_retransmission_is_reported_and_changes_nothing() {
    let (mut lab, mut flow) = opened(OverlapPolicy::Linux);
    flow.at(&mut lab, C, 1, b"ello, more");
    let id = lab.only().id;
    let events = lab.events();
    assert!(
        events.contains(&Event::Retransmit {
            id,
            side: S,
            off: 1,
            len: 4
        }),
        "{events:?}"
    );
    assert!(
        events.contains(&Event::Data {
            id,
            side: S,
            off: 5,
            len: 6
        }),
        "{events:?}"
    );
    assert_eq!(lab.text(S), "hello, more");
    let side = lab.side(S);
    assert_eq!((side.retransmitted, side.conflicts), (4, 0));
}

#[test]
fn a_conflict_is_reported_with_its_offset() {
    for (policy, text) in [
        (OverlapPolicy::First, "hello"),
        (OverlapPolicy::Last, "hEllO"),
        (OverlapPolicy::Linux, "hello"),
        (OverlapPolicy::Bsd, "hello"),
    ] {
        let (mut lab, mut flow) = opened(policy);
        flow.at(&mut lab, C, 0, b"hEllO");
        let id = lab.only().id;
        assert!(
            lab.events().contains(&Event::Conflict {
                id,
                side: S,
                off: 1,
                len: 4,
                late: true
            }),
            "{policy:?}"
        );
        assert_eq!(lab.text(S), text, "{policy:?}");
        assert_eq!(lab.side(S).conflicts, 2);
        assert_eq!(lab.count("conflict_bytes"), 2);
    }
}

#[test]
fn duplicates_of_everything_change_nothing() {
    let (mut lab, mut flow) = (Lab::new(), Flow::new());
    let mut frames = vec![flow.syn().ip(), flow.syn_ack().ip()];
    for (from, text) in [(C, "GET /"), (S, "200 OK"), (C, "again"), (S, "and again")] {
        let off = flow.sent[from.index()];
        frames.push(flow.segment(from, off as i64, PSH, text.as_bytes()).ip());
        flow.sent[from.index()] += text.len() as u64;
        flow.acked[from.peer().index()] = flow.sent[from.index()];
    }
    for frame in &frames {
        lab.ip(frame);
        lab.ip(frame);
    }
    for frame in &frames {
        lab.ip(frame);
    }
    assert_eq!(
        (lab.text(S).as_str(), lab.text(C).as_str()),
        ("GET /again", "200 OKand again")
    );
    assert_eq!(lab.count("opened"), 1);
    assert_eq!(lab.count("conflict_bytes"), 0);
}

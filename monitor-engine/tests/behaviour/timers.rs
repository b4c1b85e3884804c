//! Time is the packets' time.

use monitor_engine::{CloseReason, Event, Side};

use crate::common::{Flow, Lab, S as SECOND};

const C: Side = Side::Client;
const S: Side = Side::Server;

fn lab(idle: Option<u64>, linger: Option<u64>) -> Lab {
    let mut config = Lab::config();
    config.tcp.idle_timeout = idle.map(|seconds| seconds * SECOND);
    config.tcp.linger = linger.map(|seconds| seconds * SECOND);
    Lab::with(config)
}

#[test]
fn an_idle_connection_is_closed_and_reported() {
    let (mut lab, mut flow) = (lab(Some(100), Some(50)), Flow::new());
    flow.open(&mut lab);
    flow.send(&mut lab, C, b"x");
    lab.wait(99_000);
    assert_eq!(lab.only().closed, None);
    lab.wait(2_000);
    let connection = lab.only();
    assert_eq!(connection.closed, Some(CloseReason::Timeout));
    assert!(lab.events().contains(&Event::Closed {
        id: connection.id,
        reason: CloseReason::Timeout
    }));
    assert_eq!(lab.count("timed_out"), 1);
    assert_eq!(lab.text(S), "x", "readable for the linger time");
    lab.wait(52_000);
    assert_eq!(lab.connections(), []);
}

#[test]
fn every_kind_of_connection_times_out() {
    let mut lab = lab(Some(100), Some(10));
    let flows: Vec<Flow> = (0..4).map(Flow::numbered).collect();
    let [syn, unproven, silent, active] = <[Flow; 4]>::try_from(flows).unwrap();
    lab.ip(&syn.syn().ip());
    { unproven }.at(&mut lab, C, 0, b"one packet midstream");
    { silent }.open(&mut lab);
    let mut active = active;
    active.open(&mut lab);
    active.send(&mut lab, C, b"bytes");
    assert_eq!(lab.count("active"), 4);
    lab.wait(103_000);
    assert_eq!(lab.count("active"), 0);
    assert_eq!(lab.count("timed_out"), 4);
    lab.wait(12_000);
    assert_eq!(lab.connections(), []);
}

#[test]
fn a_packet_restarts_the_timeout() {
    let (mut lab, mut flow) = (lab(Some(100), None), Flow::new());
    flow.open(&mut lab);
    for _ in 0..20 {
        lab.wait(90_000);
        flow.ack(&mut lab, C, 0);
    }
    assert_eq!(lab.only().closed, None);
}

#[test]
fn one_old_active_flow_does_not_delay_the_timeouts_of_others() {
    let mut lab = lab(Some(100), None);
    let mut old = Flow::numbered(0);
    old.open(&mut lab);
    let mut younger: Vec<Flow> = (1..50).map(Flow::numbered).collect();
    for flow in &mut younger {
        flow.open(&mut lab);
        flow.send(&mut lab, C, b"once");
    }
    for _ in 0..103 {
        lab.wait(1000);
        old.send(&mut lab, C, b"tick");
    }
    for flow in &younger {
        let connection = lab.newest(flow.client, flow.server).unwrap();
        assert_eq!(connection.closed, Some(CloseReason::Timeout));
    }
    assert_eq!(lab.newest(old.client, old.server).unwrap().closed, None);
}

#[test]
fn off_means_never() {
    let (mut lab, mut flow) = (lab(None, None), Flow::new());
    flow.open(&mut lab);
    flow.send(&mut lab, C, b"patience");
    lab.wait(40 * 365 * 86_400_000);
    assert_eq!(lab.only().closed, None);
    flow.close(&mut lab);
    lab.wait(40 * 365 * 86_400_000);
    assert_eq!(lab.text(S), "patience");
}

#[test]
fn linger_counts_from_the_end() {
    let (mut lab, mut flow) = (lab(Some(1000), Some(60)), Flow::new());
    flow.open(&mut lab);
    flow.send(&mut lab, C, b"x");
    flow.close(&mut lab);
    let id = lab.only().id;
    lab.wait(59_000);
    assert_eq!(lab.peek(id, S, 0, 9).unwrap(), b"x");
    lab.wait(2_000);
    assert!(lab.reader.connection(id).is_none());
    assert!(lab.peek(id, S, 0, 9).is_err());
}

#[test]
fn a_flow_that_returns_after_its_timeout_is_a_new_connection() {
    let (mut lab, mut flow) = (lab(Some(100), None), Flow::new());
    flow.open(&mut lab);
    flow.send(&mut lab, C, b"before");
    // No other packet passes in between: its own next one finds it overdue.
    lab.now += 200 * SECOND;
    flow.send(&mut lab, C, b"after");
    let all = lab.connections();
    assert_eq!(all.len(), 2);
    let new = all.iter().find(|c| c.closed.is_none()).unwrap();
    assert!(new.midstream);
    assert_eq!(lab.peek(new.id, S, 0, 9).unwrap(), b"after");
}

#[test]
fn many_at_once_are_all_retired() {
    let mut lab = lab(Some(100), Some(10));
    for n in 0..1000 {
        Flow::numbered(n).open(&mut lab);
    }
    lab.wait(102_000);
    for _ in 0..40 {
        lab.wait(1);
    }
    assert_eq!(lab.count("timed_out"), 1000);
}

#[test]
fn a_time_in_the_past_counts_as_now() {
    let (mut lab, mut flow) = (lab(Some(100), None), Flow::new());
    flow.open(&mut lab);
    let now = lab.now;
    lab.now = 0;
    flow.send(&mut lab, C, b"from the past");
    lab.now = u64::MAX / 2;
    assert_eq!(lab.only().last, now);
    assert_eq!(lab.text(S), "from the past");
}

#[test]
fn the_last_moment_that_there_is() {
    // Files can claim any time: 584 years after the epoch the nanoseconds end.
    let (mut lab, mut flow) = (lab(Some(100), Some(50)), Flow::new());
    flow.open(&mut lab);
    for time in [u64::MAX - SECOND, u64::MAX - 1, u64::MAX, u64::MAX] {
        lab.now = time;
        flow.send(&mut lab, C, b"late");
        flow.fin(&mut lab, C);
        lab.engine.advance(time);
    }
    lab.engine.finish();
    assert!(lab.count("timed_out") > 0);
}

#[test]
fn a_connection_of_which_only_the_server_is_captured_keeps_its_idle_timeout() {
    let (mut lab, mut flow) = (Lab::new(), Flow::new());
    lab.ip(&flow.syn_ack().ip());
    flow.send(&mut lab, S, b"line 0\n");
    lab.wait(61_000);
    flow.send(&mut lab, S, b"line 1\n");
    assert_eq!(lab.only().closed, None);
    assert_eq!(lab.text(C), "line 0\nline 1\n");
}

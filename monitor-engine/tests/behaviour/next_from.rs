//! Continuation of a stream at an offset.

use monitor_engine::{CloseReason, EndReason, NextKind, Side, SockId};

use crate::common::{Flow, Lab};

const C: Side = Side::Client;
const S: Side = Side::Server;

fn next(lab: &Lab, off: u64, room: usize) -> (NextKind, Vec<u8>) {
    let mut bytes = vec![0; room];
    let next = lab.reader.next_from(lab.only().id, S, off, &mut bytes);
    if let NextKind::Bytes { len, .. } = next.kind {
        bytes.truncate(len);
    } else {
        bytes.clear();
    }
    (next.kind, bytes)
}

fn kind(lab: &Lab, off: u64) -> NextKind {
    next(lab, off, 0).0
}

#[test]
fn received_bytes_are_copied_as_far_as_the_buffer_goes() {
    let (mut lab, mut flow) = (Lab::new(), Flow::new());
    flow.open(&mut lab);
    flow.send(&mut lab, C, b"abcdef");
    let bytes = |len, available| NextKind::Bytes {
        len,
        available,
        eof: false,
    };
    assert_eq!(next(&lab, 1, 3), (bytes(3, 5), b"bcd".to_vec()));
    assert_eq!(next(&lab, 4, 99), (bytes(2, 2), b"ef".to_vec()));
    assert_eq!(next(&lab, 4, 0), (bytes(0, 2), vec![]));
}

#[test]
fn a_stream_is_pending_until_its_bytes_arrive() {
    let (mut lab, mut flow) = (Lab::new(), Flow::new());
    lab.ip(&flow.syn().ip());
    assert_eq!(kind(&lab, 0), NextKind::Pending, "not even established");
    lab.ip(&flow.syn_ack().ip());
    flow.at(&mut lab, C, 10, b"later");
    assert_eq!(kind(&lab, 0), NextKind::Pending, "a hole not declared lost");
    assert_eq!(kind(&lab, 15), NextKind::Pending, "beyond the last byte");
}

#[test]
fn a_lost_hole_is_a_gap_up_to_the_next_range() {
    let (mut lab, mut flow) = (Lab::new(), Flow::new());
    flow.open(&mut lab);
    flow.at(&mut lab, C, 10, b"later");
    flow.ack(&mut lab, S, 15);
    lab.wait(300);
    assert_eq!(kind(&lab, 4), NextKind::Gap { to: 10 });
    flow.at(&mut lab, C, 6, b"x");
    assert_eq!(kind(&lab, 4), NextKind::Gap { to: 6 }, "filled in part");
}

#[test]
fn evicted_bytes_are_lost_up_to_the_base() {
    let mut config = Lab::config();
    config.window = 4;
    let (mut lab, mut flow) = (Lab::with(config), Flow::new());
    flow.open(&mut lab);
    flow.send(&mut lab, C, b"abcdef");
    assert_eq!(kind(&lab, 0), NextKind::Lost { to: 2 });
}

#[test]
fn the_end_has_its_reason() {
    let (mut lab, mut flow) = (Lab::new(), Flow::new());
    flow.open(&mut lab);
    flow.send(&mut lab, C, b"abc");
    flow.fin(&mut lab, C);
    let last = NextKind::Bytes {
        len: 3,
        available: 3,
        eof: true,
    };
    assert_eq!(next(&lab, 0, 9).0, last);
    assert_eq!(kind(&lab, 3), NextKind::End(EndReason::Eof));
    let id = lab.only().id;
    let at_client = |lab: &Lab| lab.reader.next_from(id, C, 0, &mut []);
    assert_eq!(at_client(&lab).kind, NextKind::Pending);
    flow.rst(&mut lab, S, 0);
    assert_eq!(at_client(&lab).kind, NextKind::End(EndReason::Closed));
    assert_eq!(at_client(&lab).closed, Some(CloseReason::Rst));
    lab.engine.stop(id, Some(C)).unwrap();
    assert_eq!(at_client(&lab).kind, NextKind::End(EndReason::Disabled));
    let unknown = SockId::new(0, 7, 7);
    let gone = lab.reader.next_from(unknown, C, 0, &mut []);
    assert_eq!(gone.kind, NextKind::End(EndReason::Gone));
}

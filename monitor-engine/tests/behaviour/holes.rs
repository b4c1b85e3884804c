//! Holes: named, never frozen over, filled late.

use monitor_engine::{Event, NoData, PeekError, Side};

use crate::common::{Flow, Lab};

const C: Side = Side::Client;
const S: Side = Side::Server;

fn opened() -> (Lab, Flow) {
    let (mut lab, mut flow) = (Lab::new(), Flow::new());
    flow.open(&mut lab);
    flow.send(&mut lab, C, b"0123");
    (lab, flow)
}

fn gaps(lab: &mut Lab) -> Vec<(u64, u64)> {
    let gap = |event| match event {
        Event::Gap { off, len, .. } => Some((off, len)),
        _ => None,
    };
    lab.events().into_iter().filter_map(gap).collect()
}

#[test]
fn bytes_behind_a_hole_are_readable_at_once() {
    let (mut lab, mut flow) = opened();
    flow.at(&mut lab, C, 8, b"89ab");
    let id = lab.only().id;
    assert_eq!(lab.peek(id, S, 8, 99).unwrap(), b"89ab");
    assert_eq!(
        lab.peek(id, S, 0, 99).unwrap(),
        b"0123",
        "a read stops at the hole"
    );
    let Err(PeekError::NoData {
        reason,
        next_extent,
        base,
        next,
        end,
    }) = lab.peek(id, S, 5, 9)
    else {
        panic!("no byte at 5")
    };
    assert_eq!(
        (reason, next_extent, base, next, end),
        (NoData::Gap, Some(8), 0, 4, 12)
    );
}

#[test]
fn an_unacknowledged_hole_is_not_declared_lost() {
    let (mut lab, mut flow) = opened();
    flow.at(&mut lab, C, 8, b"89ab");
    flow.ack(&mut lab, S, 4);
    lab.wait(10_000);
    assert_eq!(gaps(&mut lab), []);
    flow.at(&mut lab, C, 4, b"4567");
    assert_eq!(lab.text(S), "0123456789ab");
    assert_eq!(lab.side(S).gaps, 0);
}

#[test]
fn an_acknowledged_hole_is_lost_after_its_grace() {
    let (mut lab, mut flow) = opened();
    flow.at(&mut lab, C, 8, b"89ab");
    flow.ack(&mut lab, S, 12);
    lab.wait(199);
    assert_eq!(lab.side(S).next, 4, "it may still come");
    lab.wait(1);
    assert_eq!(lab.side(S).next, 12);
    assert_eq!(gaps(&mut lab), [(4, 4)]);
    flow.at(&mut lab, C, 12, b"cd");
    assert_eq!(lab.side(S).next, 14, "and it goes on");
}

#[test]
fn a_hole_filled_within_its_grace_is_none() {
    let (mut lab, mut flow) = opened();
    flow.at(&mut lab, C, 8, b"89ab");
    flow.ack(&mut lab, S, 12);
    lab.wait(100);
    flow.at(&mut lab, C, 4, b"4567");
    lab.wait(1000);
    assert_eq!(gaps(&mut lab), []);
    assert_eq!(lab.text(S), "0123456789ab");
}

#[test]
fn late_bytes_of_a_lost_hole_are_stored_and_reported() {
    let (mut lab, mut flow) = opened();
    flow.at(&mut lab, C, 8, b"89ab");
    flow.ack(&mut lab, S, 12);
    lab.wait(300);
    lab.events();
    flow.at(&mut lab, C, 5, b"56");
    let id = lab.only().id;
    assert!(lab.events().contains(&Event::Filled {
        id,
        side: S,
        off: 5,
        len: 2
    }));
    assert_eq!(
        lab.held(S),
        [
            (0, b"0123".to_vec()),
            (5, b"56".to_vec()),
            (8, b"89ab".to_vec())
        ]
    );
    flow.at(&mut lab, C, 4, b"4567");
    assert_eq!(lab.text(S), "0123456789ab");
    assert_eq!(lab.side(S).next, 12, "the edge does not go back");
}

#[test]
fn only_the_acknowledged_holes_are_lost() {
    let (mut lab, mut flow) = opened();
    flow.at(&mut lab, C, 8, b"89");
    flow.at(&mut lab, C, 14, b"ef");
    flow.ack(&mut lab, S, 10);
    lab.wait(300);
    assert_eq!(gaps(&mut lab), [(4, 4)]);
    assert_eq!(lab.side(S).next, 10);
    flow.ack(&mut lab, S, 16);
    lab.wait(300);
    assert_eq!(gaps(&mut lab), [(10, 4)]);
}

#[test]
fn an_acknowledgment_seen_before_its_data_loses_nothing() {
    let (mut lab, mut flow) = opened();
    flow.ack(&mut lab, S, 12);
    flow.at(&mut lab, C, 8, b"89ab");
    flow.at(&mut lab, C, 4, b"4567");
    assert_eq!(lab.text(S), "0123456789ab");
    lab.wait(1000);
    assert_eq!(gaps(&mut lab), []);
}

#[test]
fn data_long_after_its_acknowledgment_is_stored_too() {
    let (mut lab, mut flow) = opened();
    flow.ack(&mut lab, S, 12);
    lab.wait(5000);
    flow.at(&mut lab, C, 4, b"456789ab");
    assert_eq!(lab.text(S), "0123456789ab");
}

#[test]
fn too_many_ranges_give_up_the_lowest_hole() {
    let mut config = Lab::config();
    config.tcp.max_ranges = 4;
    let (mut lab, mut flow) = (Lab::with(config), Flow::new());
    flow.open(&mut lab);
    for i in 1..=4 {
        flow.at(&mut lab, C, i * 10, b"x");
    }
    assert_eq!(gaps(&mut lab), []);
    flow.at(&mut lab, C, 50, b"x");
    assert_eq!(gaps(&mut lab), [(0, 10)]);
    assert_eq!(lab.held(S).len(), 5, "no byte is thrown away for it");
    // From then on ranges before lost holes count too: the oldest is evicted.
    for i in 6..100 {
        flow.at(&mut lab, C, i * 10, b"x");
        assert!(lab.held(S).len() <= 6);
    }
    assert_eq!(lab.held(S).last().unwrap().0, 990, "the newest is there");
}

#[test]
fn bytes_beyond_a_hole_do_not_slide_the_window() {
    let mut config = Lab::config();
    config.window = 100;
    let (mut lab, mut flow) = (Lab::with(config), Flow::new());
    flow.open(&mut lab);
    flow.at(&mut lab, C, 10, &[b'a'; 20]);
    flow.at(&mut lab, C, 90, &[b'b'; 60]);
    assert_eq!(gaps(&mut lab), []);
    let side = lab.side(S);
    assert_eq!((side.base, side.next, side.end), (0, 0, 150));
    assert_eq!(
        lab.held(S),
        [(10, vec![b'a'; 20]), (90, vec![b'b'; 60])],
        "more than the window, as the receiver holds it"
    );
    flow.at(&mut lab, C, 0, &[b'0'; 10]);
    flow.at(&mut lab, C, 30, &[b'1'; 60]);
    assert_eq!(lab.side(S).next, 150);
    flow.at(&mut lab, C, 150, b"2");
    let side = lab.side(S);
    assert_eq!((side.base, side.next, side.retransmitted), (51, 151, 0));
}

#[test]
fn a_window_that_slides_over_a_hole_of_an_invisible_receiver_names_it() {
    let mut config = Lab::config();
    config.window = 100;
    let (mut lab, mut flow) = (Lab::with(config), Flow::new());
    flow.at(&mut lab, C, 0, b"0");
    flow.at(&mut lab, C, 10, &[b'a'; 20]);
    flow.at(&mut lab, C, 90, &[b'b'; 60]);
    // 150 - 100 = 50: the range 10..30 is evicted, and both holes with it.
    assert_eq!(gaps(&mut lab), [(1, 9), (30, 20)]);
    let side = lab.side(S);
    assert_eq!((side.base, side.next, side.end), (50, 50, 150));
    assert_eq!(lab.held(S), [(90, vec![b'b'; 60])]);
    let Err(PeekError::NoData { reason, .. }) = lab.peek(lab.only().id, S, 10, 5) else {
        panic!()
    };
    assert_eq!(reason, NoData::Evicted);
}

#[test]
fn the_end_of_the_capture_declares_holes_lost() {
    let (mut lab, mut flow) = opened();
    flow.at(&mut lab, C, 8, b"89");
    flow.at(&mut lab, C, 14, b"ef");
    lab.engine.finish();
    assert_eq!(gaps(&mut lab), [(4, 4), (10, 4)]);
    assert_eq!(lab.side(S).next, 16);
}

#[test]
fn a_hole_at_the_very_start() {
    let (mut lab, mut flow) = (Lab::new(), Flow::new());
    flow.open(&mut lab);
    flow.at(&mut lab, C, 100, b"late start");
    flow.ack(&mut lab, S, 110);
    lab.wait(300);
    assert_eq!(gaps(&mut lab), [(0, 100)]);
    let extents = lab.reader.extents(lab.only().id, S).unwrap();
    assert_eq!(
        (extents.runs, extents.base, extents.next),
        (vec![(100, 10)], 0, 110)
    );
}

#[test]
fn failed_reads_return_their_reason() {
    let (mut lab, mut flow) = (Lab::new(), Flow::new());
    lab.ip(&flow.syn().ip());
    let id = lab.only().id;
    assert_eq!(lab.peek(id, S, 0, 9), Err(PeekError::NotConnected));
    lab.ip(&flow.syn_ack().ip());
    flow.ack(&mut lab, C, 0);
    let reason = |lab: &Lab, off| match lab.peek(id, S, off, 9) {
        Err(PeekError::NoData { reason, .. }) => reason,
        other => panic!("{other:?}"),
    };
    assert_eq!(reason(&lab, 0), NoData::Future);
    flow.send(&mut lab, C, b"ab");
    assert_eq!(reason(&lab, 2), NoData::Future);
    assert_eq!(reason(&lab, u64::MAX), NoData::Future);
    flow.fin(&mut lab, C);
    assert_eq!(reason(&lab, 2), NoData::Eof);
    let mut bytes = [0; 9];
    let peek = lab.reader.peek(id, S, 0, &mut bytes).unwrap();
    assert_eq!((peek.len, peek.eof, peek.fin), (2, true, Some(2)));
    assert_eq!(
        lab.reader
            .peek(id, S, 0, &mut bytes[..1])
            .map(|peek| peek.eof),
        Ok(false)
    );
    assert_eq!(
        lab.reader.peek(id, S, 77, &mut []).map(|peek| peek.len),
        Ok(0),
        "nothing asked, nothing refused"
    );
}

#[test]
fn a_segment_from_a_lost_hole_beyond_the_edge_moves_the_edge() {
    // The receiver acknowledged far ahead of all that was captured: the edge is there, and no byte before it.
    let (mut lab, mut flow) = (Lab::new(), Flow::new());
    (flow.scale, flow.window) = ([Some(14), Some(14)], [65535, 65535]);
    flow.open(&mut lab);
    flow.send(&mut lab, C, b"start");
    for at in [5u64, 1 << 29, 1 << 30, 3 << 29] {
        flow.ack(&mut lab, S, at);
        // The client is silent: it isn't captured any more.
        lab.wait(1100);
    }
    flow.ack(&mut lab, S, 3 << 29);
    let edge = lab.side(S).next;
    assert!(edge > 1 << 30, "{:?}", lab.side(S));
    flow.at(&mut lab, C, edge as i64 - 3, b"oldnew");
    assert_eq!(lab.side(S).next, edge + 3);
    assert_eq!(lab.peek(lab.only().id, S, edge - 3, 99).unwrap(), b"oldnew");
}

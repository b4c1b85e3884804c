//! Sequence numbers, 32 bits, and offsets, 64.

use monitor_engine::Side;

use crate::common::{Flow, Lab};

const C: Side = Side::Client;
const S: Side = Side::Server;

#[test]
fn sequence_wrap_in_the_middle_of_a_segment() {
    for before in [0u32, 1, 5, 9, 10, 11] {
        let (mut lab, mut flow) = (Lab::new(), Flow::new());
        flow.isn = [u32::MAX - before, u32::MAX - before];
        flow.open(&mut lab);
        for part in ["01234", "56789", "abcde"] {
            flow.send(&mut lab, C, part.as_bytes());
            flow.send(&mut lab, S, part.as_bytes());
        }
        assert_eq!(lab.text(S), "0123456789abcde", "{before} before the wrap");
        assert_eq!(lab.text(C), "0123456789abcde");
        flow.close(&mut lab);
        assert_eq!(lab.side(S).fin, Some(15));
        assert!(lab.only().closed.is_some());
    }
}

#[test]
fn sequence_wrap_out_of_order() {
    let (mut lab, mut flow) = (Lab::new(), Flow::new());
    flow.isn[0] = u32::MAX - 5;
    flow.open(&mut lab);
    flow.at(&mut lab, C, 10, b"third");
    flow.at(&mut lab, C, 5, b"2econ");
    flow.at(&mut lab, C, 0, b"first");
    assert_eq!(lab.text(S), "first2econthird");
}

/// Advances the sender by `step` each time; the receiver's acknowledgments, which move by no more than the
/// window at a time, say that it got there.
fn jump(lab: &mut Lab, flow: &mut Flow, to: u64, step: u64) {
    while flow.sent[0] < to {
        flow.sent[0] += step;
        flow.at(lab, C, flow.sent[0] as i64, b"mark");
        flow.ack(lab, S, flow.sent[0] + 4);
        lab.wait(300);
    }
}

#[test]
fn offsets_beyond_4_gib() {
    let (mut lab, mut flow) = (Lab::new(), Flow::new());
    (flow.scale, flow.window) = ([Some(14), Some(14)], [65535, 65535]);
    flow.open(&mut lab);
    flow.send(&mut lab, C, b"start");
    jump(&mut lab, &mut flow, 9 << 30, 1 << 29);
    let at = flow.sent[0];
    assert!(at > 1 << 33);
    let side = lab.side(S);
    assert_eq!((side.next, side.end), (at + 4, at + 4));
    assert_eq!(lab.peek(lab.only().id, S, at, 99).unwrap(), b"mark");
    flow.at(&mut lab, C, at as i64 + 4, b" and on");
    assert_eq!(lab.peek(lab.only().id, S, at, 99).unwrap(), b"mark and on");
}

#[test]
fn offsets_beyond_2_to_the_40() {
    let (mut lab, mut flow) = (Lab::new(), Flow::new());
    (flow.scale, flow.window) = ([Some(14), Some(14)], [65535, 65535]);
    flow.open(&mut lab);
    jump(&mut lab, &mut flow, 1 << 40, 1 << 29);
    let at = flow.sent[0];
    assert!(at >= 1 << 40);
    assert_eq!(lab.side(S).end, at + 4);
    assert_eq!(lab.peek(lab.only().id, S, at, 99).unwrap(), b"mark");
    // A late copy from before is far below, not far above.
    flow.at(&mut lab, C, at as i64 - 10_000, b"old");
    assert_eq!(lab.side(S).end, at + 4);
}

#[test]
fn offsets_beyond_4_gib_one_sided() {
    let (mut lab, mut flow) = (Lab::new(), Flow::new());
    flow.mute = true;
    let mut at = 0i64;
    for _ in 0..12 {
        // Bytes far ahead count once three segments agree.
        for n in 0..3 {
            flow.at(&mut lab, C, at + 4 * n, b"mark");
        }
        at += 1 << 29;
        lab.wait(10);
    }
    let last = (at - (1 << 29)) as u64;
    assert!(last > 1 << 32);
    assert_eq!(lab.side(S).end, last + 12);
    assert_eq!(lab.peek(lab.only().id, S, last + 8, 9).unwrap(), b"mark");
}

#[test]
fn acknowledgments_beyond_4_gib_of_bytes_that_were_never_captured() {
    // A capture that sees the acknowledgments and, for a long time, not one of the acknowledged bytes.
    let (mut lab, mut flow) = (Lab::new(), Flow::new());
    (flow.scale, flow.window) = ([Some(14), Some(14)], [65535, 65535]);
    flow.open(&mut lab);
    flow.send(&mut lab, C, b"start");
    flow.ack(&mut lab, S, 5);
    let mut at = 0u64;
    while at < 5 << 30 {
        at += 1 << 28;
        flow.ack(&mut lab, S, at);
        lab.wait(1100);
    }
    flow.ack(&mut lab, S, at);
    flow.at(&mut lab, C, at as i64, b"here");
    assert_eq!(lab.side(S).end, at + 4, "5 GiB further, not 1");
    assert_eq!(lab.peek(lab.only().id, S, at, 9).unwrap(), b"here");
}

#[test]
fn an_acknowledgment_that_stays_behind_is_not_taken_for_one_ahead() {
    // It is repeated and never advances: more than 2 GiB later its number lies ahead, modulo 4 GiB.
    let mut config = Lab::config();
    config.tcp.judge = false;
    let (mut lab, mut flow) = (Lab::with(config), Flow::new());
    (flow.scale, flow.window) = ([Some(14), Some(14)], [65535, 65535]);
    flow.open(&mut lab);
    flow.send(&mut lab, C, b"hello");
    let bytes = vec![7; 60_000];
    let mut at = 5;
    while at < 5 << 29 {
        flow.at(&mut lab, C, at, &bytes);
        at += 60_000;
        if at % 7 == 5 {
            flow.ack(&mut lab, S, 5);
        }
        assert_eq!(lab.side(S).next, at as u64);
    }
    assert_eq!(lab.side(S).gaps, 0);
}

#[test]
fn a_sequence_number_out_of_window_has_no_effect() {
    let (mut lab, mut flow) = (Lab::new(), Flow::new());
    flow.open(&mut lab);
    flow.send(&mut lab, C, b"hello");
    flow.ack(&mut lab, S, 5);
    let before = lab.side(S);
    for off in [
        5 + 65535 + 5000,
        1_000_000,
        1 << 30,
        (1 << 31) - 1,
        -(1 << 30),
    ] {
        flow.at(&mut lab, C, off, b"wild");
        assert_eq!(lab.side(S), before, "offset {off}");
        // An expected segment between them: the stream does not continue there.
        flow.ack(&mut lab, S, 5);
    }
    assert!(lab.count("wild") >= 4);
    flow.send(&mut lab, C, b" world");
    assert_eq!(lab.text(S), "hello world");
}

#[test]
fn an_acknowledgment_out_of_window_has_no_effect() {
    let (mut lab, mut flow) = (Lab::new(), Flow::new());
    flow.open(&mut lab);
    flow.send(&mut lab, C, b"hello");
    for ack in [100_000, 1 << 30, (1 << 31) + 5] {
        flow.ack(&mut lab, S, ack);
    }
    flow.at(&mut lab, C, 5 + 70_000, b"beyond the window");
    assert_eq!(lab.side(S).end, 5, "only the true window counts");
}

#[test]
fn the_window_scale_of_both_syns_widens_the_window() {
    for (scale, held) in [
        ([Some(3), Some(3)], true),
        ([Some(3), None], false),
        ([None, None], false),
    ] {
        let (mut lab, mut flow) = (Lab::new(), Flow::new());
        flow.scale = scale;
        flow.open(&mut lab);
        flow.ack(&mut lab, S, 0);
        flow.at(&mut lab, C, 400_000, b"far");
        assert_eq!(lab.side(S).end > 0, held, "{scale:?}");
    }
}

#[test]
fn a_segment_longer_than_the_window_leaves_its_end() {
    let mut config = Lab::config();
    config.window = 1000;
    let (mut lab, mut flow) = (Lab::with(config), Flow::new());
    flow.open(&mut lab);
    let bytes: Vec<u8> = (0..40_000u32).map(|i| (i / 100) as u8).collect();
    flow.send(&mut lab, C, &bytes);
    assert_eq!(lab.held(S), [(39_000, bytes[39_000..].to_vec())]);
    let side = lab.side(S);
    assert_eq!((side.base, side.next, side.gaps), (39_000, 40_000, 0));
}

#[test]
fn the_window_slides_over_in_order_bytes() {
    let mut config = Lab::config();
    config.window = 10_000;
    let (mut lab, mut flow) = (Lab::with(config), Flow::new());
    flow.open(&mut lab);
    let mut all = Vec::new();
    for i in 0..300u32 {
        let part: Vec<u8> = (0..777).map(|j| (i * 31 + j * 7) as u8).collect();
        flow.send(&mut lab, C, &part);
        all.extend(part);
        let base = all.len().saturating_sub(10_000);
        assert_eq!(lab.held(S), [(base as u64, all[base..].to_vec())]);
    }
}

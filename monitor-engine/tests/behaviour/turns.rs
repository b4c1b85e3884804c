//! Turns of a conversation: their order, their times, their bounds.

use monitor_engine::{EngineConfig, PeekError, Side, SideSettings, Turn};

use crate::common::{Flow, Lab, MS};

const C: Side = Side::Client;
const S: Side = Side::Server;

/// Turns of the only connection: receiving side, offset, length, microseconds since `start`.
fn turns(lab: &Lab, start: u64) -> Vec<(Side, u64, u64, u64)> {
    let tuple = |turn: &Turn| {
        let time = turn.time.saturating_sub(start) / 1000;
        (turn.side, turn.off, turn.len, time)
    };
    all(lab).iter().map(tuple).collect()
}

fn all(lab: &Lab) -> Vec<Turn> {
    let found = lab.reader.turns(lab.only().id, [0, 0], usize::MAX);
    found.unwrap().turns
}

fn opened() -> (Lab, Flow, u64) {
    let (mut lab, mut flow) = (Lab::new(), Flow::new());
    flow.open(&mut lab);
    let start = lab.now;
    (lab, flow, start)
}

#[test]
fn requests_and_responses_come_in_their_order_with_their_times() {
    let (mut lab, mut flow, start) = opened();
    for n in 0..100 {
        lab.now = start + n * 10 * MS;
        flow.send(&mut lab, C, b"request");
        lab.now += 3 * MS + 250_000;
        flow.send(&mut lab, S, b"the response");
    }
    let mut expected = Vec::new();
    for n in 0..100 {
        expected.push((S, 7 * n, 7, n * 10_000));
        expected.push((C, 12 * n, 12, n * 10_000 + 3250));
    }
    assert_eq!(turns(&lab, start), expected);
}

#[test]
fn turns_at_the_same_time_keep_their_order() {
    let (mut lab, mut flow, start) = opened();
    for _ in 0..50 {
        flow.send(&mut lab, C, b"ab");
        flow.send(&mut lab, S, b"c");
    }
    let sides: Vec<_> = turns(&lab, start).iter().map(|turn| turn.0).collect();
    assert_eq!(sides, [S, C].repeat(50));
}

#[test]
fn a_stream_is_cut_by_time_and_by_bytes() {
    let (mut lab, mut flow, start) = opened();
    for _ in 0..10 {
        flow.send(&mut lab, C, &[1; 1000]);
        lab.now += MS;
    }
    let expected: Vec<_> = (0..10).map(|n| (S, n * 1000, 1000, n * 1000)).collect();
    assert_eq!(turns(&lab, start), expected, "a millisecond apart");

    let (mut lab, mut flow, _) = opened();
    for _ in 0..300 {
        flow.send(&mut lab, C, &[1; 1000]);
    }
    let lengths: Vec<_> = all(&lab).iter().map(|turn| turn.len).collect();
    assert!(lengths.iter().all(|len| *len <= 66_536), "{lengths:?}");
    assert_eq!(lengths.len(), 5, "{lengths:?}");
    assert_eq!(lengths.iter().sum::<u64>(), 300_000);
}

#[test]
fn pages_join_without_a_seam() {
    let (mut lab, mut flow, _) = opened();
    for n in 0..40 {
        lab.now += MS;
        flow.send(&mut lab, C, &vec![1; 1 + n % 5]);
        if n % 3 == 0 {
            flow.send(&mut lab, S, b"xyz");
        }
    }
    let id = lab.only().id;
    let mut joined = Vec::new();
    let mut from = [0, 0];
    loop {
        let page = lab.reader.turns(id, from, 7).unwrap();
        if page.turns.is_empty() {
            assert_eq!(page.next, from);
            break;
        }
        joined.extend(page.turns);
        from = page.next;
    }
    assert_eq!(joined, all(&lab));
    assert_eq!(from, [42, 120]);
    // Bytes of the same tick continue the last turn.
    flow.send(&mut lab, C, b"more");
    let page = lab.reader.turns(id, from, 7).unwrap();
    assert_eq!((page.turns[0].off, page.turns[0].len), (120, 4));
}

#[test]
fn bytes_count_when_the_hole_before_them_is_filled() {
    let (mut lab, mut flow, start) = opened();
    flow.at(&mut lab, C, 0, b"abc");
    lab.now += MS;
    flow.at(&mut lab, C, 6, b"ghi");
    lab.now += MS;
    flow.at(&mut lab, S, 0, b"other");
    lab.now += MS;
    assert_eq!(
        turns(&lab, start),
        [(S, 0, 3, 0), (C, 0, 5, 2000)],
        "nothing beyond the hole"
    );
    flow.at(&mut lab, C, 3, b"def");
    let expected = [(S, 0, 3, 0), (C, 0, 5, 2000), (S, 3, 6, 3000)];
    assert_eq!(turns(&lab, start), expected);
}

#[test]
fn a_lost_hole_is_in_no_turn() {
    let (mut lab, mut flow, start) = opened();
    flow.at(&mut lab, C, 0, b"abc");
    flow.at(&mut lab, C, 6, b"ghi");
    flow.ack(&mut lab, S, 9);
    lab.wait(300);
    let expected = [(S, 0, 3, 0), (S, 6, 3, 300_000)];
    assert_eq!(turns(&lab, start), expected);
    let id = lab.only().id;
    assert_eq!(lab.reader.turns(id, [0, 0], 1).unwrap().next, [0, 3]);
    assert_eq!(lab.reader.turns(id, [0, 0], 2).unwrap().next, [0, 9]);
    // The hole is filled late: its bytes belong to the turn before it.
    flow.at(&mut lab, C, 3, b"def");
    assert_eq!(turns(&lab, start), [(S, 0, 6, 0), (S, 6, 3, 300_000)]);
}

#[test]
fn bytes_that_arrive_again_change_no_turn() {
    let (mut lab, mut flow, start) = opened();
    flow.send(&mut lab, C, b"abcdef");
    lab.now += 5 * MS;
    flow.send(&mut lab, S, b"x");
    lab.now += 5 * MS;
    flow.at(&mut lab, C, 0, b"abcdef");
    assert_eq!(turns(&lab, start), [(S, 0, 6, 0), (C, 0, 1, 5000)]);
    // An overlap counts for its new bytes alone.
    flow.at(&mut lab, C, 4, b"efgh");
    let expected = [(S, 0, 6, 0), (C, 0, 1, 5000), (S, 6, 2, 10_000)];
    assert_eq!(turns(&lab, start), expected);
}

#[test]
fn marks_go_with_their_bytes() {
    let mut lab = Lab::with(EngineConfig {
        window: 256 << 10,
        ..Lab::config()
    });
    let mut flow = Flow::new();
    flow.open(&mut lab);
    let mut used = 0;
    for n in 0..20_000u64 {
        lab.now += MS;
        flow.send(&mut lab, C, &[n as u8; 400]);
        if n == 5000 {
            used = lab.count("used");
        }
    }
    // At most 64 KiB of bytes keep the marks of evicted ones.
    assert!(lab.count("used") <= used + 4096, "{used}");
    let base = lab.side(S).base;
    let turns = all(&lab);
    assert_eq!(turns[0].off, base);
    let retained = lab.side(S).retained;
    assert_eq!(turns.iter().map(|turn| turn.len).sum::<u64>(), retained);
    let stale = turns.iter().find(|turn| turn.time < lab.now - 700 * MS);
    assert_eq!(stale, None, "656 segments are retained");
}

#[test]
fn marks_are_bounded_and_the_oldest_bytes_have_the_earliest_known_time() {
    let (mut lab, mut flow, start) = opened();
    let before = lab.count("used");
    for _ in 0..20_000 {
        lab.now += MS;
        flow.send(&mut lab, C, b"a");
    }
    let turns = all(&lab);
    assert!(turns.len() <= 3072, "{}", turns.len());
    assert!(turns.len() > 3000, "{}", turns.len());
    assert_eq!(
        (turns[0].off, turns[0].len),
        (0, 20_001 - turns.len() as u64)
    );
    assert!(turns[0].time > start + 16_000 * MS);
    let bytes = lab.count("used") - before;
    assert!(
        bytes < 20_000 + (72 << 10),
        "{bytes} bytes for marks and data"
    );
}

#[test]
fn marks_take_no_memory_before_there_are_bytes() {
    let (mut lab, mut flow, _) = opened();
    assert_eq!(lab.count("used"), 304, "a record alone");
    flow.send(&mut lab, C, b"a");
    assert_eq!(lab.count("used"), 304 + 2 * 2048, "bytes and marks");
    let mut other = Flow::numbered(2);
    other.open(&mut lab);
    other.send(&mut lab, C, b"a");
    assert_eq!(lab.count("used"), 2 * 304 + 3 * 2048, "marks share a block");
    for flow in [&mut flow, &mut other] {
        flow.close(&mut lab);
    }
    lab.wait(61_000);
    assert_eq!(lab.count("used"), 0);
}

#[test]
fn a_side_that_retains_nothing_has_no_turns() {
    let (mut lab, mut flow, start) = opened();
    flow.send(&mut lab, C, b"abc");
    flow.send(&mut lab, S, b"def");
    let id = lab.only().id;
    let off = SideSettings {
        disable: true,
        ..SideSettings::default()
    };
    lab.engine
        .configure(id, [SideSettings::default(), off])
        .unwrap();
    flow.send(&mut lab, C, b"ghi");
    flow.send(&mut lab, S, b"jkl");
    assert_eq!(turns(&lab, start), [(C, 0, 6, 0)]);
    assert_eq!(lab.reader.turns(id, [0, 0], 9).unwrap().next, [6, 6]);
}

#[test]
fn a_closed_connection_keeps_its_turns_and_a_removed_one_has_none() {
    let (mut lab, mut flow, start) = opened();
    flow.send(&mut lab, C, b"abc");
    flow.close(&mut lab);
    let id = lab.only().id;
    assert_eq!(turns(&lab, start), [(S, 0, 3, 0)]);
    lab.wait(61_000);
    assert_eq!(
        lab.reader.turns(id, [0, 0], 9),
        Err(PeekError::NoSuchConnection)
    );
}

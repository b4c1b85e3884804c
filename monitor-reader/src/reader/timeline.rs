//! Timelines: the received bytes of a side, cut where its marks are; and the order of two of them.

use crate::store::marks::Mark;
use crate::{ByteRange, Side, Turn, Turns};

/// Received bytes of one side and its marks, both from an offset on.
#[derive(Clone, Debug, Default)]
pub struct Timeline {
    /// Received ranges below the in-order edge, in order.
    pub ranges: Vec<ByteRange>,
    /// Marks in order. The first may be before the ranges.
    pub marks: Vec<Mark>,
    /// Time of bytes before the first mark, where there is none at all.
    pub opened: u64,
    /// Offset up to which the ranges and the marks are known.
    pub end: u64,
}

/// Position in a timeline.
struct Cutter<'a> {
    side: Side,
    timeline: &'a Timeline,
    range: usize,
    /// Marks at or before `off`.
    passed: usize,
    off: u64,
}

impl<'a> Cutter<'a> {
    fn new(side: Side, timeline: &'a Timeline) -> Self {
        Self {
            side,
            timeline,
            range: 0,
            passed: 0,
            off: 0,
        }
    }

    /// Returns the next turn; `None` at the end. Doesn't move.
    fn peek(&mut self) -> Option<Turn> {
        let Timeline {
            ranges,
            marks,
            opened,
            end,
        } = self.timeline;
        while let Some(range) = ranges.get(self.range) {
            let off = self.off.max(range.start);
            let limit = range.end.min(*end);
            if off >= limit {
                self.range += 1;
                continue;
            }
            while marks.get(self.passed).is_some_and(|mark| mark.off <= off) {
                self.passed += 1;
            }
            // The marks of the oldest bytes may be gone: then the earliest known time counts.
            let mark = marks.get(self.passed.saturating_sub(1));
            let to = marks
                .get(self.passed)
                .map_or(limit, |mark| mark.off.min(limit));
            return Some(Turn {
                side: self.side,
                off,
                len: to - off,
                time: mark.map_or(*opened, |mark| mark.time),
            });
        }
        None
    }
}

/// Returns at most `limit` turns of both sides in order. `from`: where each side starts.
pub fn merge(timelines: &[Timeline; 2], from: [u64; 2], limit: usize) -> Turns {
    let mut cutters = Side::BOTH.map(|side| Cutter::new(side, &timelines[side.index()]));
    let mut turns = Vec::new();
    while turns.len() < limit {
        let next = cutters.each_mut().map(Cutter::peek);
        // Of two at the same time the client's bytes come first: it speaks first.
        let first = next
            .into_iter()
            .flatten()
            .rev()
            .min_by_key(|turn| turn.time);
        let Some(turn) = first else { break };
        cutters[turn.side.index()].off = turn.off + turn.len;
        turns.push(turn);
    }
    let next = Side::BOTH.map(|side| {
        let index = side.index();
        let rest = cutters[index].peek();
        rest.map_or(timelines[index].end, |turn| turn.off)
            .max(from[index])
    });
    Turns { turns, next }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn timeline(ranges: &[(u64, u64)], marks: &[(u64, u64)]) -> Timeline {
        Timeline {
            ranges: ranges
                .iter()
                .map(|&(start, end)| ByteRange::new(start, end))
                .collect(),
            marks: marks
                .iter()
                .map(|&(off, time)| Mark { off, time })
                .collect(),
            opened: 1,
            end: ranges.last().map_or(0, |range| range.1),
        }
    }

    fn turns(
        timelines: &[Timeline; 2],
        from: [u64; 2],
        limit: usize,
    ) -> Vec<(Side, u64, u64, u64)> {
        let merged = merge(timelines, from, limit).turns;
        let tuple = |turn: Turn| (turn.side, turn.off, turn.len, turn.time);
        merged.into_iter().map(tuple).collect()
    }

    #[test]
    fn two_sides_are_merged_by_time() {
        use Side::{Client, Server};
        let both = [
            timeline(&[(0, 50)], &[(0, 20), (30, 40)]),
            timeline(&[(0, 9)], &[(0, 10), (5, 30)]),
        ];
        let all = [
            (Server, 0, 5, 10),
            (Client, 0, 30, 20),
            (Server, 5, 4, 30),
            (Client, 30, 20, 40),
        ];
        assert_eq!(turns(&both, [0, 0], 9), all);
        assert_eq!(merge(&both, [0, 0], 9).next, [50, 9]);
        assert_eq!(turns(&both, [0, 0], 2), all[..2]);
        assert_eq!(merge(&both, [0, 0], 2).next, [30, 5]);
    }

    #[test]
    fn lost_holes_are_between_turns() {
        let both = [timeline(&[(3, 5), (8, 9)], &[(0, 20)]), Timeline::default()];
        let expected = [(Side::Client, 3, 2, 20), (Side::Client, 8, 1, 20)];
        assert_eq!(turns(&both, [3, 0], 9), expected);
    }

    #[test]
    fn bytes_before_the_first_mark_have_its_time() {
        let both = [timeline(&[(3, 9)], &[(5, 20)]), timeline(&[(0, 2)], &[])];
        let expected = [
            (Side::Server, 0, 2, 1),
            (Side::Client, 3, 2, 20),
            (Side::Client, 5, 4, 20),
        ];
        assert_eq!(turns(&both, [3, 0], 9), expected);
    }
}

//! Conversations: the bytes of both sides in the order in which they became readable.
//!
//! The edges of both sides are copied at one moment, with the ends of their rings of marks. Then the marks are walked, and
//! the walk is discarded if a chunk of marks may have been reused: `epoch` or the generation has changed.

use super::snapshot::is_current;
use super::timeline::{Timeline, merge};
use super::{MAX_TRIES, Reader};
use crate::store::marks::{Ends, Mark};
use crate::store::received::for_each_retained;
use crate::store::record::Record;
use crate::store::{Acquire, fence, pause};
use crate::{ByteRange, PeekError, Side, SockId, Turns};

impl Reader {
    /// Returns at most `limit` turns: the retained bytes from `from` on (by [`Side::index`]), in the order in which they
    /// became readable. Further calls with the `next` of the last one return the rest, and later bytes. A side that retains
    /// no bytes has no turns.
    ///
    /// # Errors
    /// [`PeekError::NoSuchConnection`]; [`PeekError::Busy`] after a bounded number of attempts, when marks were evicted
    /// during each.
    pub fn turns(&self, id: SockId, from: [u64; 2], limit: usize) -> Result<Turns, PeekError> {
        let record = self.record(id)?;
        let (mut tries, mut patience) = (0u32, self.patience());
        loop {
            let taken = record.read_consistent(&mut patience, |record| {
                if !is_current(record, id) {
                    return Err(PeekError::NoSuchConnection);
                }
                let side = |side| self.received(record, side, from[side.index()], limit);
                let timelines = Side::BOTH.map(side);
                let ends = Side::BOTH.map(|side| Ends::of(&self.arena, record.side(side)));
                Ok((timelines, ends))
            });
            let (mut timelines, ends) = taken.unwrap_or(Err(PeekError::Busy))?;
            for (timeline, ends) in timelines.iter_mut().zip(&ends) {
                self.add_marks(timeline, ends, limit);
            }
            // The walk comes before the second look.
            fence(Acquire);
            let unchanged =
                |side: Side| record.side(side).cold.epoch.get() == ends[side.index()].epoch;
            if is_current(record, id) && Side::BOTH.into_iter().all(unchanged) {
                return Ok(merge(&timelines, from, limit));
            }
            tries += 1;
            if tries == MAX_TRIES {
                return Err(PeekError::Busy);
            }
            pause(tries);
        }
    }

    /// Returns the received bytes of a side from an offset up to its in-order edge, in at most `limit` ranges.
    fn received(&self, record: Record<'_>, name: Side, from: u64, limit: usize) -> Timeline {
        let side = record.side(name);
        let mut timeline = Timeline {
            opened: record.cold.opened.get(),
            end: side.next.get(),
            ..Timeline::default()
        };
        if !record.enabled(name) {
            return timeline;
        }
        let wanted = ByteRange::new(from, side.next.get());
        for_each_retained(&self.arena, side, |range| {
            let range = range.intersection(wanted);
            if !range.is_empty() {
                timeline.ranges.push(range);
            }
            timeline.ranges.len() < limit
        });
        // Ranges beyond may be missing.
        if timeline.ranges.len() >= limit {
            timeline.end = timeline.ranges.last().map_or(0, |range| range.end);
        }
        timeline
    }

    /// Adds the marks of the received bytes, at most about `limit`.
    fn add_marks(&self, timeline: &mut Timeline, ends: &Ends, limit: usize) {
        let Some(from) = timeline.ranges.first().map(|range| range.start) else {
            return;
        };
        let mut known = timeline.end;
        ends.each(&self.arena, |mark: Mark| {
            if mark.off <= from {
                timeline.marks.clear();
            }
            // Marks beyond may be missing.
            if timeline.marks.len() > limit {
                known = mark.off;
                return false;
            }
            timeline.marks.push(mark);
            mark.off < known
        });
        timeline.end = timeline.end.min(known);
    }
}

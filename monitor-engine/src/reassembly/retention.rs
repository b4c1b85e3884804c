//! Retention: the sliding window, eviction, release.

use super::Receiver;
use crate::store::arena::BLOCK;
use crate::store::blocks::number;
use crate::store::marks::STRIDE_SHIFT;
use crate::store::received::retained_below;
use crate::store::record::{NONE, option};
use crate::store::{Release, fence};
use crate::{ByteRange, Sink};

impl<S: Sink> Receiver<'_, S> {
    /// Slides the window over in-order bytes. Returns the offset where storing may start.
    ///
    /// Bytes beyond a hole move nothing: the receiver waits for the hole, so the capture does, too. An acknowledgment or
    /// the budget gives it up. Without a visible receiver there are no acknowledgments, and the window decides.
    #[inline(always)]
    pub(super) fn slide(&mut self, bytes: ByteRange) -> u64 {
        let side = self.side();
        let next = side.next.get();
        let newest = if bytes.start <= next {
            bytes.end.max(next)
        } else if side.offers(option::SEEN) {
            next
        } else {
            bytes.end.max(side.end())
        };
        if newest - side.stored.base.get() > self.limits.window {
            let to = newest - self.limits.window;
            if side.cold.ranges.get() == NONE && to <= side.next.get() && self.enabled() {
                self.shorten(to);
            } else {
                self.raise_base(to);
            }
        }
        bytes.start.max(side.stored.base.get())
    }

    /// Does the same as [`Receiver::raise_base`] where there is only the contiguous range, and part of it stays.
    #[inline]
    fn shorten(&mut self, to: u64) {
        let side = self.side();
        let (base, contig_start) = (side.stored.base.get(), side.cold.contig_start.get());
        self.record.update(|_| {
            side.stored.base.set(to);
            side.cold.contig_start.set(contig_start.max(to));
        });
        // Readers look at the base again after they have copied: from here on the blocks may be reused.
        fence(Release);
        if number(base) < number(to) {
            self.blocks().release(number(base), number(to));
        }
        // Marks come at least as often.
        if (base ^ to) >> STRIDE_SHIFT != 0 {
            self.remove_marks();
        }
        self.counters
            .evicted_bytes
            .add(to.saturating_sub(contig_start.max(base)));
    }

    /// Evicts every byte below `to`.
    pub fn raise_base(&mut self, to: u64) {
        let side = self.side();
        let base = side.stored.base.get();
        if to <= base {
            return;
        }
        // The edge is never below the base: holes on the way are lost.
        while side.next.get() < to {
            let hole_end = self.hole_end().unwrap_or(to).min(to);
            self.declare_lost(hole_end);
        }
        let evicted = self.retained_below(to);
        let last = number(side.end().max(base)) + 1;
        self.record.update(|_| {
            // A side that retains nothing may be further already.
            side.stored.base.set(to.max(side.stored.base.get()));
            side.cold
                .contig_start
                .set(side.cold.contig_start.get().max(to));
            self.ranges().remove_below(to);
        });
        // Readers look at the base again after they have copied: from here on the blocks may be reused.
        fence(Release);
        self.blocks().release(number(base), number(to).min(last));
        self.remove_marks();
        self.counters.evicted_bytes.add(evicted);
    }

    /// Evicts the oldest bytes so that about `blocks` blocks are freed. Retains the newest block.
    pub fn shed(&mut self, blocks: u64) {
        if !self.enabled() {
            return;
        }
        let side = self.side();
        let to = (number(side.stored.base.get()) + blocks) * BLOCK as u64;
        let newest = side.end().max(side.next.get()).saturating_sub(BLOCK as u64);
        self.raise_base(to.min(newest));
    }

    /// Returns whether a byte beyond the in-order edge has been received.
    pub fn has_byte(&mut self, off: u64) -> bool {
        self.ranges()
            .first_from(off + 1)
            .is_some_and(|range| range.start <= off)
    }

    /// Returns the number of ranges beyond the in-order edge.
    pub fn ranges_beyond(&mut self) -> usize {
        let mut count = 0;
        let beyond = ByteRange::new(self.side().next.get(), u64::MAX);
        self.ranges().overlapping(beyond, |_| count += 1);
        count
    }

    /// Discards what waits beyond the in-order edge from `off` on: the receiver processes a FIN there. The out-of-order
    /// queue stays as it is.
    pub fn discard_from(&mut self, off: u64) {
        let side = self.side();
        let (end, off) = (side.end(), off.max(side.next.get()));
        if end <= off {
            return;
        }
        self.record.update(|_| {
            // Readers look at the epoch again after they have copied.
            side.cold.epoch.set(side.cold.epoch.get().wrapping_add(1));
            side.set_end(off);
            self.ranges().remove_from(off);
        });
        fence(Release);
        // Exactly the blocks that hold these bytes: a higher number may stand for the place of a lower one.
        let block = BLOCK as u64;
        self.blocks()
            .release_above(off.div_ceil(block), end.div_ceil(block));
    }

    /// Discards all that waits beyond the in-order edge from `off` on, and empties the out-of-order queue.
    pub fn end_at(&mut self, off: u64) {
        self.discard_from(off);
        self.writer.queues.restart(&self.side().cold.ooo_queue);
    }

    /// Frees all blocks of the side, which no reader can reach any more.
    pub fn release(&mut self) {
        let side = self.side();
        self.counters
            .evicted_bytes
            .add(self.retained_below(u64::MAX));
        self.ranges().clear();
        self.free_marks();
        self.writer.queues.restart(&side.cold.ooo_queue);
        let (base, end) = (side.stored.base.get(), side.end());
        self.blocks()
            .release_all(number(base), number(end.max(base)) + 1);
    }

    fn retained_below(&self, limit: u64) -> u64 {
        if self.enabled() {
            retained_below(self.arena, self.side(), limit)
        } else {
            0
        }
    }
}

//! What of a side is kept: the window slides, memory runs out, the connection goes.

use super::Receiver;
use crate::Sink;
use crate::store::arena::{Arena, BLOCK};
use crate::store::blocks::number;
use crate::store::range_set::{Run, walk};
use crate::store::record::{NONE, SideRecord};
use crate::store::{Release, fence};

impl<S: Sink> Receiver<'_, S> {
    /// Makes room in the window for bytes up to `end`; returns where storing may start.
    #[inline(always)]
    pub(super) fn slide(&mut self, start: u64, end: u64) -> u64 {
        let side = self.side();
        let newest = end.max(side.end.get());
        if newest - side.base.get() > self.limits.window {
            let to = newest - self.limits.window;
            if side.ranges.get() == NONE && to <= side.next.get() && self.enabled() {
                self.shorten(to);
            } else {
                self.raise_base(to);
            }
        }
        start.max(side.base.get())
    }

    /// What [`Receiver::raise_base`] does where there is nothing but the in-order run, of which something is left.
    #[inline]
    fn shorten(&mut self, to: u64) {
        let side = self.side();
        let (base, run) = (side.base.get(), side.contig_start.get());
        self.record.update(|_| {
            side.base.set(to);
            side.contig_start.set(run.max(to));
        });
        fence(Release);
        if number(base) < number(to) {
            self.blocks().release(number(base), number(to));
        }
        self.counters
            .evicted_bytes
            .add(to.saturating_sub(run.max(base)));
    }

    /// Evicts every byte below `to`.
    pub fn raise_base(&mut self, to: u64) {
        let side = self.side();
        let base = side.base.get();
        if to <= base {
            return;
        }
        while side.next.get() < to {
            let hole_end = self.hole_end().unwrap_or(to).min(to);
            self.declare_lost(hole_end);
        }
        let evicted = self.held_below(to);
        let last = number(side.end.get().max(base)) + 1;
        self.record.update(|_| {
            // A side that keeps nothing may be further already.
            side.base.set(to.max(side.base.get()));
            side.contig_start.set(side.contig_start.get().max(to));
            self.ranges().remove_below(to);
        });
        fence(Release);
        self.blocks().release(number(base), number(to).min(last));
        self.counters.evicted_bytes.add(evicted);
    }

    /// Evicts the oldest bytes so that about `blocks` blocks are given back; keeps the newest block.
    pub fn shed(&mut self, blocks: u64) {
        if !self.enabled() {
            return;
        }
        let side = self.side();
        let to = (number(side.base.get()) + blocks) * BLOCK as u64;
        let newest = side
            .end
            .get()
            .max(side.next.get())
            .saturating_sub(BLOCK as u64);
        self.raise_base(to.min(newest));
    }

    /// Gives back all blocks of the side, which no reader can reach any more.
    pub fn release(&mut self) {
        let side = self.side();
        self.counters.evicted_bytes.add(self.held_below(u64::MAX));
        self.ranges().clear();
        self.writer.queues.restart(&side.ooo_queue);
        let (base, end) = (side.base.get(), side.end.get());
        self.blocks()
            .release_all(number(base), number(end.max(base)) + 1);
    }

    fn held_below(&self, limit: u64) -> u64 {
        if self.enabled() {
            retained_below(self.arena, self.side(), limit)
        } else {
            0
        }
    }
}

/// Bytes held below `limit`.
pub fn retained_below(arena: &Arena, side: &SideRecord, limit: u64) -> u64 {
    let base = side.base.get();
    let held = |run: Run| run.1.min(limit).saturating_sub(run.0.max(base));
    let mut sum = held((side.contig_start.get(), side.next.get()));
    walk(arena, side.ranges.get(), |run| {
        sum = sum.saturating_add(held(run));
        run.0 < limit
    });
    sum
}

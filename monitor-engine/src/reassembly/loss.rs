//! Holes that are declared lost.

use super::Receiver;
use crate::event::Event;
use crate::store::record::{NO_FIN, side_flag};
use crate::{ByteRange, Sink};

impl<S: Sink> Receiver<'_, S> {
    /// Returns the end of the first hole: the start of the next range above the in-order edge.
    pub fn hole_end(&mut self) -> Option<u64> {
        let next = self.side().next.get();
        self.ranges().first_from(next).map(|range| range.start)
    }

    /// Returns the end of the first hole, also of one before an acknowledged FIN.
    pub fn missing_end(&mut self) -> Option<u64> {
        let side = self.side();
        let fin = side.fin();
        let is_before_fin = side.has(side_flag::FIN_ACKED) && side.next.get() < fin;
        self.hole_end().or(is_before_fin.then_some(fin))
    }

    /// Declares every hole lost that ends at or before `limit`.
    pub fn declare_lost_below(&mut self, limit: u64) {
        while let Some(end) = self.missing_end().filter(|end| *end <= limit) {
            self.declare_lost(end);
        }
    }

    /// Declares everything lost that is missing before `to`, and moves the in-order edge there, or to an acknowledged FIN.
    pub fn advance_to(&mut self, to: u64) {
        let side = self.side();
        let to = if side.has(side_flag::FIN_ACKED) {
            to.min(side.fin())
        } else {
            to
        };
        self.declare_lost_below(to);
        if self.side().next.get() < to {
            self.declare_lost(to);
        }
    }

    /// Ends the side: declares every hole lost, also one before the FIN.
    pub fn finish(&mut self) {
        let side = self.side();
        let fin = side.fin();
        if fin != NO_FIN && side.has(side_flag::FIN_ACKED) {
            // The receiver got no further.
            self.advance_to(fin);
            self.end_at(fin);
        }
        self.declare_lost_below(u64::MAX);
        if fin != NO_FIN {
            self.advance_to(fin);
        }
        self.writer.queues.restart(&side.cold.ooo_queue);
    }

    /// Keeps the number of ranges within its limit before a segment at `start` may add one. The oldest bytes go first, then
    /// the lowest hole is declared lost.
    pub(super) fn limit_ranges(&mut self, start: u64) {
        if self.ranges().is_empty() || start == self.side().next.get() {
            return;
        }
        while self.ranges().len() >= self.limits.ranges {
            let contig_start = self.side().cold.contig_start.get();
            match self.ranges().first_from(0) {
                Some(range) if range.end < contig_start => self.raise_base(range.end),
                Some(range) => self.declare_lost(range.start),
                None => return,
            }
        }
    }

    /// Declares the hole between the in-order edge and `to` lost.
    pub(super) fn declare_lost(&mut self, to: u64) {
        let side = self.side();
        let next = side.next.get();
        // The contiguous range becomes a range before a lost hole.
        let before = ByteRange::new(
            side.cold.contig_start.get().max(side.stored.base.get()),
            next,
        );
        if !before.is_empty() && self.record.update(|_| self.ranges().add(before)).is_err() {
            // No memory for one more range: its bytes are evicted.
            self.raise_base(next);
        }
        if self.has_byte(to) {
            self.mark(to);
        }
        self.record.update(|_| {
            side.cold.contig_start.set(to);
            side.set_next(to);
            side.count_gap();
            self.absorb();
        });
        self.counters.gaps.add(1);
        self.counters.gap_bytes.add(to - next);
        self.sink.event(Event::Gap {
            id: self.id,
            side: self.name,
            off: next,
            len: to - next,
        });
        self.advance_queue();
        self.on_edge(to);
    }
}

//! Publication of new bytes: storing them, joining ranges, moving the in-order edge.

use super::Receiver;
use super::overlap::OooQueues;
use super::segment::Shift;
use crate::event::Event;
use crate::payload::Payload;
use crate::{ByteRange, Sink};

impl<S: Sink> Receiver<'_, S> {
    /// Stores bytes that were not received before, as far as they are in the window.
    pub(super) fn store_new(&mut self, bytes: ByteRange, shift: Shift, payload: &Payload<'_>) {
        let bytes = self.in_window(bytes);
        if bytes.is_empty() {
            return;
        }
        // May move the window.
        self.limit_ranges(bytes.start);
        let bytes = self.in_window(bytes);
        if bytes.is_empty() {
            return;
        }
        let end = if self.enabled() {
            bytes.start + self.put(bytes, shift, payload)
        } else {
            bytes.end
        };
        if end > bytes.start {
            self.publish(ByteRange::new(bytes.start, end));
        }
    }

    fn in_window(&self, bytes: ByteRange) -> ByteRange {
        ByteRange::new(bytes.start.max(self.side().stored.base.get()), bytes.end)
    }

    /// Shows new bytes to readers, and joins them with the ranges that they touch.
    fn publish(&mut self, bytes: ByteRange) {
        let side = self.side();
        let (old_start, old_next) = (side.cold.contig_start.get(), side.next.get());
        let late = bytes.end <= old_start;
        if bytes.start <= old_next && bytes.end > old_next {
            self.mark_advance(old_next, bytes.end);
        }
        let added = self.record.update(|_| {
            side.set_end(side.end().max(bytes.end));
            // They reach the in-order edge: it moves.
            if bytes.start <= old_next && bytes.end >= old_next && bytes.start >= old_start {
                side.set_next(bytes.end);
                self.absorb();
                return true;
            }
            // They fill a lost hole up to the contiguous range, which then starts lower.
            if bytes.end == old_start {
                side.cold.contig_start.set(bytes.start);
                if let Some(before) = self.ranges().take_touching(bytes.start) {
                    side.cold.contig_start.set(before.start);
                }
                return true;
            }
            self.ranges().add(bytes).is_ok()
        });
        if !added {
            self.counters.unstored_bytes.add(bytes.len());
        } else if late {
            self.counters.filled_bytes.add(bytes.len());
            self.sink.event(Event::Filled {
                id: self.id,
                side: self.name,
                off: bytes.start,
                len: bytes.len(),
            });
        }
        self.on_edge(old_next);
    }

    /// Joins the range that the in-order edge has reached. Inside an update.
    pub(super) fn absorb(&mut self) {
        let side = self.side();
        let next = side.next.get();
        if let Some(range) = self.ranges().take_touching(next) {
            side.set_next(range.end);
        }
    }

    /// Reports the bytes that the in-order edge moved over since it was at `old_next`.
    pub(super) fn on_edge(&mut self, old_next: u64) {
        let next = self.side().next.get();
        if next > old_next {
            self.advance_queue();
            self.sink.event(Event::Data {
                id: self.id,
                side: self.name,
                off: old_next,
                len: next - old_next,
            });
        }
    }

    /// Removes the segments from the out-of-order queue that the in-order edge has passed: the receiver delivers them.
    pub(super) fn advance_queue(&mut self) {
        let side = self.side();
        if OooQueues::untracked(&side.cold.ooo_queue) && self.hole_end().is_none() {
            self.writer.queues.restart(&side.cold.ooo_queue);
        }
        self.writer
            .queues
            .advance(&side.cold.ooo_queue, side.next.get());
        self.join();
        if !self.enabled() {
            self.record.update(|_| self.retain_nothing());
        }
    }

    /// Notes that nothing waits beyond the in-order edge, once that is so: packets then need less of the record.
    pub(super) fn join(&mut self) {
        let side = self.side();
        if side.may_join() {
            self.record.update(|_| side.join());
        }
    }

    /// Raises the base of a side without bytes to its in-order edge. Inside an update.
    pub(super) fn retain_nothing(&mut self) {
        let side = self.side();
        let next = side.next.get();
        side.stored.base.set(next);
        side.cold.contig_start.set(next);
        self.ranges().remove_below(next);
    }
}

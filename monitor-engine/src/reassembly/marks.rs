//! Marks of a side: when they are set, and when they go.
//!
//! A mark is set before its bytes are shown to readers: when the side that receives bytes changes, when a tick has passed
//! since the last bytes, and at every multiple of 64 KiB. It costs a packet a look at one bit of the record. A FIN has the
//! last mark of its side.

use super::Receiver;
use crate::store::marks::{Mark, Marks, STRIDE_SHIFT, last, most_chunks};
use crate::store::record::{NONE, flag};
use crate::{Side, Sink};

impl<S: Sink> Receiver<'_, S> {
    /// Sets a mark if the in-order edge needs one for its way from `from` to `to`.
    #[inline(always)]
    pub(super) fn mark_advance(&mut self, from: u64, to: u64) {
        if !self.record.sequences(self.name).continues() || (from ^ to) >> STRIDE_SHIFT != 0 {
            self.mark(from);
        }
    }

    /// Sets a mark at the in-order edge, which is about to leave `off`.
    #[inline(never)]
    pub(super) fn mark(&mut self, off: u64) {
        if !self.enabled() || !self.writer.marking {
            return;
        }
        let (side, peer) = (self.side(), self.record.sequences(self.name.peer()));
        let mut time = self.time;
        // Later than a mark that the peer has in the same tick: times alone order the marks of both sides.
        if peer.continues()
            && let Some(last) = last(self.arena, self.record.side(self.name.peer()))
        {
            time = time.max(last.time.saturating_add(1));
        }
        let most = most_chunks(self.limits.window);
        self.marks().append(Mark { off, time }, most, |is_set| {
            side.set_continues(is_set);
            peer.set_continues(false);
        });
    }

    /// Sets a mark at the FIN once the in-order edge has reached it.
    #[cold]
    pub fn mark_fin(&mut self) {
        let (side, fin) = (self.side(), self.side().fin());
        let is_marked = || last(self.arena, side).is_some_and(|mark| mark.off == fin);
        if fin == side.next.get() && !is_marked() {
            self.mark(fin);
        }
    }

    /// Notes the time of a RST to this side. A side without marks gets one, if the connection is established: a scan for
    /// ports takes no memory but records.
    #[cold]
    pub fn mark_reset(&mut self) {
        let side = self.side();
        let is_established = self.record.flags.get() & flag::ESTABLISHED != 0;
        if side.stored.marks.get() == NONE && is_established {
            self.mark(side.next.get());
        }
        let time = self.time;
        self.marks().set_reset_time(time);
        // Bytes that follow have marks of their own: they come after the RST.
        let sides = Side::BOTH.map(|side| self.record.sequences(side));
        self.record
            .update(|_| sides.iter().for_each(|side| side.set_continues(false)));
    }

    /// Frees the marks of evicted bytes.
    pub(super) fn remove_marks(&mut self) {
        let side = self.side();
        if side.stored.marks.get() != NONE {
            self.marks().remove_below(side.stored.base.get());
        }
    }

    /// Frees all marks, which no reader can reach any more.
    pub(super) fn free_marks(&mut self) {
        let newest = self.side().stored.marks.get();
        self.side().stored.marks.set(NONE);
        self.marks().free_ring(newest);
    }

    pub(super) fn marks(&mut self) -> Marks<'_> {
        Marks {
            arena: self.arena,
            chunks: &mut self.writer.marks,
            blocks: &mut self.writer.blocks,
            record: self.record,
            side: self.record.side(self.name),
        }
    }
}

//! Holes that the receiver has acknowledged: lost to the capture, not to the receiver.
//!
//! Such a hole may still be filled for a moment, because captures reorder packets. After the loss delay it is declared
//! lost. If FINs have overtaken bytes, their connection closes then.

use std::sync::Arc;

use super::Engine;
use super::conn::Conn;
use super::pending_losses::PendingLoss;
use crate::seq::SequenceOffsets;
use crate::store::record::side_flag;
use crate::{Side, Sink};

/// Time that an acknowledged hole may still be filled, nanoseconds. Captures reorder by a batch, not by more.
const LOSS_DELAY: u64 = 200_000_000;

impl<S: Sink> Engine<S> {
    /// Starts the loss delay of a side's first hole if the receiver has acknowledged it.
    #[inline(always)]
    pub(super) fn watch_hole(&mut self, conn: Conn<'_>, name: Side) {
        let sequences = conn.record.sequences(name);
        if sequences.is_apart()
            && conn.record.side(name).has_out_of_order()
            && !sequences.has(side_flag::LOSS_PENDING)
        {
            self.watch_first_hole(conn, name);
        }
    }

    /// Returns whether bytes before the acknowledged FIN of a side are missing, and may arrive within the loss delay.
    pub(super) fn awaits_bytes(&mut self, conn: Conn<'_>, name: Side) -> bool {
        let side = conn.record.side(name);
        if side.next.get() >= side.fin() {
            return false;
        }
        if !side.has(side_flag::LOSS_PENDING) {
            self.watch_first_hole(conn, name);
        }
        side.has(side_flag::LOSS_PENDING)
    }

    #[inline(never)]
    fn watch_first_hole(&mut self, conn: Conn<'_>, name: Side) {
        let side = conn.record.side(name);
        if side.acked_offset() <= side.next.get() {
            return;
        }
        if self.pending_losses.is_full() {
            return;
        }
        let end = self.receiver(conn, name).missing_end();
        if end.is_some_and(|end| end <= side.acked_offset()) {
            conn.record
                .update(|_| side.add_flag(side_flag::LOSS_PENDING));
            let deadline = self.now.saturating_add(LOSS_DELAY);
            self.wake = self.wake.min(deadline);
            self.pending_losses.push(PendingLoss {
                deadline,
                slot: conn.slot,
                generation: conn.record.generation.get(),
                side: name,
            });
        }
    }

    /// Declares holes lost after their loss delay. Returns the next deadline.
    pub(super) fn expire_pending_losses(&mut self) -> u64 {
        let arena = Arc::clone(&self.arena);
        while let Some(pending) = self.pending_losses.first() {
            if pending.deadline > self.now {
                return pending.deadline;
            }
            self.pending_losses.remove_first();
            let Some(conn) = self.conn(&arena, pending.slot) else {
                continue;
            };
            // The slot may hold another connection by now.
            if conn.record.generation.get() != pending.generation {
                continue;
            }
            let side = conn.record.side(pending.side);
            conn.record
                .update(|_| side.remove_flag(side_flag::LOSS_PENDING));
            let acked = side.acked_offset();
            self.receiver(conn, pending.side).declare_lost_below(acked);
            self.close_if_over(conn);
        }
        u64::MAX
    }
}

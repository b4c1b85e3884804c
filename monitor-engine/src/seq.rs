//! Sequence arithmetic: 32-bit sequence numbers to stream offsets and back.

use crate::store::record::{Sequences, side_flag};

/// Returns whether sequence number or timestamp `a` comes before `b` (RFC 9293, 3.4).
#[inline(always)]
pub fn is_before(a: u32, b: u32) -> bool {
    (a.wrapping_sub(b) as i32) < 0
}

/// Most bytes that an acknowledgment may be behind the in-order edge.
const BEHIND: u32 = 1 << 29;

/// Offsets that only the engine needs.
pub trait SequenceOffsets {
    /// Returns the offset up to which this end acknowledged; 0 before its first acknowledgment.
    fn acked_offset(&self) -> u64;

    /// Returns whether the highest acknowledgment is so far behind the in-order edge that it must be moved along.
    fn is_ack_far_behind(&self) -> bool;

    /// Moves an acknowledgment along that stays far behind the in-order edge, as when the receiver isn't captured any
    /// more. At 2 GiB behind, its sequence number would count as one ahead. Call it before each of the side's segments,
    /// each of which moves the edge by less than the rest of that distance. Inside an update.
    fn limit_ack_distance(&self);

    /// Returns the highest offset that the receiver could accept.
    fn limit(&self) -> u64;
}

impl SequenceOffsets for Sequences {
    #[inline(always)]
    fn acked_offset(&self) -> u64 {
        if self.has(side_flag::ACKED) {
            self.offset(self.acked.get()).max(0) as u64
        } else {
            0
        }
    }

    #[inline(always)]
    fn is_ack_far_behind(&self) -> bool {
        let edge = self.start.get().wrapping_add(self.next.get() as u32);
        let is_far = edge.wrapping_sub(self.acked.get()) as i32 > BEHIND as i32;
        is_far && self.has(side_flag::ACKED)
    }

    fn limit_ack_distance(&self) {
        if self.is_ack_far_behind() {
            let edge = self.start.get().wrapping_add(self.next.get() as u32);
            self.acked.set(edge.wrapping_sub(BEHIND));
            let window = self.right_edge.get().wrapping_sub(self.acked.get()) as i32;
            if window < 0 {
                self.right_edge.set(self.acked.get());
            }
        }
    }

    #[inline(always)]
    fn limit(&self) -> u64 {
        /// Window assumed while no acknowledgment is visible. Large enough for the default limits of common systems; segments
        /// further ahead must be confirmed by more segments.
        const UNKNOWN: u64 = 16 << 20;
        /// Least window assumed: senders may start before the first window update is captured.
        const LEAST: u64 = 65535;
        let edge = self.next.get().max(self.acked_offset());
        edge + if self.has(side_flag::ACKED) {
            let offered = self.right_edge.get().wrapping_sub(self.acked.get()) as i32;
            u64::from(offered.max(0) as u32).max(LEAST)
        } else {
            UNKNOWN
        }
    }
}

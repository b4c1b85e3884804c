//! Resynchronisation after a stretch longer than the window was not captured.
//!
//! Then all segments are beyond anything that the receiver could accept as far as the capture shows, and nothing
//! contradicts them. They are accepted if several of them are near each other, if the receiver acknowledged them (where
//! its acknowledgments are seen at all), and if none inside the window came between them. A forged segment fails that:
//! the receiver answers it with an acknowledgment of the bytes that it really has.

use crate::Side;
use crate::decode::Segment;
use crate::seq::SequenceOffsets;
use crate::store::cell::Cell8;
use crate::store::record::{Record, Sequences, option, side_flag};

/// Detector of one side. Its bits count the segments beyond the window that agree with each other; the top bit says
/// that the receiver acknowledged them.
#[derive(Clone, Copy)]
pub struct ResyncDetector<'a> {
    cell: &'a Cell8,
    shift: u32,
    side: &'a Sequences,
}

impl<'a> ResyncDetector<'a> {
    const ACKNOWLEDGED: u8 = 8;
    /// Bits of a detector.
    const BITS: u32 = 4;
    const MASK: u8 = (1 << Self::BITS) - 1;
    /// Number of segments in a row that are accepted.
    const ENOUGH: u8 = 3;
    /// Largest distance between them: the largest window there is (RFC 7323, 2.3).
    const NEAR: u32 = 1 << 30;

    /// Returns the detector of a side.
    #[inline(always)]
    pub fn of(record: Record<'a>, side: Side) -> Self {
        Self {
            cell: &record.hot.resync,
            shift: Self::BITS * side.index() as u32,
            side: record.sequences(side),
        }
    }

    #[inline(always)]
    fn get(self) -> u8 {
        self.cell.get() >> self.shift & Self::MASK
    }

    fn set(self, value: u8) {
        let others = self.cell.get() & !(Self::MASK << self.shift);
        self.cell.set(others | value << self.shift);
    }

    /// Counts a segment beyond the window, `seq..end`. Returns whether there are enough now. Inside an update.
    fn count(self, seq: u32, end: u32) -> bool {
        let side = self.side;
        let agrees = self.get() != 0 && near(seq, side.sent_end.get());
        side.sent_end.set(end);
        self.set(if agrees { self.get() + 1 } else { 1 });
        let count = self.get() & !Self::ACKNOWLEDGED;
        let acknowledged = self.get() & Self::ACKNOWLEDGED != 0 || !side.offers(option::SEEN);
        if count >= Self::ENOUGH && !acknowledged {
            self.set(Self::ENOUGH);
        }
        let accepted = count >= Self::ENOUGH && acknowledged;
        if accepted {
            self.set(0);
        }
        accepted
    }

    /// Notes that the receiver acknowledged something beyond its window. Inside an update.
    pub fn acknowledged(self, ack: u32) {
        if self.get() != 0 && near(ack, self.side.sent_end.get()) {
            self.set(self.get() | Self::ACKNOWLEDGED);
        }
    }

    /// Forgets the segments beyond the window: another one arrived where it was expected. Inside an update.
    #[inline(always)]
    pub fn reset(self) {
        if self.get() != 0 {
            self.set(0);
        }
    }
}

/// Window assumed after the resynchronisation, until the next acknowledgment shows it.
const WINDOW_AFTER: u32 = 16 << 20;

fn near(a: u32, b: u32) -> bool {
    (a.wrapping_sub(b) as i32).unsigned_abs() <= ResyncDetector::NEAR
}

/// Returns whether an offset is so close to the window of a visible receiver that the receiver may accept more than it
/// advertises.
pub fn is_close(fwd: &Sequences, off: i64) -> bool {
    /// Distance from the window, bytes. Linux was seen to accept 43 bytes more than a full window field shows.
    const CLOSE: u64 = 4096;
    fwd.offers(option::SEEN) && (off as u64) < fwd.limit() + CLOSE
}

/// Returns whether a segment beyond anything that its receiver could accept is accepted nevertheless.
pub fn accept(record: Record<'_>, receiver: Side, segment: &Segment<'_>) -> bool {
    let side = record.side(receiver);
    let end = segment.tcp.seq.wrapping_add(segment.wire_len as u32);
    record.update(|record| {
        let accepted = ResyncDetector::of(record, receiver).count(segment.tcp.seq, end);
        if accepted {
            // The bytes between the edge and this segment are taken for acknowledged: they are lost to the capture.
            side.acked.set(segment.tcp.seq);
            side.add_flag(side_flag::ACKED);
            side.right_edge
                .set(segment.tcp.seq.wrapping_add(WINDOW_AFTER));
        }
        accepted
    })
}

//! Record of one side of a connection.

use std::ops::Deref;

use super::cell::{Cell8, Cell32, Cell64};
use super::flags::{option, side_flag};
use super::layout::hash;

/// Offset of a FIN that was not seen.
pub const NO_FIN: u64 = u64::MAX;

/// Empty link to a block or a record. Links hold a number plus one, so that zeroed memory is empty.
pub const NONE: u32 = 0;

/// Bits of an end's options that hold the window scale plus 1; 0: none was offered.
const SCALE: u8 = 15;

/// Bits of [`Sequences::packed`] that hold the end's [`crate::TcpState`].
const STATE: u8 = 15;
/// Shift of the block tree's height in them.
const HEIGHT_SHIFT: u32 = 4;
const HEIGHT: u8 = 7 << HEIGHT_SHIFT;
/// Bit of them that is set where the highest offset received isn't the in-order edge, or the out-of-order queue is in use.
const APART: u8 = 1 << 7;

/// Part of a side that every packet of its connection uses, in both directions.
#[derive(Debug, Default)]
#[repr(C)]
pub struct Sequences {
    /// In-order edge. Changes through [`SideRecord::set_next`] and [`SideRecord::advance`].
    pub next: Cell64,
    /// Sequence number of offset 0.
    pub start: Cell32,
    /// Highest acknowledgment sent by this end, as a sequence number.
    pub acked: Cell32,
    /// Right edge of the receive window: the largest sum of an acknowledgment of this end and its (scaled) window, as a
    /// sequence number. Valid with [`side_flag::ACKED`].
    pub right_edge: Cell32,
    /// Latest timestamp that this end accepted from its peer (TS.Recent; RFC 7323, 4.3), once both offered timestamps.
    pub ts_recent: Cell32,
    /// Sequence number after the highest one that the peer has sent, as far as its segments show (SND.NXT). While
    /// [`super::record::Hot::resync`] counts: end of the last segment beyond the window.
    pub sent_end: Cell32,
    /// State, height of the block tree, and [`APART`].
    packed: Cell8,
    /// The end's window scale in the lower half; [`option`]s in the upper.
    options: Cell8,
    /// [`side_flag`]s.
    pub flags: Cell8,
    /// Interface from which the bytes of the side come first: copies of them from other interfaces are no
    /// retransmissions. The lower byte of its number, at least 1; 0: none yet.
    pub home: Cell8,
}

/// Part of a side that a segment with data uses as well.
#[derive(Debug, Default)]
#[repr(C)]
pub struct Stored {
    /// Lowest retained offset. Raised, with a release fence, before the blocks below it are reused.
    pub base: Cell64,
    /// Highest offset received, plus 1. Valid with [`APART`]; otherwise it is the in-order edge.
    end: Cell64,
    /// Root of the block tree ([`super::blocks`]).
    pub roots: [Cell32; 3],
    /// Link to the newest chunk of the marks ([`super::marks`]).
    pub marks: Cell32,
}

/// Part of a side that only its first and last segments use, and those that are lost, repeated or out of order.
#[derive(Debug, Default)]
#[repr(C)]
pub struct ColdSide {
    /// Start of the received range that ends at `next`: base, or the end of the last hole declared lost.
    pub contig_start: Cell64,
    /// Bytes that arrived again.
    pub retransmitted: Cell64,
    /// Link to the first chunk of the ranges apart from the contiguous one ([`super::ranges`]).
    pub ranges: Cell32,
    /// Epoch: changes before a received byte is overwritten or the block tree is rebuilt.
    pub epoch: Cell32,
    /// Sequence number of the FIN, valid with [`option::FIN`].
    fin: Cell32,
    /// Holes declared lost.
    gaps: Cell32,
    /// Bytes that arrived again with other contents.
    pub conflicts: Cell32,
    /// Root of the out-of-order queue, which belongs to the writer alone (OooQueues in reassembly). Set after
    /// [`SideRecord::part`].
    pub ooo_queue: Cell32,
}

/// Record of the bytes received by one end. Offsets are absolute.
#[derive(Clone, Copy, Debug)]
pub struct SideRecord<'a> {
    /// Used by every packet.
    pub sequences: &'a Sequences,
    /// Used by segments with data.
    pub stored: &'a Stored,
    /// Seldom used.
    pub cold: &'a ColdSide,
}

impl Deref for SideRecord<'_> {
    type Target = Sequences;

    #[inline(always)]
    fn deref(&self) -> &Sequences {
        self.sequences
    }
}

/// Returns a hash of the places of all fields.
pub const fn layout() -> u64 {
    use std::mem::offset_of;

    macro_rules! offsets {
        ($part:ident: $($field:ident)*) => {
            hash(&[$(offset_of!($part, $field) as u64,)* size_of::<$part>() as u64])
        };
    }
    hash(&[
        offsets!(Sequences: next start acked right_edge ts_recent sent_end packed options flags home),
        offsets!(Stored: base end roots marks),
        offsets!(ColdSide: contig_start retransmitted ranges epoch fin gaps conflicts ooo_queue),
    ])
}

impl Sequences {
    /// Returns the offset of a sequence number, negative before offset 0. Of all offsets with this number it is the one
    /// nearest to the in-order edge, so that it follows the wrap. Needs [`side_flag::STARTED`].
    #[inline(always)]
    pub fn offset(&self, seq: u32) -> i64 {
        let next = self.next.get();
        let edge = self.start.get().wrapping_add(next as u32);
        (next as i64).wrapping_add(i64::from(seq.wrapping_sub(edge) as i32))
    }

    /// Returns whether one of the [`option`]s is set.
    #[inline(always)]
    pub fn offers(&self, option: u8) -> bool {
        self.options.get() & option != 0
    }

    /// Sets one of the [`option`]s. Inside an update.
    #[inline(always)]
    pub fn offer(&self, option: u8) {
        if !self.offers(option) {
            self.options.set(self.options.get() | option);
        }
    }

    /// Notes that this end is not captured any more. Inside an update.
    pub fn forget_seen(&self) {
        self.options.set(self.options.get() & !option::SEEN);
    }

    /// Notes that the connection is reset: its receiver accepts nothing more. Inside an update.
    pub fn shut_window(&self) {
        if self.offers(option::SEEN) && self.has(side_flag::ACKED) {
            let edge = self.start.get().wrapping_add(self.next.get() as u32);
            self.right_edge.set(edge.wrapping_sub(1));
        }
    }

    /// Returns the window scale that this end offered, if it did.
    #[inline(always)]
    pub fn scale(&self) -> Option<u8> {
        (self.options.get() & SCALE).checked_sub(1)
    }

    /// Notes the window scale that this end offered, at most 14. Inside an update.
    pub fn set_scale(&self, scale: u8) {
        self.options
            .set(self.options.get() & !SCALE | (scale.min(14) + 1));
    }

    /// Returns whether more bytes need no mark of their own: the last bytes of the connection came to this side, in the
    /// same tick.
    #[inline(always)]
    pub fn continues(&self) -> bool {
        self.has(side_flag::CONTINUES)
    }

    /// Notes whether more bytes need no mark. Inside an update.
    #[inline(always)]
    pub fn set_continues(&self, continues: bool) {
        if continues {
            self.add_flag(side_flag::CONTINUES);
        } else {
            self.remove_flag(side_flag::CONTINUES);
        }
    }

    /// Returns the number of the end's [`crate::TcpState`].
    #[inline(always)]
    pub fn state(&self) -> u8 {
        self.packed.get() & STATE
    }

    /// Sets the number of the end's state. Inside an update.
    #[inline(always)]
    pub fn set_state(&self, state: u8) {
        self.packed.set(self.packed.get() & !STATE | state & STATE);
    }

    /// Returns the height of the block tree: levels of index blocks between the roots and the blocks.
    #[inline(always)]
    pub fn height(&self) -> u8 {
        (self.packed.get() & HEIGHT) >> HEIGHT_SHIFT
    }

    /// Sets the height of the block tree. Inside an update, or where no reader finds the side.
    #[inline(always)]
    pub fn set_height(&self, height: u8) {
        let height = height << HEIGHT_SHIFT & HEIGHT;
        self.packed.set(self.packed.get() & !HEIGHT | height);
    }

    /// Returns whether one of the [`side_flag`]s is set.
    #[inline(always)]
    pub fn has(&self, flag: u8) -> bool {
        self.flags.get() & flag != 0
    }

    /// Sets one of the [`side_flag`]s. Inside an update.
    #[inline(always)]
    pub fn add_flag(&self, flag: u8) {
        self.flags.set(self.flags.get() | flag);
    }

    /// Clears one of the [`side_flag`]s. Inside an update.
    #[inline(always)]
    pub fn remove_flag(&self, flag: u8) {
        self.flags.set(self.flags.get() & !flag);
    }

    /// Returns false if nothing waits: the highest offset received is the in-order edge, and the out-of-order queue is
    /// empty. If true, both may still be so.
    #[inline(always)]
    pub fn is_apart(&self) -> bool {
        self.packed.get() & APART != 0
    }
}

impl SideRecord<'_> {
    /// Returns the offset of the FIN, or [`NO_FIN`].
    #[inline(always)]
    pub fn fin(&self) -> u64 {
        if self.offers(option::FIN) {
            self.offset(self.cold.fin.get()).max(0) as u64
        } else {
            NO_FIN
        }
    }

    /// Fixes the FIN at an offset, or withdraws it ([`NO_FIN`]). Inside an update.
    pub fn set_fin(&self, off: u64) {
        if off == NO_FIN {
            self.options.set(self.options.get() & !option::FIN);
        } else {
            self.cold.fin.set(self.start.get().wrapping_add(off as u32));
            self.offer(option::FIN);
        }
    }

    /// Returns the number of holes declared lost.
    pub fn gaps(&self) -> u32 {
        self.cold.gaps.get()
    }

    /// Counts a hole declared lost. Inside an update.
    pub fn count_gap(&self) {
        self.cold.gaps.set(self.gaps().saturating_add(1));
    }

    /// Returns the highest offset received, plus 1.
    #[inline(always)]
    pub fn end(&self) -> u64 {
        if self.is_apart() {
            self.stored.end.get()
        } else {
            self.next.get()
        }
    }

    /// Returns the highest offset received, plus 1, and the height of the block tree, by one load. `next`: the in-order edge.
    #[inline(always)]
    pub fn end_and_height(&self, next: u64) -> (u64, u8) {
        let packed = self.packed.get();
        let end = if packed & APART != 0 {
            self.stored.end.get()
        } else {
            next
        };
        (end, (packed & HEIGHT) >> HEIGHT_SHIFT)
    }

    /// Returns whether bytes wait beyond a hole. (Ranges below lost holes stay in the set while they are retained.)
    #[inline(always)]
    pub fn has_out_of_order(&self) -> bool {
        self.is_apart() && self.stored.end.get() > self.next.get()
    }

    /// Separates the highest offset received from the in-order edge. Inside an update.
    #[inline(always)]
    pub fn part(&self) {
        if !self.is_apart() {
            self.stored.end.set(self.next.get());
            self.packed.set(self.packed.get() | APART);
        }
    }

    /// Returns whether [`SideRecord::join`] would change anything.
    #[inline]
    pub fn may_join(&self) -> bool {
        self.is_apart()
            && self.stored.end.get() == self.next.get()
            && self.cold.ooo_queue.get() == NONE
    }

    /// Joins the highest offset received and the in-order edge if they are the same and nothing waits. Inside an update.
    #[inline]
    pub fn join(&self) {
        if self.may_join() {
            self.packed.set(self.packed.get() & !APART);
        }
    }

    /// Moves the in-order edge alone. Inside an update.
    #[inline(always)]
    pub fn set_next(&self, next: u64) {
        self.part();
        self.next.set(next);
    }

    /// Sets the highest offset received, plus 1. Inside an update.
    #[inline(always)]
    pub fn set_end(&self, end: u64) {
        self.part();
        self.stored.end.set(end);
    }

    /// Moves the in-order edge over bytes that were received. Inside an update.
    #[inline(always)]
    pub fn advance(&self, next: u64) {
        self.next.set(next);
        if self.is_apart() {
            self.stored.end.set(next.max(self.stored.end.get()));
            self.join();
        }
    }

    /// Resets the edges, the flags, the state and the tree's height, as for a side without bytes. Inside an update.
    pub fn clear(&self) {
        for cell in [&self.next, &self.stored.base, &self.stored.end] {
            cell.set(0);
        }
        for cell in [&self.cold.contig_start, &self.cold.retransmitted] {
            cell.set(0);
        }
        for cell in [
            &self.start,
            &self.acked,
            &self.right_edge,
            &self.ts_recent,
            &self.sent_end,
            &self.cold.gaps,
            &self.cold.conflicts,
            &self.cold.ooo_queue,
        ] {
            cell.set(0);
        }
        for cell in [&self.packed, &self.options, &self.flags, &self.home] {
            cell.set(0);
        }
    }
}

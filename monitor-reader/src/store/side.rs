//! Record of one side of a connection.

use super::cell::{Cell8, Cell32, Cell64};
use super::flags::{option, side_flag};
use super::layout::hash;

/// Offset of a FIN that was not seen.
pub const NO_FIN: u64 = u64::MAX;

/// Bit beside a side's lost holes: bytes were the last of the connection, a tick ago at most ([`super::marks`]).
const CONTINUES: u32 = 1 << 31;

/// Bits of an end's options that hold the window scale.
const SCALE: u8 = 15;

/// Bytes received by one end. Offsets are absolute.
#[derive(Debug, Default)]
#[repr(C)]
pub struct SideRecord {
    /// Lowest retained offset. Raised, with a release fence, before the blocks below it are reused.
    pub base: Cell64,
    /// In-order edge.
    pub next: Cell64,
    /// Highest offset received, plus 1.
    pub end: Cell64,
    /// Start of the received range that ends at `next`: base, or the end of the last hole declared lost.
    pub contig_start: Cell64,
    /// Bytes that arrived again.
    pub retransmitted: Cell64,
    /// Root of the block tree ([`super::blocks`]).
    pub roots: [Cell32; 3],
    /// Link to the newest chunk of the marks ([`super::marks`]).
    pub marks: Cell32,
    /// Link to the first chunk of the ranges apart from the contiguous one ([`super::ranges`]).
    pub ranges: Cell32,
    /// Epoch: changes before a received byte is overwritten or the block tree is rebuilt.
    pub epoch: Cell32,
    /// Sequence number of offset 0.
    pub start: Cell32,
    /// Highest acknowledgment sent by this end, as a sequence number.
    pub acked: Cell32,
    /// Right edge of the receive window: the largest sum of an acknowledgment of this end and its (scaled) window, as a
    /// sequence number. Valid with [`side_flag::ACKED`].
    pub right_edge: Cell32,
    /// Latest timestamp that this end accepted from its peer (TS.Recent; RFC 7323, 4.3), once both offered timestamps.
    pub ts_recent: Cell32,
    /// Sequence number of the FIN, valid with [`option::FIN`].
    fin: Cell32,
    /// Holes declared lost; [`CONTINUES`] in the top bit.
    gaps: Cell32,
    /// Bytes that arrived again with other contents.
    pub conflicts: Cell32,
    /// Root of the out-of-order queue, which belongs to the writer alone (OooQueues in reassembly).
    pub ooo_queue: Cell32,
    /// Sequence number after the highest one that the peer has sent, as far as its segments show (SND.NXT). While
    /// [`super::record::Record::resync`] counts: end of the last segment beyond the window.
    pub sent_end: Cell32,
    /// The end's [`crate::TcpState`].
    pub state: Cell8,
    /// The end's window scale in the lower half, valid with [`side_flag::SCALED`]; [`option`]s in the upper.
    options: Cell8,
    /// [`side_flag`]s.
    pub flags: Cell8,
    /// Height of the block tree: levels of index blocks between `roots` and the blocks.
    pub height: Cell8,
}

/// Returns a hash of the places of all fields.
pub const fn layout() -> u64 {
    use std::mem::offset_of;

    macro_rules! offsets {
        ($($field:ident)*) => { [$(offset_of!(SideRecord, $field) as u64),*] };
    }
    let side = offsets!(base next end contig_start retransmitted roots marks ranges epoch start acked
        right_edge ts_recent fin gaps conflicts ooo_queue sent_end state options flags height);
    hash(&[hash(&side), size_of::<SideRecord>() as u64])
}

impl SideRecord {
    /// Returns the offset of a sequence number, negative before offset 0. Of all offsets with this number it is the one
    /// nearest to the in-order edge, so that it follows the wrap. Needs [`side_flag::STARTED`].
    #[inline(always)]
    pub fn offset(&self, seq: u32) -> i64 {
        let next = self.next.get();
        let edge = self.start.get().wrapping_add(next as u32);
        (next as i64).wrapping_add(i64::from(seq.wrapping_sub(edge) as i32))
    }

    /// Returns the offset of the FIN, or [`NO_FIN`].
    #[inline(always)]
    pub fn fin(&self) -> u64 {
        if self.offers(option::FIN) {
            self.offset(self.fin.get()).max(0) as u64
        } else {
            NO_FIN
        }
    }

    /// Fixes the FIN at an offset, or withdraws it ([`NO_FIN`]). Inside an update.
    pub fn set_fin(&self, off: u64) {
        if off == NO_FIN {
            self.options.set(self.options.get() & !option::FIN);
        } else {
            self.fin.set(self.start.get().wrapping_add(off as u32));
            self.offer(option::FIN);
        }
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

    /// Returns the window scale that this end offered.
    #[inline(always)]
    pub fn scale(&self) -> u8 {
        self.options.get() & SCALE
    }

    /// Notes the window scale that this end offered, at most 14. Inside an update.
    pub fn set_scale(&self, scale: u8) {
        self.options
            .set(self.options.get() & !SCALE | scale.min(14));
    }

    /// Forgets all options and lost holes. Inside an update.
    pub fn clear_options(&self) {
        self.options.set(0);
        self.gaps.set(0);
    }

    /// Returns the number of holes declared lost.
    pub fn gaps(&self) -> u32 {
        self.gaps.get() & !CONTINUES
    }

    /// Counts a hole declared lost. Inside an update.
    pub fn count_gap(&self) {
        if self.gaps() < CONTINUES - 1 {
            self.gaps.set(self.gaps.get() + 1);
        }
    }

    /// Returns whether more bytes need no mark of their own: the last bytes of the connection came to this side, in the
    /// same tick.
    #[inline(always)]
    pub fn continues(&self) -> bool {
        self.gaps.get() & CONTINUES != 0
    }

    /// Notes whether more bytes need no mark. Inside an update.
    #[inline(always)]
    pub fn set_continues(&self, continues: bool) {
        self.gaps
            .set(self.gaps() | if continues { CONTINUES } else { 0 });
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

    /// Returns whether bytes wait beyond a hole. (Ranges below lost holes stay in the set while they are retained.)
    #[inline(always)]
    pub fn has_out_of_order(&self) -> bool {
        self.end.get() > self.next.get()
    }
}

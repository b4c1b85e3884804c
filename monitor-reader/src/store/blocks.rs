//! Block trees: the blocks of one side, found by stream offset.
//!
//! A side's blocks are numbered by offset / BLOCK. Up to three are linked from the side's record; more are linked from
//! index blocks, a radix tree of fan-out [`FANOUT`]; its height grows with the span of retained blocks. Block numbers are
//! taken modulo the tree's capacity, so a sliding window stays in a tree of constant size.

use super::arena::{Arena, BLOCK_SHIFT, BlockId};
use super::cell::Cell32;
use super::record::SideRecord;

/// Entries of an index block.
pub const FANOUT: u64 = 1 << FANOUT_SHIFT;
/// An entry has four bytes.
pub const FANOUT_SHIFT: u32 = BLOCK_SHIFT - 2;
/// Blocks linked from the record itself.
pub const DIRECT: u64 = 3;
/// Enough for any window that memory can hold.
pub const MAX_HEIGHT: u8 = 5;

/// Copy of the root of a side's tree.
#[derive(Clone, Copy, Debug)]
pub struct Roots {
    /// Links of the record; the first leads to the topmost index block, if there is one.
    pub links: [u32; DIRECT as usize],
    /// Levels of index blocks.
    pub height: u8,
}

impl Roots {
    /// Copies the root from a record.
    #[inline(always)]
    pub fn of(side: SideRecord<'_>) -> Self {
        Self::new(side, side.height())
    }

    /// Does the same, with the height that was loaded before.
    #[inline(always)]
    pub fn new(side: SideRecord<'_>, height: u8) -> Self {
        Self {
            links: side.stored.roots.each_ref().map(Cell32::get),
            height,
        }
    }

    /// Returns the block with a number. On a torn copy: an arbitrary block, or none.
    #[inline(always)]
    pub fn find(&self, arena: &Arena, number: u64) -> Option<BlockId> {
        if self.height == 0 {
            return self.links[(number % DIRECT) as usize].checked_sub(1);
        }
        let mut link = self.links[0];
        for level in (0..self.height.min(MAX_HEIGHT)).rev() {
            link = arena
                .entry(link.checked_sub(1)?, digit(number, level))?
                .get();
        }
        link.checked_sub(1)
    }
}

/// Returns the place of a block's link in the index block of a level.
#[inline(always)]
pub fn digit(number: u64, level: u8) -> usize {
    (number >> (FANOUT_SHIFT * u32::from(level)) & (FANOUT - 1)) as usize
}

/// Returns the number of the block that holds an offset.
#[inline(always)]
pub fn number(off: u64) -> u64 {
    off >> BLOCK_SHIFT
}

//! Chunks of a range set: one block each, with a link to the next chunk, a count, and that many (start, end) pairs.

use crate::ByteRange;
use crate::store::arena::{Arena, BLOCK, BlockId};
use crate::store::cell::{Cell32, Cell64};

/// Ranges in one chunk; its first word holds link and count.
pub const CHUNK: usize = (BLOCK / 8 - 1) / 2;

/// A chunk by the number of its block. Reads of a block that is none any more return something, but never fail.
#[derive(Clone, Copy)]
pub struct Chunk<'a> {
    /// Arena of the block.
    pub arena: &'a Arena,
    /// Number of the block.
    pub id: BlockId,
}

impl<'a> Chunk<'a> {
    /// Returns the chunk that a link leads to.
    pub fn linked(arena: &'a Arena, link: u32) -> Option<Self> {
        let id = link.checked_sub(1)?;
        Some(Self { arena, id })
    }

    /// Returns the cell with the link to the next chunk.
    pub fn link(self) -> Option<&'a Cell32> {
        self.arena.entry(self.id, 0)
    }

    /// Returns the link to the next chunk.
    pub fn next(self) -> u32 {
        self.link().map_or(0, Cell32::get)
    }

    /// Returns the number of ranges, at most [`CHUNK`].
    pub fn count(self) -> usize {
        self.arena
            .entry(self.id, 1)
            .map_or(0, |count| count.get() as usize)
            .min(CHUNK)
    }

    /// Replaces the number of ranges. Only for the one writer.
    pub fn set_count(self, count: usize) {
        if let Some(cell) = self.arena.entry(self.id, 1) {
            cell.set(count as u32);
        }
    }

    /// Returns a range; an empty one past the end.
    pub fn get(self, index: usize) -> ByteRange {
        match self.cells(index) {
            [start, end, ..] => ByteRange::new(start.get(), end.get()),
            _ => ByteRange::default(),
        }
    }

    /// Replaces a range. Only for the one writer.
    pub fn set(self, index: usize, range: ByteRange) {
        if let [start, end, ..] = self.cells(index) {
            start.set(range.start);
            end.set(range.end);
        }
    }

    /// Inserts a range before the one at `index`. There must be room.
    pub fn insert(self, index: usize, range: ByteRange) {
        let count = self.count() + 1;
        let Some(cells) = self.cells(index).get(..2 * (count - index)) else {
            return;
        };
        // From the end, so that no pair is overwritten before it has moved.
        for (from, to) in cells.iter().zip(&cells[2..]).rev() {
            to.set(from.get());
        }
        self.set(index, range);
        self.set_count(count);
    }

    /// Removes `gone` ranges, from `index` on.
    pub fn remove(self, index: usize, gone: usize) {
        let count = self.count() - gone;
        let left = self.cells(index + gone).iter().take(2 * (count - index));
        for (from, to) in left.zip(self.cells(index)) {
            to.set(from.get());
        }
        self.set_count(count);
    }

    /// Returns the cells from the range at `index` on: start and end in turns.
    fn cells(self, index: usize) -> &'a [Cell64] {
        self.arena
            .words(self.id)
            .get(1 + 2 * index..)
            .unwrap_or_default()
    }
}

//! Changes of block trees ([`monitor_reader::store::blocks`]), and the allocation of blocks.

mod alloc;
#[cfg(all(test, not(feature = "loom")))]
mod tests;

use super::arena::{Arena, BLOCK, BlockId};
use super::cell::Cell32;
use super::record::{NONE, SideRecord};
use super::{Release, fence};
pub use alloc::BlockAllocator;
use monitor_reader::store::blocks::{DIRECT, FANOUT, MAX_HEIGHT, digit};
pub use monitor_reader::store::blocks::{Roots, number};

/// Returns the number of blocks that a tree of a height can hold at once. From two levels on, one sub-tree must stay free:
/// the newest block must not be in the same one as the oldest, which is freed as a whole.
fn capacity(height: u8) -> u64 {
    match height {
        0 => DIRECT,
        1 => FANOUT,
        _ => FANOUT.pow(u32::from(height)) - FANOUT.pow(u32::from(height) - 1),
    }
}

/// Error of an allocation: no block is free.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Full;

/// Prefetches the memory where a side's bytes `off..off + len` will be stored, at most two blocks of it. Stores to memory
/// that is in no cache delay everything after them.
///
/// A block that isn't allocated yet will be the one that leaves the window then: the allocator is last in, first out.
#[inline(always)]
pub fn prefetch_destination(
    arena: &Arena,
    side: SideRecord<'_>,
    off: u64,
    len: usize,
    window: u64,
) {
    let roots = Roots::of(side);
    let prefetch = |off: u64, len: usize| {
        let allocated = roots.find(arena, number(off));
        if let Some(id) = allocated.or_else(|| roots.find(arena, number(off.checked_sub(window)?)))
        {
            arena.prefetch_block(id, off as usize % BLOCK, len);
        }
    };
    let here = BLOCK - off as usize % BLOCK;
    prefetch(off, len.min(here));
    if len > here {
        prefetch(off + here as u64, (len - here).min(BLOCK));
    }
}

/// A side's blocks, for the writer.
pub struct Blocks<'a> {
    pub arena: &'a Arena,
    pub allocator: &'a mut BlockAllocator,
    pub side: SideRecord<'a>,
}

impl Blocks<'_> {
    /// Returns whether the tree must be rebuilt ([`Blocks::grow`]) to hold blocks up to `last` while `first` is retained.
    #[inline(always)]
    pub fn must_grow(&self, first: u64, last: u64) -> bool {
        last - first >= capacity(self.side.height())
    }

    /// Rebuilds the tree so that blocks `first..=last` fit. Inside [`Record::update`](super::record::Record::update):
    /// readers notice by the epoch.
    ///
    /// # Errors
    /// [`Full`] if index blocks are missing; nothing has changed then.
    pub fn grow(&mut self, first: u64, last: u64) -> Result<(), Full> {
        let mut height = self.side.height();
        while last - first >= capacity(height) {
            height += 1;
        }
        let old = Roots::of(self.side);
        let old_last = first + capacity(old.height) - 1;
        // Everything that the new tree needs must be free before the old one is changed.
        let needed = self.nodes_needed(height, first, old_last);
        if self.allocator.available() < needed {
            return Err(Full);
        }
        self.side
            .cold
            .epoch
            .set(self.side.cold.epoch.get().wrapping_add(1));
        fence(Release);
        for root in &self.side.stored.roots {
            root.set(NONE);
        }
        self.side.set_height(height);
        for number in first..=old_last {
            if let Some(id) = old.find(self.arena, number) {
                self.link(number, id)?;
            }
        }
        self.free_nodes(old.links[0], old.height);
        Ok(())
    }

    /// Returns the number of index blocks of a tree with the blocks `first..=last`.
    fn nodes_needed(&self, height: u8, first: u64, last: u64) -> u64 {
        let mut nodes = 0;
        for level in 1..=u32::from(height) {
            nodes += last / FANOUT.pow(level) - first / FANOUT.pow(level) + 1;
        }
        nodes
    }

    /// Frees the index blocks of a tree after its data blocks were linked from elsewhere.
    fn free_nodes(&mut self, link: u32, height: u8) {
        let Some(id) = link.checked_sub(1) else {
            return;
        };
        if height == 0 {
            return;
        }
        if height > 1 {
            for index in 0..FANOUT as usize {
                let below = self.arena.entry(id, index).map_or(NONE, Cell32::get);
                self.free_nodes(below, height - 1);
            }
        }
        self.allocator.free(id);
    }

    /// Returns the block with a number, allocating it if needed. The tree must be high enough.
    ///
    /// # Errors
    /// [`Full`] if no block is free.
    #[inline(always)]
    pub fn ensure(&mut self, number: u64) -> Result<BlockId, Full> {
        if let Some(id) = Roots::of(self.side).find(self.arena, number) {
            return Ok(id);
        }
        let id = self.allocator.alloc().ok_or(Full)?;
        self.link(number, id)
            .inspect_err(|_| self.allocator.free(id))?;
        Ok(id)
    }

    fn link(&mut self, number: u64, id: BlockId) -> Result<(), Full> {
        let height = self.side.height();
        let mut cell = &self.side.stored.roots[if height == 0 {
            (number % DIRECT) as usize
        } else {
            0
        }];
        for level in (0..height).rev() {
            let node = match cell.get().checked_sub(1) {
                Some(node) => node,
                None => {
                    let node = self.allocator.alloc().ok_or(Full)?;
                    self.arena.zero(node);
                    cell.set(node + 1);
                    node
                }
            };
            cell = self.arena.entry(node, digit(number, level)).ok_or(Full)?;
        }
        cell.set(id + 1);
        Ok(())
    }

    /// Frees the blocks `from..to`, which the record no longer shows (`base` was raised past them, with a release fence).
    /// Numbers must be freed in order.
    #[inline(always)]
    pub fn release(&mut self, from: u64, to: u64) {
        let mut number = from;
        while number < to {
            number += release_one(self.arena, self.allocator, self.side, number);
        }
    }

    /// Frees the blocks `from..to`, above those that stay. The index blocks stay with the tree.
    pub fn release_above(&mut self, from: u64, to: u64) {
        let mut number = from;
        while number < to {
            let mut cell = &self.side.stored.roots[0];
            let height = self.side.height();
            if height == 0 {
                cell = &self.side.stored.roots[(number % DIRECT) as usize];
            }
            let mut span = 1;
            for level in (0..height).rev() {
                let below = cell
                    .get()
                    .checked_sub(1)
                    .and_then(|node| self.arena.entry(node, digit(number, level)));
                let Some(below) = below else {
                    let width = FANOUT.pow(u32::from(level) + 1);
                    span = width - number % width;
                    break;
                };
                cell = below;
            }
            if span == 1
                && let Some(id) = cell.get().checked_sub(1)
            {
                cell.set(NONE);
                self.allocator.free(id);
            }
            number += span;
        }
    }

    /// Frees the blocks `from..to` and the tree.
    pub fn release_all(&mut self, from: u64, to: u64) {
        self.release(from, to);
        let height = self.side.height();
        if height > 0 {
            self.free_nodes(self.side.stored.roots[0].get(), height);
        }
        for root in &self.side.stored.roots {
            root.set(NONE);
        }
        self.side.set_height(0);
    }
}

/// Frees one block. Returns the count of numbers done: more than one where a whole index block is missing.
fn release_one(
    arena: &Arena,
    allocator: &mut BlockAllocator,
    side: SideRecord<'_>,
    number: u64,
) -> u64 {
    let height = side.height();
    if height == 0 {
        let root = &side.stored.roots[(number % DIRECT) as usize];
        if let Some(id) = root.get().checked_sub(1) {
            root.set(NONE);
            allocator.free(id);
        }
        return 1;
    }
    let mut cell = &side.stored.roots[0];
    // Links on the way down, topmost first.
    let mut path = [cell; MAX_HEIGHT as usize];
    for level in (0..height).rev() {
        path[usize::from(height - 1 - level)] = cell;
        let below = cell
            .get()
            .checked_sub(1)
            .and_then(|node| arena.entry(node, digit(number, level)));
        let Some(below) = below else {
            let span = FANOUT.pow(u32::from(level) + 1);
            return span - number % span;
        };
        cell = below;
    }
    if let Some(id) = cell.get().checked_sub(1) {
        cell.set(NONE);
        allocator.free(id);
    }
    // Free the index blocks that are empty now. The root stays.
    for level in 1..height {
        if !(number + 1).is_multiple_of(FANOUT.pow(u32::from(level))) {
            break;
        }
        let link = path[usize::from(height - level)];
        if let Some(node) = link.get().checked_sub(1) {
            link.set(NONE);
            allocator.free(node);
        }
    }
    1
}

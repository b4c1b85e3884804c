//! Where the bytes lie: blocks of the arena, found by stream offset.
//!
//! A side's blocks are numbered by offset / BLOCK. Up to four hang on the side's record; more hang on index blocks,
//! a radix tree of fan-out [`FANOUT`] whose height grows with the span of retained blocks. Block numbers are taken
//! modulo the tree's capacity, so a sliding window goes round in a tree of constant size.

use super::arena::{Arena, BLOCK, BLOCK_SHIFT, BlockId};
use super::cell::Cell32;
use super::record::{NONE, SideRecord};

/// Entries of an index block.
const FANOUT: u64 = 1 << FANOUT_SHIFT;
/// Four bytes an entry.
const FANOUT_SHIFT: u32 = BLOCK_SHIFT - 2;
/// Blocks that hang directly on a record.
const DIRECT: u64 = 4;
/// Enough for any 64-bit offset window that memory can hold.
const MAX_HEIGHT: u8 = 5;

/// The blocks that nobody uses. Last in, first out: a block used again is still warm in the cache.
#[derive(Debug)]
pub struct BlockAllocator {
    free: Vec<BlockId>,
    /// Blocks from here on were never used.
    untouched: BlockId,
    total: BlockId,
}

impl BlockAllocator {
    /// All of `total` blocks are free.
    pub fn new(total: BlockId) -> Self {
        Self {
            free: Vec::with_capacity(total as usize),
            untouched: 0,
            total,
        }
    }

    /// Blocks in use.
    pub fn used(&self) -> u64 {
        u64::from(self.untouched) - self.free.len() as u64
    }

    /// Blocks left.
    pub fn available(&self) -> u64 {
        u64::from(self.total) - self.used()
    }

    /// A block with arbitrary contents, if there is one.
    #[inline]
    pub fn alloc(&mut self) -> Option<BlockId> {
        self.free.pop().or_else(|| {
            let id = self.untouched;
            (id < self.total).then(|| self.untouched += 1).map(|()| id)
        })
    }

    /// Takes a block back.
    #[inline]
    pub fn free(&mut self, id: BlockId) {
        debug_assert!(id < self.untouched);
        self.free.push(id);
    }
}

/// A copy of where a side's tree starts.
#[derive(Clone, Copy, Debug)]
pub struct Roots {
    links: [u32; DIRECT as usize],
    height: u8,
}

impl Roots {
    /// As the record says now.
    #[inline(always)]
    pub fn of(side: &SideRecord) -> Self {
        Self {
            links: [0, 1, 2, 3].map(|i| side.roots[i].get()),
            height: side.height.get(),
        }
    }

    /// The block with this number. On a torn copy: any block, or none.
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

#[inline(always)]
fn digit(number: u64, level: u8) -> usize {
    (number >> (FANOUT_SHIFT * u32::from(level)) & (FANOUT - 1)) as usize
}

/// The number of the block that holds this offset.
#[inline(always)]
pub fn number(off: u64) -> u64 {
    off >> BLOCK_SHIFT
}

/// Blocks that a tree of this height can hold at once. From two levels on, one sub-tree must stay free: the newest
/// block may not fall into the same one as the oldest, which goes as a whole.
fn capacity(height: u8) -> u64 {
    match height {
        0 => DIRECT,
        1 => FANOUT,
        _ => FANOUT.pow(u32::from(height)) - FANOUT.pow(u32::from(height) - 1),
    }
}

/// Memory ran out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Full;

/// Tells the processor where a side's bytes `off..off + len` will be stored, the first of them at least: stores to memory
/// that is in no cache hold up all that comes after them.
///
/// A block that is not there yet will be the one that falls out of the window then: last in, first out.
#[inline(always)]
pub fn prefetch_destination(arena: &Arena, side: &SideRecord, off: u64, len: usize, window: u64) {
    let roots = Roots::of(side);
    let fetch = |off: u64, len: usize| {
        let there = roots.find(arena, number(off));
        if let Some(id) = there.or_else(|| roots.find(arena, number(off.checked_sub(window)?))) {
            arena.prefetch_block(id, off as usize % BLOCK, len);
        }
    };
    let here = BLOCK - off as usize % BLOCK;
    fetch(off, len.min(here));
    if len > here {
        fetch(off + here as u64, (len - here).min(BLOCK));
    }
}

/// A side's blocks, for the writer.
pub struct Blocks<'a> {
    /// The arena.
    pub arena: &'a Arena,
    /// Free blocks.
    pub pool: &'a mut BlockAllocator,
    /// Whose blocks.
    pub side: &'a SideRecord,
}

impl Blocks<'_> {
    /// Whether the tree must be laid out anew (inside a write, see [`Blocks::grow`]) to hold blocks up to `last`
    /// while `first` is kept.
    #[inline(always)]
    pub fn must_grow(&self, first: u64, last: u64) -> bool {
        last - first >= capacity(self.side.height.get())
    }

    /// Lays the tree out anew so that blocks `first..=last` fit. Inside [`super::record::Record::update`]: readers
    /// find out by the epoch.
    pub fn grow(&mut self, first: u64, last: u64) -> Result<(), Full> {
        let mut height = self.side.height.get();
        while last - first >= capacity(height) {
            height += 1;
        }
        let old = Roots::of(self.side);
        let old_last = first + capacity(old.height) - 1;
        // Everything that the new tree needs is taken before the old one is touched.
        let needed = self.nodes_needed(height, first, old_last);
        if self.pool.available() < needed {
            return Err(Full);
        }
        self.side.epoch.set(self.side.epoch.get().wrapping_add(1));
        super::sync::fence(super::sync::Release);
        for root in &self.side.roots {
            root.set(NONE);
        }
        self.side.height.set(height);
        for number in first..=old_last {
            if let Some(id) = old.find(self.arena, number) {
                self.link(number, id)?;
            }
        }
        self.free_nodes(old.links[0], old.height);
        Ok(())
    }

    fn nodes_needed(&self, height: u8, first: u64, last: u64) -> u64 {
        let mut nodes = 0;
        for level in 1..=u32::from(height) {
            nodes += last / FANOUT.pow(level) - first / FANOUT.pow(level) + 1;
        }
        nodes
    }

    /// Gives back the index blocks of a tree whose data blocks hang elsewhere now.
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
        self.pool.free(id);
    }

    /// The block with this number, made if need be. The tree must be high enough.
    #[inline(always)]
    pub fn ensure(&mut self, number: u64) -> Result<BlockId, Full> {
        if let Some(id) = Roots::of(self.side).find(self.arena, number) {
            return Ok(id);
        }
        let id = self.pool.alloc().ok_or(Full)?;
        self.link(number, id).inspect_err(|_| self.pool.free(id))?;
        Ok(id)
    }

    fn link(&mut self, number: u64, id: BlockId) -> Result<(), Full> {
        let height = self.side.height.get();
        let mut cell = &self.side.roots[if height == 0 {
            (number % DIRECT) as usize
        } else {
            0
        }];
        for level in (0..height).rev() {
            let node = match cell.get().checked_sub(1) {
                Some(node) => node,
                None => {
                    let node = self.pool.alloc().ok_or(Full)?;
                    clear(self.arena, node);
                    cell.set(node + 1);
                    node
                }
            };
            cell = self.arena.entry(node, digit(number, level)).ok_or(Full)?;
        }
        cell.set(id + 1);
        Ok(())
    }

    /// Gives back the blocks `from..to`, which the record no longer shows (`base` was raised past them, with a
    /// release fence). Numbers must be given back in order.
    #[inline(always)]
    pub fn release(&mut self, from: u64, to: u64) {
        let mut number = from;
        while number < to {
            number += release_one(self.arena, self.pool, self.side, number);
        }
    }

    /// Gives everything back: the blocks `from..to` and the tree.
    pub fn release_all(&mut self, from: u64, to: u64) {
        self.release(from, to);
        let height = self.side.height.get();
        if height > 0 {
            self.free_nodes(self.side.roots[0].get(), height);
        }
        for root in &self.side.roots {
            root.set(NONE);
        }
        self.side.height.set(0);
    }
}

/// Gives one block back. Returns how many numbers are done: more than one where a whole index block is missing.
fn release_one(arena: &Arena, pool: &mut BlockAllocator, side: &SideRecord, number: u64) -> u64 {
    let height = side.height.get();
    if height == 0 {
        let root = &side.roots[(number % DIRECT) as usize];
        if let Some(id) = root.get().checked_sub(1) {
            root.set(NONE);
            pool.free(id);
        }
        return 1;
    }
    let mut cell = &side.roots[0];
    // The links passed on the way down, topmost first.
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
        pool.free(id);
    }
    // Index blocks whose last number this was go too; the root stays.
    for level in 1..height {
        if !(number + 1).is_multiple_of(FANOUT.pow(u32::from(level))) {
            break;
        }
        let link = path[usize::from(height - level)];
        if let Some(node) = link.get().checked_sub(1) {
            link.set(NONE);
            pool.free(node);
        }
    }
    1
}

fn clear(arena: &Arena, id: BlockId) {
    arena.words(id).iter().for_each(|word| word.set(0));
}

#[cfg(test)]
#[cfg(not(feature = "loom"))]
mod tests {
    use super::*;

    fn check(window: u64, steps: impl Iterator<Item = u64>) {
        let arena = Arena::reserve(1, 100_000).unwrap();
        let mut pool = BlockAllocator::new(100_000);
        let record = arena.record(0).unwrap();
        let side = &record.sides[0];
        let mut model = std::collections::BTreeMap::new();
        let mut first = 0;
        for last in steps {
            let mut blocks = Blocks {
                arena: &arena,
                pool: &mut pool,
                side,
            };
            let keep = last.saturating_sub(window - 1).max(first);
            let old = model.keys().next_back().map_or(first, |l| l + 1);
            blocks.release(first, keep.min(old.max(first)));
            first = keep;
            model = model.split_off(&first);
            if blocks.must_grow(first, last) {
                blocks.grow(first, last).unwrap();
            }
            model.insert(last, blocks.ensure(last).unwrap());
            for (&number, &id) in &model {
                assert_eq!(
                    Roots::of(side).find(&arena, number),
                    Some(id),
                    "block {number}"
                );
            }
            let distinct: std::collections::BTreeSet<_> = model.values().collect();
            assert_eq!(distinct.len(), model.len());
        }
        let end = model.keys().next_back().map_or(first, |l| l + 1);
        Blocks {
            arena: &arena,
            pool: &mut pool,
            side,
        }
        .release_all(first, end);
        assert_eq!(pool.used(), 0, "every block came back");
    }

    #[test]
    fn window_of_direct_blocks_slides() {
        check(4, 0..50);
    }

    #[test]
    fn window_of_one_index_slides() {
        check(FANOUT, 0..1500);
    }

    #[test]
    fn window_of_two_levels_slides_over_the_wrap() {
        check(
            700,
            (0..3000).chain(FANOUT * FANOUT - 900..FANOUT * FANOUT + 900),
        );
    }

    #[test]
    fn holes_between_blocks_are_skipped() {
        check(FANOUT * 40, (0..400).map(|i| i * 97));
    }

    #[test]
    fn a_full_pool_is_an_error_and_loses_nothing() {
        let arena = Arena::reserve(1, 6).unwrap();
        let mut pool = BlockAllocator::new(6);
        let side = &arena.record(0).unwrap().sides[0];
        let mut blocks = Blocks {
            arena: &arena,
            pool: &mut pool,
            side,
        };
        for number in 0..4 {
            blocks.ensure(number).unwrap();
        }
        blocks.grow(0, 4).unwrap();
        blocks.ensure(4).unwrap();
        assert_eq!(blocks.ensure(5), Err(Full));
        assert_eq!(blocks.pool.used(), 6);
        blocks.release_all(0, 5);
        assert_eq!(pool.used(), 0);
    }
}

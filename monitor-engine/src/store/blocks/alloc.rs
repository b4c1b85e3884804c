//! Allocation of block numbers.

use crate::store::arena::BlockId;

/// Numbers of the free blocks. Last in, first out: a block that is reused is still warm in the cache.
#[derive(Debug)]
pub struct BlockAllocator {
    free: Vec<BlockId>,
    /// Blocks from here on were never used.
    untouched: BlockId,
    total: BlockId,
}

impl BlockAllocator {
    /// Creates an allocator with `total` free blocks.
    pub fn new(total: BlockId) -> Self {
        Self {
            free: Vec::with_capacity(total as usize),
            untouched: 0,
            total,
        }
    }

    /// Returns the number of allocated blocks.
    pub fn used(&self) -> u64 {
        u64::from(self.untouched) - self.free.len() as u64
    }

    /// Returns the number below which blocks were used before.
    #[inline]
    pub fn untouched(&self) -> BlockId {
        self.untouched
    }

    /// Returns the number of free blocks.
    pub fn available(&self) -> u64 {
        u64::from(self.total) - self.used()
    }

    /// Allocates a block with arbitrary contents, if one is free.
    #[inline]
    pub fn alloc(&mut self) -> Option<BlockId> {
        self.free.pop().or_else(|| {
            let id = self.untouched;
            (id < self.total).then(|| self.untouched += 1).map(|()| id)
        })
    }

    /// Frees a block.
    #[inline]
    pub fn free(&mut self, id: BlockId) {
        debug_assert!(id < self.untouched);
        self.free.push(id);
    }
}

//! Allocation of chunks: blocks cut into chunks, freed when their last chunk is.
//!
//! The first chunk of each block is its header. Blocks with a freed chunk are a doubly linked list; the freed chunks of a
//! block are a list of its own. All links are in the blocks, so the allocator takes no memory beside them.

use monitor_reader::store::marks::chunk::{CHUNKS, Chunk};

use crate::store::arena::{Arena, BlockId};
use crate::store::blocks::BlockAllocator;
use crate::store::record::NONE;

/// Number of blocks that links can reach.
const MOST_BLOCKS: u32 = u32::MAX / CHUNKS;

/// Blocks that are cut into chunks.
#[derive(Debug, Default)]
pub struct ChunkAllocator {
    /// First block with a freed chunk, plus one.
    first: u32,
    /// Next chunk of the block that was cut last, and past its last one: chunks that were never used. They count as used in
    /// the block's header.
    fresh: u32,
    fresh_end: u32,
}

/// Header of a block.
#[derive(Clone, Copy)]
struct Header<'a>(Chunk<'a>);

impl<'a> Header<'a> {
    fn of(arena: &'a Arena, block: BlockId) -> Option<Self> {
        Chunk::header(arena, block).map(Self)
    }

    fn pair(self, word: usize) -> (u32, u32) {
        let value = self.0.word(word).get();
        (value as u32, (value >> 32) as u32)
    }

    fn set_pair(self, word: usize, (low, high): (u32, u32)) {
        self.0
            .word(word)
            .set(u64::from(low) | u64::from(high) << 32);
    }

    /// Returns the links to the blocks before and after it in the list.
    fn links(self) -> (u32, u32) {
        self.pair(0)
    }

    fn set_links(self, links: (u32, u32)) {
        self.set_pair(0, links);
    }

    /// Returns the number of chunks in use, with those that were never used.
    fn used(self) -> u64 {
        self.0.word(1).get()
    }

    fn set_used(self, used: u64) {
        self.0.word(1).set(used);
    }

    /// Returns the link to the chunk that was freed last. The block is in the list while there is one.
    fn freed(self) -> u32 {
        self.pair(2).0
    }

    fn set_freed(self, link: u32) {
        self.set_pair(2, (link, 0));
    }
}

impl ChunkAllocator {
    /// Allocates a chunk with arbitrary contents, and a block for it if necessary. Returns its link.
    #[inline(always)]
    pub fn alloc(&mut self, arena: &Arena, blocks: &mut BlockAllocator) -> Option<u32> {
        if self.first != NONE {
            return self.reuse(arena);
        }
        if self.fresh == self.fresh_end {
            self.cut(arena, blocks)?;
        }
        self.fresh += 1;
        Some(self.fresh - 1)
    }

    /// Allocates a chunk that was freed before.
    fn reuse(&mut self, arena: &Arena) -> Option<u32> {
        let block = self.first.checked_sub(1)?;
        let header = Header::of(arena, block)?;
        let link = header.freed();
        header.set_freed(Chunk::linked(arena, link)?.next());
        header.set_used(header.used() + 1);
        if header.freed() == NONE {
            self.unlink(arena, block, header);
        }
        Some(link)
    }

    /// Frees a chunk, and its block with the last one.
    pub fn free(&mut self, arena: &Arena, blocks: &mut BlockAllocator, link: u32) {
        let block = link / CHUNKS;
        let (Some(header), Some(chunk)) = (Header::of(arena, block), Chunk::linked(arena, link))
        else {
            return;
        };
        if header.freed() == NONE {
            self.link(arena, block, header);
        }
        chunk.set_place(header.freed(), 0);
        header.set_freed(link);
        header.set_used(header.used() - 1);
        let is_latest = self.fresh < self.fresh_end && self.fresh / CHUNKS == block;
        let fresh = if is_latest {
            self.fresh_end - self.fresh
        } else {
            0
        };
        if header.used() == u64::from(fresh) {
            self.unlink(arena, block, header);
            if is_latest {
                self.fresh = self.fresh_end;
            }
            blocks.free(block);
        }
    }

    /// Cuts a block into chunks.
    #[cold]
    fn cut(&mut self, arena: &Arena, blocks: &mut BlockAllocator) -> Option<()> {
        let block = blocks.alloc()?;
        let header = Header::of(arena, block).filter(|_| block < MOST_BLOCKS);
        let Some(header) = header else {
            blocks.free(block);
            return None;
        };
        header.set_used(u64::from(CHUNKS) - 1);
        header.set_freed(NONE);
        self.fresh = block * CHUNKS + 1;
        self.fresh_end = (block + 1) * CHUNKS;
        Some(())
    }

    /// Puts a block at the front of the list.
    fn link(&mut self, arena: &Arena, block: BlockId, header: Header<'_>) {
        header.set_links((NONE, self.first));
        if let Some(next) = linked(arena, self.first) {
            next.set_links((block + 1, next.links().1));
        }
        self.first = block + 1;
    }

    fn unlink(&mut self, arena: &Arena, block: BlockId, header: Header<'_>) {
        let (before, after) = header.links();
        match linked(arena, before) {
            Some(previous) => previous.set_links((previous.links().0, after)),
            None if self.first == block + 1 => self.first = after,
            None => return,
        }
        if let Some(next) = linked(arena, after) {
            next.set_links((before, next.links().1));
        }
    }
}

/// Returns the header that a link of the list leads to.
fn linked(arena: &Arena, link: u32) -> Option<Header<'_>> {
    Header::of(arena, link.checked_sub(1)?)
}

//! Allocation of chunks: blocks cut into chunks, freed when their last chunk is.
//!
//! The first chunk of each block is its header. Blocks with a free chunk are a doubly linked list; the chunks that were
//! freed in a block are a list of its own. All links are in the blocks, so the allocator takes no memory beside them.

use super::chunk::{CHUNKS, Chunk};
use crate::store::arena::{Arena, BlockId};
use crate::store::blocks::BlockAllocator;
use crate::store::record::NONE;

/// Highest block whose chunks have a number.
const MOST_BLOCKS: u32 = u32::MAX / CHUNKS;

/// Blocks that are cut into chunks.
#[derive(Debug, Default)]
pub struct ChunkAllocator {
    /// First block with a free chunk, plus one.
    first: u32,
}

/// Header of a block.
#[derive(Clone, Copy)]
struct Header<'a>(Chunk<'a>);

impl<'a> Header<'a> {
    /// Chunks of a block beside its header.
    const USABLE: u32 = CHUNKS - 1;

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

    /// Returns the number of chunks in use, and of those ever used.
    fn counts(self) -> (u32, u32) {
        self.pair(1)
    }

    fn set_counts(self, counts: (u32, u32)) {
        self.set_pair(1, counts);
    }

    /// Returns the link to the chunk that was freed last.
    fn freed(self) -> u32 {
        self.pair(2).0
    }

    fn set_freed(self, link: u32) {
        self.set_pair(2, (link, 0));
    }
}

impl ChunkAllocator {
    /// Allocates a chunk with arbitrary contents, and a block for it if necessary. Returns its link.
    pub fn alloc(&mut self, arena: &Arena, blocks: &mut BlockAllocator) -> Option<u32> {
        let block = match self.first.checked_sub(1) {
            Some(block) => block,
            None => self.add_block(arena, blocks)?,
        };
        let header = Header::of(arena, block)?;
        let (used, touched) = header.counts();
        let (link, touched) = match header.freed() {
            NONE => (block * CHUNKS + touched + 1, touched + 1),
            link => {
                header.set_freed(Chunk::linked(arena, link)?.next());
                (link, touched)
            }
        };
        header.set_counts((used + 1, touched));
        if used + 1 == Header::USABLE {
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
        let (used, touched) = header.counts();
        if used == Header::USABLE {
            self.link(arena, block, header);
        }
        if used == 1 {
            self.unlink(arena, block, header);
            blocks.free(block);
            return;
        }
        chunk.set_place(header.freed(), 0);
        header.set_freed(link);
        header.set_counts((used - 1, touched));
    }

    fn add_block(&mut self, arena: &Arena, blocks: &mut BlockAllocator) -> Option<BlockId> {
        let block = blocks.alloc()?;
        let header = Header::of(arena, block).filter(|_| block <= MOST_BLOCKS);
        let Some(header) = header else {
            blocks.free(block);
            return None;
        };
        header.set_counts((0, 0));
        header.set_freed(NONE);
        self.link(arena, block, header);
        Some(block)
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

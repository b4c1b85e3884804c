//! Chunks of marks: a line of memory each, with a link to the next newer chunk, a number, a count, the time of a RST, and
//! the marks.

use crate::store::arena::{Arena, BLOCK, BlockId};
use crate::store::cell::Cell64;

/// log2 of a chunk's bytes: a cache line. The model checker's blocks are as small.
pub const SHIFT: u32 = if cfg!(feature = "loom") { 5 } else { 6 };
const WORDS: usize = (1 << SHIFT) / 8;
/// Bits of the second word that hold the number of marks. The others are those of [`Chunk::reset_time`].
const COUNT: u64 = 3;
/// Words before the marks.
const HEADER: usize = 2;
/// Marks of a chunk.
pub const PER_CHUNK: usize = (WORDS - HEADER) / 2;
const _: () = assert!(PER_CHUNK as u64 <= COUNT);
/// Chunks in a block. The first holds the allocator's own numbers, so no link is 0.
pub const CHUNKS: u32 = (BLOCK >> SHIFT) as u32;

/// Time at which the in-order edge left an offset.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Mark {
    /// Offset that the edge left.
    pub off: u64,
    /// Nanoseconds since the epoch.
    pub time: u64,
}

/// Chunk by its link. Reads of a chunk that is none any more return something, but never fail.
#[derive(Clone, Copy)]
pub struct Chunk<'a> {
    words: &'a [Cell64; WORDS],
}

impl<'a> Chunk<'a> {
    /// Returns the chunk that a link leads to.
    #[inline(always)]
    pub fn linked(arena: &'a Arena, link: u32) -> Option<Self> {
        let at = (link % CHUNKS) as usize * WORDS;
        if at == 0 {
            return None;
        }
        let words = arena.words(link / CHUNKS).get(at..)?.first_chunk()?;
        Some(Self { words })
    }

    /// Returns the first chunk of a block, which is the allocator's.
    #[inline]
    pub fn header(arena: &'a Arena, block: BlockId) -> Option<Self> {
        let words = arena.words(block).first_chunk()?;
        Some(Self { words })
    }

    /// Returns one of its words.
    #[inline(always)]
    pub fn word(self, index: usize) -> &'a Cell64 {
        &self.words[index % WORDS]
    }

    /// Returns the link to the next newer chunk; of the newest, to the oldest.
    #[inline(always)]
    pub fn next(self) -> u32 {
        self.word(0).get() as u32
    }

    /// Returns its number in the ring, which counts up.
    #[inline(always)]
    pub fn number(self) -> u32 {
        (self.word(0).get() >> 32) as u32
    }

    /// Replaces the link and the number. Only for the one writer.
    #[inline(always)]
    pub fn set_place(self, next: u32, number: u32) {
        self.word(0).set(u64::from(next) | u64::from(number) << 32);
    }

    /// Replaces the link. Only for the one writer.
    #[inline(always)]
    pub fn set_next(self, next: u32) {
        self.set_place(next, self.number());
    }

    /// Returns the number of marks, at most [`PER_CHUNK`].
    #[inline(always)]
    pub fn count(self) -> usize {
        ((self.word(1).get() & COUNT) as usize).min(PER_CHUNK)
    }

    /// Returns the time of the last RST to the side, in nanoseconds since the epoch, rounded down to 4 ns; 0: none. Valid in
    /// the newest chunk.
    #[inline(always)]
    pub fn reset_time(self) -> u64 {
        self.word(1).get() & !COUNT
    }

    /// Replaces the number of marks and the time of the last RST. Only for the one writer.
    #[inline(always)]
    pub fn set_count(self, count: usize, reset_time: u64) {
        self.word(1).set(reset_time & !COUNT | count as u64 & COUNT);
    }

    /// Returns a mark.
    #[inline(always)]
    pub fn get(self, index: usize) -> Mark {
        Mark {
            off: self.word(HEADER + 2 * index).get(),
            time: self.word(HEADER + 2 * index + 1).get(),
        }
    }

    /// Replaces a mark. Only for the one writer.
    #[inline(always)]
    pub fn set(self, index: usize, mark: Mark) {
        self.word(HEADER + 2 * index).set(mark.off);
        self.word(HEADER + 2 * index + 1).set(mark.time);
    }
}

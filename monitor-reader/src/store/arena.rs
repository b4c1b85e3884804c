//! Arena: memory that is reserved once, never moved, and unmapped after the last reader is gone.
#![expect(
    unsafe_code,
    reason = "the arena hands out shared views of arena that it maps itself"
)]

use std::fmt;
use std::io;
use std::os::fd::{AsFd, BorrowedFd};

pub use super::block::{BLOCK, BLOCK_SHIFT, BlockId};
use super::cell::{Cell32, Cell64};
use super::copy;
use super::header::{self, AttachError, HEADER, Identity, Sizes};
use super::memory::Memory;
use super::record::{Cold, Hot, Record};
use crate::path;

/// Bytes in a cache line.
const LINE: usize = 64;

/// Records, tunnels and blocks of one worker, in one mapping behind a [header](super::header).
///
/// Pages that were never used cost nothing: the kernel provides them, zeroed, at first touch. Every access takes a number,
/// checks its bound, and uses relaxed atomics or the racing-copy routines. So any thread may call any reading method at any
/// time. The result may be stale or torn, which the caller finds out by validation, but it is never undefined behaviour.
pub struct Arena {
    memory: Memory,
    sizes: Sizes,
    identity: Identity,
    cold_at: usize,
    blocks_at: usize,
}

impl Arena {
    /// Reserves the memory of a store. `share`: other processes may map it for reading.
    ///
    /// # Errors
    /// The system's error if it refuses the mapping.
    pub fn reserve(sizes: Sizes, identity: Identity, share: bool) -> io::Result<Self> {
        let memory = if share {
            Memory::shared(sizes.bytes())?
        } else {
            Memory::anonymous(sizes.bytes())?
        };
        let arena = Self::new(memory, sizes, identity);
        for (cell, word) in arena.header().iter().zip(header::words(sizes, identity)) {
            cell.set(word);
        }
        Ok(arena)
    }

    /// Maps the store of another process, which is never written to from here.
    ///
    /// # Errors
    /// [`AttachError`].
    pub fn attach(descriptor: impl AsFd) -> Result<Self, AttachError> {
        let memory = Memory::attach(descriptor)?;
        let len = memory.len();
        if len < HEADER {
            return Err(AttachError::Foreign);
        }
        let arena = Self::new(memory, Sizes::default(), Identity::default());
        let mut words = [0; header::WORDS];
        for (word, cell) in words.iter_mut().zip(arena.header()) {
            *word = cell.get();
        }
        let (sizes, identity) = header::parse(words, len)?;
        Ok(Self::new(arena.memory, sizes, identity))
    }

    fn new(memory: Memory, sizes: Sizes, identity: Identity) -> Self {
        Self {
            memory,
            sizes,
            identity,
            cold_at: sizes.cold_at(0),
            blocks_at: sizes.blocks_at(),
        }
    }

    /// Returns the identity of the store.
    pub fn identity(&self) -> Identity {
        self.identity
    }

    /// Returns the descriptor to pass to processes that may attach, if the store is shared.
    pub fn descriptor(&self) -> Option<BorrowedFd<'_>> {
        self.memory.descriptor()
    }

    /// Makes the kernel provide, and zero, every page now instead of at its first use (Linux 5.14, MADV_POPULATE_WRITE).
    ///
    /// # Errors
    /// The system's error, for example on an older kernel.
    pub fn prefault(&self) -> io::Result<()> {
        self.memory.prefault()
    }

    /// Provides huge pages for records and blocks of a shared store: from the numbers `from`, up to which they were
    /// provided before, to `to`.
    pub fn provide(&self, from: (u32, u32), to: (u32, u32)) {
        let (hot, cold) = (
            |slot| self.sizes.hot_at(slot),
            |slot| self.sizes.cold_at(slot),
        );
        let block = |id: u32| self.blocks_at + id as usize * BLOCK;
        // Without huge pages the first use gets small ones.
        let _ = self.memory.provide(hot(from.0), hot(to.0));
        let _ = self.memory.provide(cold(from.0), cold(to.0));
        let _ = self.memory.provide(block(from.1), block(to.1));
    }

    fn header(&self) -> &[Cell64] {
        // SAFETY: the mapping is a page long at least and aligned; a Cell64 is an atomic for which every bit pattern is
        // valid.
        unsafe { std::slice::from_raw_parts(self.memory.start().cast::<Cell64>(), header::WORDS) }
    }

    /// Returns an entry of the table of tunnels; `None` past the last one.
    pub fn tunnel(&self, number: u32) -> Option<&[Cell64; path::WORDS]> {
        if number >= self.sizes.tunnels {
            return None;
        }
        let at = self.sizes.tunnels_at() + number as usize * size_of::<[Cell64; path::WORDS]>();
        // SAFETY: `at` lies inside the mapping (number < tunnels), at a multiple of 8: header, records and entries have
        // such sizes. As in `record`, every bit pattern is valid.
        Some(unsafe { &*self.memory.start().add(at).cast() })
    }

    /// Returns the number of records.
    pub fn records(&self) -> u32 {
        self.sizes.records
    }

    /// Returns the number of blocks.
    pub fn blocks(&self) -> u32 {
        self.sizes.blocks
    }

    /// Returns a record; `None` past the last one.
    #[inline(always)]
    pub fn record(&self, slot: u32) -> Option<Record<'_>> {
        if slot >= self.sizes.records {
            return None;
        }
        let at = |offset: usize| self.memory.start().wrapping_add(offset);
        let hot = at(self.sizes.hot_at(slot)).cast::<Hot>();
        let cold = at(self.cold_at + slot as usize * size_of::<Cold>()).cast::<Cold>();
        // SAFETY: both lie inside the mapping (slot < records, for which both arrays have room behind the header), which
        // lives as long as `self`. It is page-aligned, the arrays start at multiples of their parts' alignment, and the
        // parts' sizes are such multiples. Both consist of atomics, for which every bit pattern, also the zeroes of a
        // fresh page, is valid, and which may be shared between threads. Unique references into the mapping are never
        // created.
        Some(unsafe {
            Record {
                hot: &*hot,
                cold: &*cold,
            }
        })
    }

    /// Returns the hot part of a record; `None` past the last one.
    #[inline(always)]
    pub fn hot(&self, slot: u32) -> Option<&Hot> {
        self.record(slot).map(|record| record.hot)
    }

    /// Prefetches the lines of a record that a packet uses; `with_data`: also those for its payload.
    #[inline(always)]
    pub fn prefetch_record(&self, slot: u32, with_data: bool) {
        if let Some(record) = self.record(slot) {
            let at = std::ptr::from_ref(record.hot).cast::<u8>();
            prefetch(at);
            prefetch(at.wrapping_add(LINE));
            if with_data {
                prefetch(at.wrapping_add(2 * LINE));
            }
        }
    }

    /// Prefetches all lines of a record.
    #[inline(always)]
    pub fn prefetch_whole_record(&self, slot: u32) {
        self.prefetch_record(slot, true);
        self.prefetch_cold(slot);
    }

    /// Prefetches the seldom used lines of a record.
    #[inline(always)]
    pub fn prefetch_cold(&self, slot: u32) {
        if let Some(record) = self.record(slot) {
            prefetch_lines(std::ptr::from_ref(record.cold).cast(), size_of::<Cold>());
        }
    }

    /// Prefetches `len` bytes of a block from `at` on.
    #[inline(always)]
    pub fn prefetch_block(&self, id: BlockId, at: usize, len: usize) {
        if let Some(first) = self.block(id, at, len) {
            prefetch_lines(first, len);
        }
    }

    #[inline(always)]
    fn block(&self, id: BlockId, at: usize, len: usize) -> Option<*mut u8> {
        let inside = id < self.sizes.blocks && at <= BLOCK && len <= BLOCK - at;
        // wrapping_add stays inside the mapping: id, at and len were just checked.
        inside.then(|| {
            self.memory
                .start()
                .wrapping_add(self.blocks_at + id as usize * BLOCK + at)
        })
    }

    /// Copies `from` into a block at `at`. Only for the one writer. Does nothing past a block's end.
    #[inline(always)]
    pub fn write(&self, id: BlockId, at: usize, from: &[u8]) {
        if let Some(to) = self.block(id, at, from.len()) {
            // SAFETY: `to` is valid for from.len() bytes (checked by `block`); readers that look at the same bytes
            // at the same time use `copy::load`, so the race is between atomic accesses.
            unsafe { copy::store(to, from) };
        }
    }

    /// Fills a block with zeroes. Only for the one writer.
    pub fn zero(&self, id: BlockId) {
        self.write(id, 0, &[0; BLOCK]);
    }

    /// Copies from a block at `at` into `to`. Returns false past the last block or a block's end.
    #[inline(always)]
    pub fn read(&self, id: BlockId, at: usize, to: &mut [u8]) -> bool {
        let Some(from) = self.block(id, at, to.len()) else {
            return false;
        };
        // SAFETY: `from` is valid for to.len() bytes (checked by `block`); the writer uses `copy::store`.
        unsafe { copy::load(from, to) };
        true
    }

    /// Returns all 64-bit words of a block; none past the last block.
    #[inline(always)]
    pub fn words(&self, id: BlockId) -> &[Cell64] {
        let Some(at) = self.block(id, 0, BLOCK) else {
            return &[];
        };
        // SAFETY: `at` is valid for BLOCK bytes and 8-byte aligned, as all blocks are; a Cell64 is an atomic for which every
        // bit pattern is valid.
        unsafe { std::slice::from_raw_parts(at.cast::<Cell64>(), BLOCK / 8) }
    }

    /// Returns the 32-bit entry of a block with an index; `None` past the end.
    #[inline(always)]
    pub fn entry(&self, id: BlockId, index: usize) -> Option<&Cell32> {
        let at = self.block(id, index.checked_mul(4)?, 4)?;
        // SAFETY: as in `words`, for 4 bytes at a multiple of 4.
        Some(unsafe { &*at.cast::<Cell32>() })
    }
}

impl fmt::Debug for Arena {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Arena")
            .field("sizes", &self.sizes)
            .field("identity", &self.identity)
            .finish_non_exhaustive()
    }
}

/// Prefetches the cache line of an address. Any address is allowed: it is never read.
#[inline(always)]
pub fn prefetch<T>(at: *const T) {
    #[cfg(target_arch = "x86_64")]
    // SAFETY: a prefetch is a hint: it reads nothing and faults on nothing. SSE is part of x86_64.
    unsafe {
        std::arch::x86_64::_mm_prefetch::<{ std::arch::x86_64::_MM_HINT_T0 }>(at.cast());
    }
    #[cfg(not(target_arch = "x86_64"))]
    let _ = at;
}

/// Prefetches bytes, at most the first block's worth.
#[inline(always)]
pub fn prefetch_bytes(bytes: &[u8]) {
    prefetch_lines(bytes.as_ptr(), bytes.len().min(BLOCK));
}

#[inline(always)]
fn prefetch_lines(first: *const u8, len: usize) {
    for line in 0..(first as usize % LINE + len).div_ceil(LINE) {
        prefetch(first.wrapping_add(line * LINE));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SIZES: Sizes = Sizes {
        records: 3,
        blocks: 2,
        tunnels: 1,
    };

    #[test]
    fn accesses_past_the_end_do_nothing() {
        let arena = Arena::reserve(SIZES, Identity::default(), false).unwrap();
        assert!(arena.record(2).is_some());
        assert!(arena.record(3).is_none());
        arena.write(1, BLOCK - 3, b"abc");
        arena.write(1, BLOCK - 2, b"xyz");
        let mut three = [0; 3];
        assert!(arena.read(1, BLOCK - 3, &mut three));
        assert_eq!(
            &three, b"abc",
            "a write past the end of a block does nothing"
        );
        assert!(!arena.read(1, BLOCK - 2, &mut three));
        assert!(!arena.read(2, 0, &mut three));
        assert_eq!(arena.words(0).len(), BLOCK / 8);
        assert!(arena.words(2).is_empty());
        assert!(arena.entry(0, BLOCK / 4 - 1).is_some());
    }
}

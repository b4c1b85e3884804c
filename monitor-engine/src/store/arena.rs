//! Arena: memory that is reserved once, never moved, and unmapped after the last reader is gone.
#![expect(
    unsafe_code,
    reason = "the arena hands out shared views of arena that it maps itself"
)]

use std::io;

use memmap2::{Advice, MmapOptions, MmapRaw};

use super::cell::{Cell32, Cell64};
use super::copy;
use super::record::Record;

/// Bytes in a block, the unit in which stream bytes are stored. A power of two.
pub const BLOCK: usize = 1 << BLOCK_SHIFT;
/// log2 of [`BLOCK`]. With 2 KiB a request of a few hundred bytes wastes little, a bulk segment is copied in one or two
/// pieces, and one block of 32-bit entries indexes 1 MiB.
pub const BLOCK_SHIFT: u32 = 11;

/// Bytes in a cache line.
const LINE: usize = 64;

/// Number of a block. The arena checks each: an out-of-range number reads as nothing.
pub type BlockId = u32;

/// Records and blocks of one worker, in one anonymous mapping.
///
/// Pages that were never used cost nothing: the kernel provides them, zeroed, at first touch. Every access takes a number,
/// checks its bound, and uses relaxed atomics or the racing-copy routines. So any thread may call any reading method at any
/// time. The result may be stale or torn, which the caller finds out by validation, but it is never undefined behaviour.
pub struct Arena {
    map: MmapRaw,
    records: u32,
    blocks: u32,
    blocks_at: usize,
}

impl Arena {
    /// Reserves address space for records and blocks.
    ///
    /// # Errors
    /// The system's error if it refuses the mapping.
    pub fn reserve(records: u32, blocks: u32) -> io::Result<Self> {
        const PAGE: usize = 4096;
        let blocks_at = (records as usize * size_of::<Record>()).next_multiple_of(PAGE);
        let len = blocks_at + blocks as usize * BLOCK;
        let map = MmapOptions::new()
            .len(len.max(PAGE))
            .no_reserve_swap()
            .map_anon()?;
        let map = MmapRaw::from(map);
        // A hint: huge pages mean fewer TLB misses and page faults. Refused where there are none.
        let _ = map.advise(Advice::HugePage);
        Ok(Self {
            map,
            records,
            blocks,
            blocks_at,
        })
    }

    /// Makes the kernel provide, and zero, every page now instead of at its first use (Linux 5.14, MADV_POPULATE_WRITE).
    ///
    /// # Errors
    /// The system's error, for example on an older kernel.
    pub fn prefault(&self) -> io::Result<()> {
        self.map.advise(Advice::PopulateWrite)
    }

    /// Returns the number of records.
    pub fn records(&self) -> u32 {
        self.records
    }

    /// Returns a record; `None` past the last one.
    #[inline(always)]
    pub fn record(&self, slot: u32) -> Option<&Record> {
        if slot >= self.records {
            return None;
        }
        let at = slot as usize * size_of::<Record>();
        // SAFETY: `at` lies inside the mapping (slot < records, and the records come first), which lives as long
        // as `self` and is page-aligned, so the record is aligned. A `Record` consists of atomics, for which every bit
        // pattern, also the zeroes of a fresh page, is valid, and which may be shared between threads. Unique references
        // into the mapping are never created.
        Some(unsafe { &*self.map.as_ptr().add(at).cast::<Record>() })
    }

    /// Prefetches a record.
    #[inline(always)]
    pub fn prefetch_record(&self, slot: u32) {
        if let Some(record) = self.record(slot) {
            let at = std::ptr::from_ref(record).cast::<u8>();
            for line in 0..size_of::<Record>().div_ceil(LINE) {
                prefetch(at.wrapping_add(line * LINE));
            }
            // Records do not start at a cache line: they may end in one more.
            prefetch(at.wrapping_add(size_of::<Record>() - 1));
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
        let inside = id < self.blocks && at <= BLOCK && len <= BLOCK - at;
        // wrapping_add stays inside the mapping: id, at and len were just checked.
        inside.then(|| {
            self.map
                .as_mut_ptr()
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

// SAFETY: the mapping is plain memory that stays in place until the value is dropped, and all access to it goes
// through the methods above, which race only in atomics.
unsafe impl Send for Arena {}
// SAFETY: as above; no method hands out a unique reference.
unsafe impl Sync for Arena {}

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

    #[test]
    fn accesses_past_the_end_do_nothing() {
        let arena = Arena::reserve(3, 2).unwrap();
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

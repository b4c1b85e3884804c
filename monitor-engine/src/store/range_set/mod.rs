//! Changes of the set of a side's ranges ([`monitor_reader::store::ranges`]).

#[cfg(all(test, not(feature = "loom")))]
mod tests;

use super::arena::Arena;
use super::blocks::{BlockAllocator, Full};
use super::cell::Cell32;
use crate::ByteRange;
use monitor_reader::store::ranges::MAX_CHUNKS;
use monitor_reader::store::ranges::chunk::{CHUNK, Chunk};
#[cfg(all(test, not(feature = "loom")))]
use monitor_reader::store::ranges::for_each_range;

/// Most ranges of a side: as many as fit even if every chunk is only half full.
pub const MAX_RANGES: usize = CHUNK / 2 * MAX_CHUNKS;

/// A side's ranges, for the writer. Changes go inside [`Record::update`](super::record::Record::update).
pub struct RangeSet<'a> {
    pub arena: &'a Arena,
    pub allocator: &'a mut BlockAllocator,
    /// Link to the first chunk.
    pub head: &'a Cell32,
}

/// A position in the chain. Past the last range it is the end of the last chunk.
#[derive(Clone, Copy)]
struct Cursor<'a> {
    /// The link that leads to `chunk`.
    link: &'a Cell32,
    chunk: Option<Chunk<'a>>,
    index: usize,
}

impl Cursor<'_> {
    fn get(&self) -> Option<ByteRange> {
        self.chunk
            .filter(|chunk| self.index < chunk.count())
            .map(|chunk| chunk.get(self.index))
    }
}

impl<'a> RangeSet<'a> {
    /// Returns whether there are none.
    #[inline(always)]
    pub fn is_empty(&self) -> bool {
        self.head.get() == 0
    }

    /// Returns the number of ranges.
    pub fn len(&self) -> usize {
        let mut sum = 0;
        let mut link = self.head.get();
        while let Some(chunk) = Chunk::linked(self.arena, link) {
            sum += chunk.count();
            link = chunk.next();
        }
        sum
    }

    /// Returns the first range that ends at or after `off`.
    pub fn first_from(&self, off: u64) -> Option<ByteRange> {
        self.find(off).get()
    }

    /// Calls `each` for the ranges that share bytes with `range`, in order.
    pub fn overlapping(&self, range: ByteRange, mut each: impl FnMut(ByteRange)) {
        let mut cursor = self.find(range.start.saturating_add(1));
        while let Some(found) = cursor.get().filter(|found| found.start < range.end) {
            each(found);
            cursor = self.after(cursor);
        }
    }

    /// Adds a range, merging it with every one that it overlaps or touches.
    ///
    /// # Errors
    /// [`Full`] if it needs another chunk and no block is free; nothing has changed then.
    pub fn add(&mut self, range: ByteRange) -> Result<(), Full> {
        let cursor = self.find(range.start);
        let Some(first) = cursor.get().filter(|first| first.start <= range.end) else {
            return self.insert(cursor, range);
        };
        let mut merged = ByteRange::new(first.start.min(range.start), first.end.max(range.end));
        loop {
            let next = self.after(cursor);
            match next.get().filter(|next| next.start <= merged.end) {
                Some(swallowed) => {
                    merged.end = merged.end.max(swallowed.end);
                    self.remove(next);
                }
                None => break,
            }
        }
        if let Some(chunk) = cursor.chunk {
            chunk.set(cursor.index, merged);
        }
        Ok(())
    }

    /// Removes and returns the first range that contains or touches `off`.
    pub fn take_touching(&mut self, off: u64) -> Option<ByteRange> {
        let cursor = self.find(off);
        let range = cursor.get().filter(|range| range.start <= off)?;
        self.remove(cursor);
        Some(range)
    }

    /// Removes every byte below `off`.
    pub fn remove_below(&mut self, off: u64) {
        while let Some(chunk) = Chunk::linked(self.arena, self.head.get()) {
            let gone = (0..chunk.count())
                .take_while(|&index| chunk.get(index).end <= off)
                .count();
            // A whole chunk: unlink it, continue with the next one.
            if gone == chunk.count() {
                self.head.set(chunk.next());
                self.allocator.free(chunk.id);
                continue;
            }
            if gone > 0 {
                chunk.remove(0, gone);
            }
            let first = chunk.get(0);
            if first.start < off {
                chunk.set(0, ByteRange::new(off, first.end));
            }
            return;
        }
    }

    /// Removes every byte from `off` on.
    pub fn remove_from(&mut self, off: u64) {
        loop {
            let cursor = self.find(off.saturating_add(1));
            let (Some(range), Some(chunk)) = (cursor.get(), cursor.chunk) else {
                return;
            };
            if range.start < off {
                chunk.set(cursor.index, ByteRange::new(range.start, off));
            } else {
                self.remove(cursor);
            }
        }
    }

    /// Frees all chunks.
    pub fn clear(&mut self) {
        self.remove_below(u64::MAX);
    }

    /// Finds the first range that ends at or after `off`.
    fn find(&self, off: u64) -> Cursor<'a> {
        let mut link = self.head;
        loop {
            let Some(chunk) = Chunk::linked(self.arena, link.get()) else {
                return Cursor {
                    link,
                    chunk: None,
                    index: 0,
                };
            };
            let count = chunk.count();
            let next = chunk.link().filter(|next| next.get() != 0);
            if let Some(next) = next.filter(|_| chunk.get(count - 1).end < off) {
                link = next;
                continue;
            }
            let (mut low, mut high) = (0, count);
            // Beyond a hole, one segment follows another: it is the last range, and needs no search.
            if count > 1 && chunk.get(count - 2).end < off {
                low = count - 1;
            }
            while low < high {
                let middle = usize::midpoint(low, high);
                if chunk.get(middle).end < off {
                    low = middle + 1;
                } else {
                    high = middle;
                }
            }
            return Cursor {
                link,
                chunk: Some(chunk),
                index: low,
            };
        }
    }

    fn after(&self, cursor: Cursor<'a>) -> Cursor<'a> {
        let Some(chunk) = cursor.chunk else {
            return cursor;
        };
        let index = cursor.index + 1;
        match chunk
            .link()
            .filter(|next| index >= chunk.count() && next.get() != 0)
        {
            Some(link) => Cursor {
                link,
                chunk: Chunk::linked(self.arena, link.get()),
                index: 0,
            },
            None => Cursor { index, ..cursor },
        }
    }

    #[inline(always)]
    fn insert(&mut self, cursor: Cursor<'a>, range: ByteRange) -> Result<(), Full> {
        let Some(chunk) = cursor.chunk else {
            let chunk = self.new_chunk(0)?;
            chunk.set(0, range);
            chunk.set_count(1);
            cursor.link.set(chunk.id + 1);
            return Ok(());
        };
        if chunk.count() == CHUNK {
            return self.insert_into_full(chunk, range);
        }
        chunk.insert(cursor.index, range);
        Ok(())
    }

    #[cold]
    fn insert_into_full(&mut self, chunk: Chunk<'a>, range: ByteRange) -> Result<(), Full> {
        self.split(chunk)?;
        let cursor = self.find(range.start);
        if let Some(half) = cursor.chunk {
            half.insert(cursor.index, range);
        }
        Ok(())
    }

    /// Moves the upper half of a chunk into a new one behind it.
    fn split(&mut self, chunk: Chunk<'a>) -> Result<(), Full> {
        let half = CHUNK / 2;
        let upper = self.new_chunk(chunk.next())?;
        for index in half..CHUNK {
            upper.set(index - half, chunk.get(index));
        }
        upper.set_count(CHUNK - half);
        chunk.set_count(half);
        if let Some(link) = chunk.link() {
            link.set(upper.id + 1);
        }
        Ok(())
    }

    fn new_chunk(&mut self, next: u32) -> Result<Chunk<'a>, Full> {
        let chunk = Chunk {
            arena: self.arena,
            id: self.allocator.alloc().ok_or(Full)?,
        };
        chunk.set_count(0);
        if let Some(link) = chunk.link() {
            link.set(next);
        }
        Ok(chunk)
    }

    fn remove(&mut self, cursor: Cursor<'a>) {
        let Some(chunk) = cursor.chunk else { return };
        chunk.remove(cursor.index, 1);
        if chunk.count() == 0 {
            cursor.link.set(chunk.next());
            self.allocator.free(chunk.id);
        }
    }
}

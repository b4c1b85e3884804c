//! Changes of marks ([`monitor_reader::store::marks`]), and the allocation of their chunks ([`alloc`]).

mod alloc;
#[cfg(all(test, not(feature = "loom")))]
mod tests;

use super::arena::{Arena, prefetch};
use super::blocks::BlockAllocator;
use super::record::{NONE, Record, SideRecord};
use super::{Release, fence};
pub use alloc::ChunkAllocator;
#[cfg(all(test, not(feature = "loom")))]
use monitor_reader::store::marks::Ends;
use monitor_reader::store::marks::MOST_CHUNKS;
use monitor_reader::store::marks::chunk::{self, Chunk, PER_CHUNK};
pub use monitor_reader::store::marks::{Mark, last};

/// Bytes of marks for each retained byte: the divisor, as a shift.
const SHARE_SHIFT: u32 = 4;

/// Bytes after which a side has another mark: the shift of 64 KiB.
pub const STRIDE_SHIFT: u32 = 16;

/// Returns the most chunks of a side with a window.
#[inline(always)]
pub fn most_chunks(window: u64) -> u64 {
    (window >> (SHARE_SHIFT + chunk::SHIFT)).clamp(1, MOST_CHUNKS)
}

/// Prefetches the chunk that a side's next mark goes to.
#[inline(always)]
pub fn prefetch_newest(arena: &Arena, side: SideRecord<'_>) {
    if let Some(newest) = Chunk::linked(arena, side.stored.marks.get()) {
        prefetch(newest.word(0));
    }
}

/// A side's marks, for the writer.
pub struct Marks<'a> {
    pub arena: &'a Arena,
    pub chunks: &'a mut ChunkAllocator,
    pub blocks: &'a mut BlockAllocator,
    pub record: Record<'a>,
    pub side: SideRecord<'a>,
}

impl<'a> Marks<'a> {
    /// Appends a mark, not before the last one, and runs `also` in the same update with its outcome: false if there is no
    /// memory for the mark. A mark at the offset of the last one takes its place: no byte came between them. The side has
    /// at most `most` chunks: the oldest goes for a new one.
    pub fn append(&mut self, mark: Mark, most: u64, also: impl FnOnce(bool)) {
        let Some(newest) = self.newest() else {
            return self.append_chunk(None, mark, also);
        };
        let count = newest.count();
        let last = newest.get(count.saturating_sub(1));
        let mark = Mark {
            time: mark.time.max(last.time),
            ..mark
        };
        let index = if last.off == mark.off {
            count - 1
        } else {
            count
        };
        if index < PER_CHUNK {
            self.record.update(|_| {
                newest.set(index, mark);
                newest.set_count(index + 1, newest.reset_time());
                also(true);
            });
        } else {
            while self.len() >= most {
                self.remove_oldest();
            }
            self.append_chunk(self.newest(), mark, also);
        }
    }

    /// Appends a chunk with its first mark after the newest one.
    #[inline(always)]
    fn append_chunk(&mut self, newest: Option<Chunk<'a>>, mark: Mark, also: impl FnOnce(bool)) {
        let reset_time = newest.map_or(0, Chunk::reset_time);
        let (mut newest, mut link) = (newest, self.chunks.alloc(self.arena, self.blocks));
        if link.is_none() && newest.is_some() {
            self.remove_oldest();
            newest = self.newest();
            link = self.chunks.alloc(self.arena, self.blocks);
        }
        let chunk = link.and_then(|link| Some((link, Chunk::linked(self.arena, link)?)));
        self.record.update(|_| {
            if let Some((link, chunk)) = chunk {
                chunk.set(0, mark);
                chunk.set_count(1, reset_time);
                match newest {
                    Some(newest) => {
                        chunk.set_place(newest.next(), newest.number().wrapping_add(1));
                        newest.set_next(link);
                    }
                    None => chunk.set_place(link, 0),
                }
                self.side.stored.marks.set(link);
            }
            also(chunk.is_some());
        });
    }

    /// Notes the time of a RST, if the side has marks.
    pub fn set_reset_time(&mut self, time: u64) {
        if let Some(newest) = self.newest() {
            self.record
                .update(|_| newest.set_count(newest.count(), time));
        }
    }

    /// Frees the chunks with marks of evicted bytes alone. The newest chunk stays.
    pub fn remove_below(&mut self, base: u64) {
        let Some(newest) = self.newest() else { return };
        let mut first = newest.next();
        while first != self.side.stored.marks.get()
            && let Some(after) = Chunk::linked(self.arena, first).map(Chunk::next)
            && Chunk::linked(self.arena, after).is_some_and(|chunk| chunk.get(0).off <= base)
        {
            first = after;
        }
        self.remove_before(newest, first);
    }

    /// Frees the oldest chunk, which may be the newest, too.
    fn remove_oldest(&mut self) {
        let Some(newest) = self.newest() else { return };
        let oldest = newest.next();
        if oldest == self.side.stored.marks.get() {
            self.record.update(|_| {
                self.side.stored.marks.set(NONE);
                self.side
                    .cold
                    .epoch
                    .set(self.side.cold.epoch.get().wrapping_add(1));
            });
            fence(Release);
            self.chunks.free(self.arena, self.blocks, oldest);
        } else if let Some(after) = Chunk::linked(self.arena, oldest).map(Chunk::next) {
            self.remove_before(newest, after);
        }
    }

    /// Frees the chunks older than `first`.
    fn remove_before(&mut self, newest: Chunk<'_>, first: u32) {
        let mut link = newest.next();
        if link == first {
            return;
        }
        // First the ring without them, then the epoch: a reader that sees the new epoch doesn't find them any more.
        self.record.update(|_| {
            newest.set_next(first);
            self.side
                .cold
                .epoch
                .set(self.side.cold.epoch.get().wrapping_add(1));
        });
        // Readers look at the epoch again after their walk: from here on the chunks may be reused.
        fence(Release);
        while link != first {
            let Some(chunk) = Chunk::linked(self.arena, link) else {
                return;
            };
            let next = chunk.next();
            self.chunks.free(self.arena, self.blocks, link);
            link = next;
        }
    }

    /// Frees the chunks of a ring, by the link to its newest one. No reader can reach them any more.
    pub fn free_ring(&mut self, newest: u32) {
        let mut link = newest;
        while let Some(chunk) = Chunk::linked(self.arena, link) {
            let next = chunk.next();
            self.chunks.free(self.arena, self.blocks, link);
            link = next;
            if link == newest {
                return;
            }
        }
    }

    /// Returns the number of chunks.
    fn len(&self) -> u64 {
        let Some(newest) = self.newest() else {
            return 0;
        };
        let oldest = Chunk::linked(self.arena, newest.next()).map_or(0, Chunk::number);
        u64::from(newest.number().wrapping_sub(oldest)) + 1
    }

    fn newest(&self) -> Option<Chunk<'a>> {
        Chunk::linked(self.arena, self.side.stored.marks.get())
    }
}

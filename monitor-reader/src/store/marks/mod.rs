//! Marks: times at which the in-order edge of a side left an offset.
//!
//! A side's marks are a ring of small chunks ([`chunk`]): its record links the newest one, each links the next newer one,
//! and the newest links the oldest. So both ends are found with one link, and a side without bytes has no chunk. Chunks are
//! cut from blocks.
//!
//! A FIN has a mark at its offset, which is the last one. The newest chunk also has the time of the last RST.
//!
//! Readers copy the ring's ends inside a consistent read ([`Ends`]) and walk it afterwards. `epoch` changes before a chunk
//! is freed, so a walk over a chunk that was reused is noticed. A newer chunk, or a mark after those of the copy, is beyond
//! the walk.

pub mod chunk;

use super::arena::Arena;
use super::record::{NONE, SideRecord};
use chunk::Chunk;
pub use chunk::Mark;

/// Most chunks of a side, which bounds a reader's walk: 3072 marks.
pub const MOST_CHUNKS: u64 = 1024;

/// Returns the last mark of a side. Inside a consistent read, or by the writer.
#[inline(always)]
pub fn last(arena: &Arena, side: SideRecord<'_>) -> Option<Mark> {
    let newest = Chunk::linked(arena, side.stored.marks.get())?;
    Some(newest.get(newest.count().checked_sub(1)?))
}

/// Returns the time of the last RST to a side, if it was noted. Inside a consistent read, or by the writer.
pub fn reset_time(arena: &Arena, side: SideRecord<'_>) -> Option<u64> {
    let newest = Chunk::linked(arena, side.stored.marks.get())?;
    Some(newest.reset_time()).filter(|time| *time != 0)
}

/// Ends of a side's ring at one moment, for readers.
#[derive(Clone, Copy, Debug)]
pub struct Ends {
    oldest: u32,
    newest: u32,
    /// Marks in the newest chunk.
    count: usize,
    /// Unchanged after a valid walk.
    pub epoch: u32,
}

impl Ends {
    /// Copies the ends of a ring. On a torn record: arbitrary ones.
    pub fn of(arena: &Arena, side: SideRecord<'_>) -> Self {
        let newest = side.stored.marks.get();
        let chunk = Chunk::linked(arena, newest);
        Self {
            oldest: chunk.map_or(NONE, Chunk::next),
            newest,
            count: chunk.map_or(0, Chunk::count),
            epoch: side.cold.epoch.get(),
        }
    }

    /// Calls `each` for the marks in order until it returns false. If the ring has changed: for arbitrary ones, a bounded
    /// number of times.
    pub fn each(&self, arena: &Arena, mut each: impl FnMut(Mark) -> bool) {
        let mut link = self.oldest;
        for _ in 0..MOST_CHUNKS {
            let Some(chunk) = Chunk::linked(arena, link) else {
                return;
            };
            let last = link == self.newest;
            let count = if last { self.count } else { chunk.count() };
            for index in 0..count {
                if !each(chunk.get(index)) {
                    return;
                }
            }
            if last {
                return;
            }
            link = chunk.next();
        }
    }
}

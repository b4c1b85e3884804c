//! Payload bytes into blocks.

use super::Receiver;
use super::segment::Shift;
use crate::payload::Payload;
use crate::store::arena::BLOCK;
use crate::store::blocks::{Full, number};
use crate::{ByteRange, Sink};

impl<S: Sink> Receiver<'_, S> {
    /// Stores bytes. Returns the number stored, from the start on: fewer if memory is full.
    #[inline]
    pub(super) fn put(&mut self, bytes: ByteRange, shift: Shift, payload: &Payload<'_>) -> u64 {
        let len = bytes.end - bytes.start;
        let first = number(self.side().stored.base.get());
        let last = number(bytes.end - 1);
        if self.blocks().must_grow(first, last) && self.grow(first, last).is_err() {
            self.counters.unstored_bytes.add(len);
            return 0;
        }
        let arena = self.arena;
        let mut stored = 0;
        let mut blocks = self.blocks();
        each_block(bytes, shift, payload, |number, at, bytes| {
            let Ok(block) = blocks.ensure(number) else {
                return false;
            };
            arena.write(block, at, bytes);
            stored += bytes.len() as u64;
            true
        });
        if stored < len {
            self.counters.unstored_bytes.add(len - stored);
        }
        stored
    }

    fn grow(&mut self, first: u64, last: u64) -> Result<(), Full> {
        let record = self.record;
        record.update(|_| self.blocks().grow(first, last))
    }
}

/// Cuts the payload bytes of a range at block borders. Calls `each` with block number, place in the block, and bytes,
/// until it returns false.
#[inline(always)]
pub fn each_block(
    range: ByteRange,
    shift: Shift,
    payload: &Payload<'_>,
    mut each: impl FnMut(u64, usize, &[u8]) -> bool,
) {
    payload.each(
        shift.distance(range.start),
        shift.distance(range.end),
        |distance, mut bytes| {
            let mut off = (shift.0 + distance as i64) as u64;
            while !bytes.is_empty() {
                let at = off as usize % BLOCK;
                let (now, later) = bytes.split_at(bytes.len().min(BLOCK - at));
                if !each(number(off), at, now) {
                    return false;
                }
                off += now.len() as u64;
                bytes = later;
            }
            true
        },
    );
}

//! Ranges of a side apart from the contiguous one: sorted, disjoint, never touching.
//!
//! They are beyond a hole (cf. SACK blocks), or before a hole that was declared lost. The set is a chain of blocks, so that
//! readers can walk it ([`chunk`]).

pub mod chunk;

use super::arena::Arena;
use crate::ByteRange;
use chunk::Chunk;

/// Most chunks of a side: bounds a reader's walk over torn links.
pub const MAX_CHUNKS: usize = 1024;

/// Calls `each` for every range in order, until it returns false. On a torn chain: with arbitrary ranges, a bounded
/// number of times.
pub fn for_each_range(arena: &Arena, head: u32, mut each: impl FnMut(ByteRange) -> bool) {
    let mut link = head;
    for _ in 0..MAX_CHUNKS {
        let Some(chunk) = Chunk::linked(arena, link) else {
            return;
        };
        for index in 0..chunk.count() {
            if !each(chunk.get(index)) {
                return;
            }
        }
        link = chunk.next();
    }
}

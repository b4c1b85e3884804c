//! Table of tunnels, by number: one writer, any number of readers, no lock. It is a part of the arena.
//!
//! **Invariant:** an entry changes only while no record and no waiting fragment has its number. A reader takes the number
//! and the entry in one consistent read of the record: if the record was freed in between, the read is repeated.

pub use crate::path::{MAX_DEPTH, Path, WORDS};
use crate::store::arena::Arena;
use crate::store::cell::Cell64;
use crate::store::{Release, fence};

/// Replaces an entry. Only for the one writer.
pub fn set(arena: &Arena, number: u32, path: &Path) {
    // The records that had this number were freed before.
    fence(Release);
    if let Some(entry) = arena.tunnel(number) {
        for (cell, word) in entry.iter().zip(path.0) {
            cell.set(word);
        }
    }
}

/// Returns an entry. Inside a consistent read of a record with this number, or by the writer.
pub fn get(arena: &Arena, number: u32) -> Path {
    arena
        .tunnel(number)
        .map(|entry| Path(entry.each_ref().map(Cell64::get)))
        .unwrap_or_default()
}

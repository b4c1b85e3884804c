//! Store: memory for records and stream bytes, with one writer, any number of readers, and no lock.
//!
//! The worker writes its connections' records and blocks. Readers copy from both at any time and find out afterwards
//! whether the copy was consistent. Three rules make that sound:
//!
//! 1. A record changes only inside [`record::Record::update`]: a reader that saw part of a change tries again.
//! 2. Bytes are written before the record shows them (`next`, `end`, the ranges). So a reader that learns of bytes sees
//!    them.
//! 3. Before bytes are replaced that a reader may be copying, something changes that the reader looks at again afterwards,
//!    with a release fence in between. That is `base` before an evicted block is reused, and `generation` before all blocks
//!    of a connection are freed. It is `epoch` before a received byte is overwritten, the tree is rebuilt, marks are freed,
//!    or the buffering of a side is switched off. The reader's acquire fence between its copy and the second look pairs with it.
//!
//! The methods that write are for the one writer, the engine. An attached process never gets at them: [`crate::Reader`]
//! keeps its arena to itself.
//!
//! **Invariant:** memory is never unmapped while a reader exists, and every number found in it is checked before use.

#[cfg(not(feature = "loom"))]
pub mod arena;
#[cfg(feature = "loom")]
#[path = "arena_model.rs"]
pub mod arena;
pub mod block;
pub mod blocks;
pub mod cell;
#[cfg(not(feature = "loom"))]
pub mod copy;
mod flags;
pub mod header;
mod layout;
pub mod marks;
#[cfg(not(feature = "loom"))]
mod memory;
pub mod ranges;
pub mod received;
pub mod record;
mod side;
mod sync;

pub use sync::{Acquire, Release, fence, pause};

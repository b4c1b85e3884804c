//! Where bytes and records are kept: one writer, any number of readers, no lock.
//!
//! The worker writes its connections' records and blocks; readers copy from both at any time and find out
//! afterwards whether what they copied was of one piece. Three rules make that sound:
//!
//! 1. A record changes inside [`record::Record::update`] only: a reader that saw part of a change tries again.
//! 2. Bytes are written before the record says that they are there (`next`, `end`, the islands), so a reader that
//!    learnt of them sees them.
//! 3. Before bytes that a reader may be copying are replaced, something that it looks at again afterwards has
//!    changed, with a release fence in between: `base` before an evicted block is used again, `epoch` before a
//!    received byte is overwritten, the tree is laid out anew or a side's buffering is switched off, `generation` before all blocks of a connection are
//!    given back. The reader's acquire fence between its copy and that second look pairs with it.
//!
//! The memory itself is never unmapped while a reader holds it, and every number found in it is checked before use.

#[cfg(not(feature = "loom"))]
pub mod arena;
#[cfg(feature = "loom")]
#[path = "arena_model.rs"]
pub mod arena;
pub mod blocks;
pub mod cell;
#[cfg(not(feature = "loom"))]
pub mod copy;
pub mod range_set;
pub mod record;
mod sync;

pub use sync::{Acquire, Release, fence, pause};

//! Blocks: the unit in which stream bytes are stored.

/// Number of a block. The arena checks each: an out-of-range number reads as nothing.
pub type BlockId = u32;

/// Bytes in a block. A power of two.
pub const BLOCK: usize = 1 << BLOCK_SHIFT;
/// log2 of [`BLOCK`]. With 2 KiB a request of a few hundred bytes wastes little, a bulk segment is copied in one or two
/// pieces, and one block of 32-bit entries indexes 1 MiB. The model checker's blocks are small, so that few packets exercise
/// everything in the store.
pub const BLOCK_SHIFT: u32 = if cfg!(feature = "loom") { 6 } else { 11 };

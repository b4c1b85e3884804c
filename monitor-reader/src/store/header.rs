//! Header of a store: its place in a shared mapping, by which an attached process recognises it.

use monitor_common::SockId;

use super::block::{BLOCK, BLOCK_SHIFT};
use super::layout::hash;
use super::record::{self, Cold, Hot};
use crate::path;

/// Bytes before the records: a page.
pub const HEADER: usize = 4096;
/// Words of the header that are in use.
pub const WORDS: usize = 6;

/// First word: "MONITORD".
const MAGIC: u64 = u64::from_be_bytes(*b"MONITORD");
/// Version of the layout. It counts changes that no size and no offset below shows: block trees, chunks, meanings.
const VERSION: u64 = 3;
/// Hash of version, sizes and offsets: processes whose programs differ in one of them don't read each other's stores.
const LAYOUT: u64 = hash(&[
    VERSION,
    record::layout(),
    HEADER as u64,
    BLOCK_SHIFT as u64,
    path::WORDS as u64,
]);

/// Numbers of the parts of a store.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Sizes {
    /// Records of connections.
    pub records: u32,
    /// Blocks of stream bytes.
    pub blocks: u32,
    /// Entries of the table of tunnels.
    pub tunnels: u32,
}

/// Identity of a store.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Identity {
    /// Random number of the daemon's run.
    pub instance: u64,
    /// Worker that writes.
    pub worker: u16,
}

/// Error of attaching to a store.
#[derive(Debug, thiserror::Error)]
pub enum AttachError {
    /// The memory could be truncated.
    #[error("the memory has no seal against truncation; take it from monitord's `attach` alone")]
    Unsealed,
    /// It holds something else.
    #[error("the memory is no store of monitord; take it from monitord's `attach` alone")]
    Foreign,
    /// The daemon's program lays its store out in another way.
    #[error(
        "monitord's store has the layout {found:016x}, and this program reads {own:016x}; use programs of one version"
    )]
    Layout {
        /// Layout of the store.
        found: u64,
        /// Layout that this program knows.
        own: u64,
    },
    /// The system's error.
    #[error("cannot map the store")]
    Map(#[source] std::io::Error),
}

impl Sizes {
    /// Returns the sizes of a store without tunnels.
    pub fn new(records: u32, blocks: u32) -> Self {
        Self {
            records,
            blocks,
            tunnels: 0,
        }
    }

    /// Returns the offset of a record's hot part, at a cache line.
    #[inline(always)]
    pub fn hot_at(self, slot: u32) -> usize {
        HEADER + slot as usize * size_of::<Hot>()
    }

    /// Returns the offset of a record's cold part, at a multiple of 8.
    #[inline(always)]
    pub fn cold_at(self, slot: u32) -> usize {
        self.hot_at(self.records) + slot as usize * size_of::<Cold>()
    }

    /// Returns the offset of the table of tunnels.
    pub fn tunnels_at(self) -> usize {
        self.cold_at(self.records)
    }

    /// Returns the offset of the blocks, at a page.
    pub fn blocks_at(self) -> usize {
        let tunnels = self.tunnels as usize * path::WORDS * 8;
        (self.tunnels_at() + tunnels).next_multiple_of(HEADER)
    }

    /// Returns the bytes of the whole.
    pub fn bytes(self) -> usize {
        self.blocks_at() + self.blocks as usize * BLOCK
    }
}

/// Returns the header of a store.
pub fn words(sizes: Sizes, identity: Identity) -> [u64; WORDS] {
    [
        MAGIC,
        LAYOUT,
        identity.instance,
        u64::from(identity.worker),
        u64::from(sizes.records) | u64::from(sizes.tunnels) << 32,
        u64::from(sizes.blocks),
    ]
}

/// Reads a header. `len`: bytes of the mapping.
///
/// # Errors
/// [`AttachError::Layout`] and [`AttachError::Foreign`].
pub fn parse(words: [u64; WORDS], len: usize) -> Result<(Sizes, Identity), AttachError> {
    let [magic, layout, instance, worker, low, blocks] = words;
    if magic != MAGIC {
        return Err(AttachError::Foreign);
    }
    if layout != LAYOUT {
        return Err(AttachError::Layout {
            found: layout,
            own: LAYOUT,
        });
    }
    let sizes = Sizes {
        records: low as u32,
        tunnels: (low >> 32) as u32,
        blocks: u32::try_from(blocks).map_err(|_| AttachError::Foreign)?,
    };
    let worker = u16::try_from(worker).map_err(|_| AttachError::Foreign)?;
    if worker >= SockId::MAX_WORKERS || sizes.records > SockId::MAX_SLOTS || sizes.bytes() > len {
        return Err(AttachError::Foreign);
    }
    Ok((sizes, Identity { instance, worker }))
}

#[cfg(test)]
mod tests {
    use super::*;

    const SIZES: Sizes = Sizes {
        records: 7,
        blocks: 9,
        tunnels: 3,
    };
    const IDENTITY: Identity = Identity {
        instance: 0x1234_5678_9abc,
        worker: 5,
    };

    #[test]
    fn a_header_is_read_as_it_was_written() {
        let read = parse(words(SIZES, IDENTITY), SIZES.bytes()).unwrap();
        assert_eq!(read, (SIZES, IDENTITY));
    }

    #[test]
    fn headers_that_do_not_fit_the_memory_are_refused() {
        let good = words(SIZES, IDENTITY);
        assert!(matches!(
            parse(good, SIZES.bytes() - 1),
            Err(AttachError::Foreign)
        ));
        for (index, value) in [(0, 1), (3, 63), (4, u64::MAX), (5, 1 << 32)] {
            let mut bad = good;
            bad[index] = value;
            let error = parse(bad, usize::MAX).unwrap_err();
            assert!(
                matches!(error, AttachError::Foreign),
                "word {index}: {error}"
            );
        }
        let mut other = good;
        other[1] ^= 1;
        let error = parse(other, SIZES.bytes()).unwrap_err();
        assert!(matches!(error, AttachError::Layout { .. }), "{error}");
    }
}

//! Model of the arena for the model checker: the same numbers and methods over a handful of its atomics.
//!
//! Blocks are small, so that few packets exercise everything in the store. A block's bytes, words and entries are separate
//! here: a copy of a block that changes its use is discarded in either case.

#![expect(missing_docs, reason = "the methods are those of the arena")]

use std::io;

pub use super::block::{BLOCK, BLOCK_SHIFT, BlockId};
use super::cell::{Cell32, Cell64};
use super::header::{Identity, Sizes};
use super::record::{Hot, Record, RecordMemory};
use crate::path;

#[derive(Debug)]
pub struct Arena {
    records: Vec<RecordMemory>,
    blocks: Vec<Block>,
}

#[derive(Debug, Default)]
struct Block {
    bytes: [Cell64; BLOCK / 8],
    words: [Cell64; BLOCK / 8],
    entries: [Cell32; BLOCK / 4],
}

impl Arena {
    pub fn reserve(sizes: Sizes, _: Identity, _: bool) -> io::Result<Self> {
        Ok(Self {
            records: (0..sizes.records)
                .map(|_| RecordMemory::default())
                .collect(),
            blocks: (0..sizes.blocks).map(|_| Block::default()).collect(),
        })
    }

    pub fn prefault(&self) -> io::Result<()> {
        Ok(())
    }

    pub fn provide(&self, _: (u32, u32), _: (u32, u32)) {}

    pub fn tunnel(&self, _: u32) -> Option<&[Cell64; path::WORDS]> {
        None
    }

    pub fn records(&self) -> u32 {
        self.records.len() as u32
    }

    pub fn blocks(&self) -> u32 {
        self.blocks.len() as u32
    }

    pub fn record(&self, slot: u32) -> Option<Record<'_>> {
        self.records.get(slot as usize).map(RecordMemory::record)
    }

    pub fn hot(&self, slot: u32) -> Option<&Hot> {
        self.record(slot).map(|record| record.hot)
    }

    pub fn prefetch_record(&self, _: u32, _: bool) {}

    pub fn prefetch_whole_record(&self, _: u32) {}

    pub fn prefetch_cold(&self, _: u32) {}

    pub fn prefetch_block(&self, _: BlockId, _: usize, _: usize) {}

    /// Stores whole words at once, as the real copy does. The rest of a word belongs to the one writer.
    pub fn write(&self, id: BlockId, at: usize, from: &[u8]) {
        let Some(block) = self
            .blocks
            .get(id as usize)
            .filter(|_| at + from.len() <= BLOCK)
        else {
            return;
        };
        let mut rest = from;
        let mut at = at;
        while !rest.is_empty() {
            let (now, later) = rest.split_at(rest.len().min(8 - at % 8));
            let cell = &block.bytes[at / 8];
            let mut word = if now.len() == 8 {
                [0; 8]
            } else {
                cell.get().to_ne_bytes()
            };
            word[at % 8..][..now.len()].copy_from_slice(now);
            cell.set(u64::from_ne_bytes(word));
            (at, rest) = (at + now.len(), later);
        }
    }

    pub fn zero(&self, id: BlockId) {
        self.words(id).iter().for_each(|word| word.set(0));
    }

    pub fn read(&self, id: BlockId, at: usize, to: &mut [u8]) -> bool {
        let Some(block) = self
            .blocks
            .get(id as usize)
            .filter(|_| at + to.len() <= BLOCK)
        else {
            return false;
        };
        let end = at + to.len();
        for index in at / 8..end.div_ceil(8) {
            let word = block.bytes[index].get().to_ne_bytes();
            for (place, byte) in word.iter().enumerate() {
                if let Some(to) = (index * 8 + place)
                    .checked_sub(at)
                    .and_then(|i| to.get_mut(i))
                {
                    *to = *byte;
                }
            }
        }
        true
    }

    pub fn words(&self, id: BlockId) -> &[Cell64] {
        self.blocks
            .get(id as usize)
            .map_or(&[], |block| &block.words)
    }

    pub fn entry(&self, id: BlockId, index: usize) -> Option<&Cell32> {
        self.blocks.get(id as usize)?.entries.get(index)
    }
}

pub fn prefetch<T>(_: *const T) {}

pub fn prefetch_bytes(_: &[u8]) {}

//! Division of a memory budget among records, blocks, out-of-order queues and fragments.

use super::{BLOCK, RECORD, Table};
use crate::SockId;
use crate::reassembly::overlap::OooQueues;

/// Error of creating an engine.
#[derive(Debug, thiserror::Error)]
pub enum EngineError {
    /// The budget cannot hold even a few connections.
    #[error(
        "a store of {memory} bytes for each worker is too small: at least {least} are needed; raise [store] memory or lower [capture] workers"
    )]
    TooSmall {
        /// Bytes asked for, for this worker.
        memory: u64,
        /// Least number of bytes that works.
        least: u64,
    },
    /// The address space was refused.
    #[error("cannot reserve {memory} bytes for the store")]
    Reserve {
        /// Bytes asked for.
        memory: u64,
        /// The system's error.
        source: std::io::Error,
    },
}

/// Shares of a budget.
pub struct Plan {
    pub records: u32,
    pub blocks: u32,
    /// Segments in out-of-order queues.
    pub queued: u32,
    /// Bytes of fragments.
    pub fragments: usize,
    /// Bytes of segments held aside.
    pub held: usize,
}

impl Plan {
    /// Less cannot hold a useful number of connections.
    const LEAST: u64 = 1 << 20;
    /// A usual connection of a few kilobytes each way takes five blocks or more. With an eighth for the records, neither
    /// runs out long before the other.
    const RECORDS_SHARE: u64 = 8;
    /// 200 000 segments in 512 MiB. A segment is tracked only while it is out of order, at a fiftieth of its bytes.
    const QUEUED_SHARE: u64 = 64;
    const FRAGMENTS_SHARE: u64 = 64;
    const FRAGMENTS_MOST: u64 = 16 << 20;
    /// Held segments are rare: probes of a zero window, forged segments, and the segments after a loss of the capture.
    const HELD_SHARE: u64 = 64;
    const HELD_MOST: u64 = 4 << 20;

    /// Divides a budget of `memory` bytes.
    pub fn of(memory: u64) -> Result<Self, EngineError> {
        if memory < Self::LEAST {
            return Err(EngineError::TooSmall {
                memory,
                least: Self::LEAST,
            });
        }
        // Each record and each block needs a number in its allocator's list as well.
        let number = size_of::<u32>() as u64;
        let a_record = RECORD as u64 + number + Table::bytes(1024) / 1024;
        let records = (memory / Self::RECORDS_SHARE / a_record)
            .clamp(64, u64::from(SockId::MAX_SLOTS)) as u32;
        let fragments = (memory / Self::FRAGMENTS_SHARE).min(Self::FRAGMENTS_MOST);
        let queued = (memory / Self::QUEUED_SHARE / OooQueues::BYTES).min(1 << 30);
        let held = (memory / Self::HELD_SHARE).min(Self::HELD_MOST);
        let rest =
            memory - u64::from(records) * a_record - queued * OooQueues::BYTES - fragments - held;
        let blocks = rest / (BLOCK as u64 + number);
        Ok(Self {
            records,
            blocks: u32::try_from(blocks).unwrap_or(u32::MAX - 1),
            queued: queued as u32,
            fragments: fragments as usize,
            held: held as usize,
        })
    }
}

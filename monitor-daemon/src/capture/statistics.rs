//! Statistics of a capture socket.

use monitor_engine::Counter;

/// Packets that a worker read from a socket.
#[derive(Debug, Default)]
pub(super) struct Tally {
    pub(super) packets: Counter,
    pub(super) bytes: Counter,
    /// Packets with more fragments than a batch holds, which are discarded.
    pub(super) oversized: Counter,
}

/// Counters of a socket: the kernel's and the worker's.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Received {
    /// Packets read.
    pub packets: u64,
    /// Bytes read.
    pub bytes: u64,
    /// Packets discarded because of too many fragments.
    pub oversized: u64,
    /// Packets dropped by the kernel without a free frame or block, or because they were invalid.
    pub dropped: u64,
    /// Packets dropped by the kernel because the RX ring was full.
    pub ring_full: u64,
    /// Number of times that the kernel found the fill ring empty, or a packet socket's ring full.
    pub fill_ring_empty: u64,
}

impl std::ops::AddAssign for Received {
    fn add_assign(&mut self, other: Self) {
        self.packets += other.packets;
        self.bytes += other.bytes;
        self.oversized += other.oversized;
        self.dropped += other.dropped;
        self.ring_full += other.ring_full;
        self.fill_ring_empty += other.fill_ring_empty;
    }
}

impl Tally {
    /// Returns the worker's part of the counters.
    pub(super) fn read(&self) -> Received {
        Received {
            packets: self.packets.get(),
            bytes: self.bytes.get(),
            oversized: self.oversized.get(),
            ..Received::default()
        }
    }
}

//! Statistics of an AF_XDP socket.

use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::Relaxed;

use rustix::net::sockopt::xdp_statistics;
use rustix::net::xdp::XdpStatistics;

/// Packets that a worker read from a socket.
#[derive(Debug, Default)]
pub(super) struct Tally {
    pub(super) packets: AtomicU64,
    pub(super) bytes: AtomicU64,
    /// Packets with more fragments than a batch holds, which are discarded.
    pub(super) oversized: AtomicU64,
}

/// Second descriptor of a socket, for its statistics. It keeps the socket open, and must be dropped with it.
#[derive(Debug)]
pub struct Probe {
    fd: OwnedFd,
    tally: Arc<Tally>,
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
    /// Packets dropped by the kernel without a free frame, or because they were invalid.
    pub dropped: u64,
    /// Packets dropped by the kernel because the RX ring was full.
    pub ring_full: u64,
    /// Number of times that the kernel found the fill ring empty.
    pub fill_ring_empty: u64,
}

impl Probe {
    pub(super) fn new(fd: OwnedFd, tally: Arc<Tally>) -> Self {
        Self { fd, tally }
    }

    /// Returns the counters. Those of the kernel are 0 when the device is gone.
    #[must_use]
    pub fn read(&self) -> Received {
        let kernel = xdp_statistics(&self.fd).ok();
        let kernel = |read: fn(&XdpStatistics) -> u64| kernel.as_ref().map_or(0, read);
        Received {
            packets: self.tally.packets.load(Relaxed),
            bytes: self.tally.bytes.load(Relaxed),
            oversized: self.tally.oversized.load(Relaxed),
            dropped: kernel(|k| k.rx_dropped + k.rx_invalid_descs),
            ring_full: kernel(|k| k.rx_ring_full.unwrap_or(0)),
            fill_ring_empty: kernel(|k| k.rx_fill_ring_empty_descs.unwrap_or(0)),
        }
    }
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
    /// For the one writer: not a locked instruction.
    pub(super) fn add(counter: &AtomicU64, n: u64) {
        counter.store(counter.load(Relaxed).wrapping_add(n), Relaxed);
    }
}

//! Counters of the relay's part in a fleet, for its metrics.

use std::sync::atomic::Ordering::Relaxed;
use std::sync::atomic::{AtomicBool, AtomicU64};

/// Counters that the fleet writes and the metrics read.
#[derive(Debug, Default)]
pub struct Status {
    /// True while the server is connected.
    pub connected: AtomicBool,
    /// Number of bytes of records that wait for the server.
    pub waiting_bytes: AtomicU64,
    /// Number of records that the server acknowledged.
    pub sent: AtomicU64,
    /// Number of records that were dropped because the spool was full.
    pub dropped: AtomicU64,
}

/// Values at one moment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Snapshot {
    /// True while the server is connected.
    pub connected: bool,
    /// Number of bytes of records that wait.
    pub waiting_bytes: u64,
    /// Number of acknowledged records.
    pub sent: u64,
    /// Number of dropped records.
    pub dropped: u64,
}

impl Status {
    /// Returns the values.
    #[must_use]
    pub fn snapshot(&self) -> Snapshot {
        Snapshot {
            connected: self.connected.load(Relaxed),
            waiting_bytes: self.waiting_bytes.load(Relaxed),
            sent: self.sent.load(Relaxed),
            dropped: self.dropped.load(Relaxed),
        }
    }
}

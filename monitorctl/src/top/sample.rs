//! Sample of a daemon: its counters, and the first connections of an order.

use std::time::Instant;

use monitor_client::types::{Socket, Stats};

/// State of the daemon at one time.
#[derive(Clone, Debug, Default)]
pub struct Sample {
    /// `None` for the state before the first sample.
    pub at: Option<Instant>,
    /// The same in seconds since the epoch.
    pub time: f64,
    pub stats: Stats,
    pub sockets: Vec<Socket>,
    /// True if there are more connections than `sockets`.
    pub is_cut: bool,
    /// CPU seconds of each worker, if the daemon's threads are visible.
    pub cpu: Vec<Option<f64>>,
}

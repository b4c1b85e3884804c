//! Handle for the statistics of an AF_XDP socket.

use std::os::fd::OwnedFd;
use std::sync::Arc;

use rustix::net::sockopt::xdp_statistics;

use crate::capture::statistics::{Received, Tally};

/// Second descriptor of a socket, for its statistics. It keeps the socket open, and must be dropped with it.
#[derive(Debug)]
pub struct Probe {
    fd: OwnedFd,
    tally: Arc<Tally>,
}

impl Probe {
    pub(super) fn new(fd: OwnedFd, tally: Arc<Tally>) -> Self {
        Self { fd, tally }
    }

    /// Returns the counters. Those of the kernel are 0 when the device is gone.
    #[must_use]
    pub fn read(&self) -> Received {
        let mut received = self.tally.read();
        if let Ok(kernel) = xdp_statistics(&self.fd) {
            received.dropped = kernel.rx_dropped + kernel.rx_invalid_descs;
            received.ring_full = kernel.rx_ring_full.unwrap_or(0);
            received.fill_ring_empty = kernel.rx_fill_ring_empty_descs.unwrap_or(0);
        }
        received
    }
}

//! Queue of flows to shunt and unshunt, from all workers to the supervisor.

use std::io;

use crossbeam_queue::SegQueue;
use monitor_engine::Shunt;
use rustix::fd::{AsFd, BorrowedFd};

use crate::util::notifier::Notifier;

/// Flows that the BPF programs must shunt (skip), or capture again. Requests for one flow arrive in the order in which
/// its worker posted them.
///
/// The queue is unbounded, but traffic cannot fill it. It holds one request for each connection that a client stops,
/// and one a second for each stopped connection that still sends packets.
pub struct Shunts {
    queue: SegQueue<Shunt>,
    notifier: Notifier,
}

impl Shunts {
    /// Creates an empty queue.
    pub fn new() -> io::Result<Self> {
        Ok(Self {
            queue: SegQueue::new(),
            notifier: Notifier::new()?,
        })
    }

    /// Appends a request. Never waits.
    pub fn post(&self, shunt: Shunt) {
        self.queue.push(shunt);
        self.notifier.notify();
    }

    /// Removes and returns all requests.
    pub fn take(&self) -> impl Iterator<Item = Shunt> {
        // Cleared first: a request posted after this line makes the descriptor readable again.
        self.notifier.clear();
        std::iter::from_fn(|| self.queue.pop())
    }
}

impl AsFd for Shunts {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.notifier.as_fd()
    }
}

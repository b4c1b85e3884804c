//! Queue of flows to shunt and unshunt, from all workers to the supervisor.

use std::io;

use crossbeam_queue::SegQueue;
use monitor_engine::Shunt;
use rustix::event::{EventfdFlags, eventfd};
use rustix::fd::{AsFd, BorrowedFd, OwnedFd};

/// Flows that the BPF programs must shunt (skip), or capture again. Requests for one flow arrive in the order in which
/// its worker posted them.
///
/// The queue is unbounded, but traffic cannot fill it. It holds one request for each connection that a client stops,
/// and one a second for each stopped connection that still sends packets.
pub struct Shunts {
    queue: SegQueue<Shunt>,
    /// Readable when a request was posted.
    notifier: OwnedFd,
}

impl Shunts {
    /// Creates an empty queue.
    pub fn new() -> io::Result<Self> {
        let notifier = eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?;
        Ok(Self {
            queue: SegQueue::new(),
            notifier,
        })
    }

    /// Appends a request. Never waits.
    pub fn post(&self, shunt: Shunt) {
        self.queue.push(shunt);
        // Fails only when the counter is at its maximum; then the descriptor is readable already.
        let _ = rustix::io::write(&self.notifier, &1_u64.to_ne_bytes());
    }

    /// Removes and returns all requests.
    pub fn take(&self) -> impl Iterator<Item = Shunt> {
        // Reset first: a request posted after this line makes the descriptor readable again.
        let _ = rustix::io::read(&self.notifier, &mut [0; 8]);
        std::iter::from_fn(|| self.queue.pop())
    }
}

impl AsFd for Shunts {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.notifier.as_fd()
    }
}

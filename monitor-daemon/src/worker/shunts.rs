//! What workers would have the capture leave alone.

use std::io;

use crossbeam_queue::SegQueue;
use monitor_engine::Shunt;
use rustix::event::{EventfdFlags, eventfd};
use rustix::fd::{AsFd, BorrowedFd, OwnedFd};

/// Flows whose packets nobody wants any more, or wants again, from all workers to whoever keeps the programs. A flow's
/// own come in the order in which its worker said them. There are as many as clients stop connections, and one a second
/// for each of those that go on coming: nobody on the wire can make them more.
pub struct Shunts {
    queue: SegQueue<Shunt>,
    /// Readable when something was posted.
    bell: OwnedFd,
}

impl Shunts {
    /// None yet.
    pub fn new() -> io::Result<Self> {
        let bell = eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?;
        Ok(Self {
            queue: SegQueue::new(),
            bell,
        })
    }

    /// Hands one on. Never waits.
    pub fn post(&self, shunt: Shunt) {
        self.queue.push(shunt);
        // Fails when the counter is at its end only, and then it rings already.
        let _ = rustix::io::write(&self.bell, &1_u64.to_ne_bytes());
    }

    /// All that came.
    pub fn take(&self) -> impl Iterator<Item = Shunt> {
        // First the bell: what comes after it rings again.
        let _ = rustix::io::read(&self.bell, &mut [0; 8]);
        std::iter::from_fn(|| self.queue.pop())
    }
}

impl AsFd for Shunts {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.bell.as_fd()
    }
}

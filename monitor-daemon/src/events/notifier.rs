//! What workers ring when there is something on a queue.

use std::io;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering::SeqCst;

use crossbeam_queue::SegQueue;
use rustix::event::{EventfdFlags, eventfd};
use rustix::fd::{AsFd, BorrowedFd, OwnedFd};

use super::Subscriber;

/// One for all who listen in a process, answered by one of them. A descriptor rather than a waker of the runtime: that
/// would take locks of the runtime on the worker's thread, and their holder may be off its core.
#[derive(Debug)]
pub struct Notifier {
    fd: OwnedFd,
    /// Somebody is about to sleep, or sleeps, until it rings.
    armed: AtomicBool,
    /// What workers do not need any more: freeing it is not their business.
    returned: SegQueue<Box<Subscriber>>,
}

/// The kernel refused a notifier.
#[derive(Debug, thiserror::Error)]
#[error("cannot make an event descriptor for those who listen to events")]
pub struct NotifierError(#[source] io::Error);

impl Notifier {
    /// One that does not ring.
    pub fn new() -> Result<Self, NotifierError> {
        let fd = eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK);
        let fd = fd.map_err(|errno| NotifierError(errno.into()))?;
        Ok(Self {
            fd,
            armed: AtomicBool::new(false),
            returned: SegQueue::new(),
        })
    }

    /// Readable when it was rung.
    pub fn fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }

    /// Stops the ringing, and has the next news ring again. After this, look at all queues, then sleep until it rings:
    /// what is announced after the look rings.
    pub fn arm(&self) {
        let _ = rustix::io::read(&self.fd, &mut [0; 8]);
        // Either the worker's look at this comes later, and it rings; or its news were announced before it, and the
        // look at the lines that follows finds them.
        self.armed.store(true, SeqCst);
        while let Some(listener) = self.returned.pop() {
            drop(listener);
        }
    }

    /// After something was announced on a queue. A system call at most once for each time that somebody sleeps.
    pub(super) fn ring(&self) {
        if self.armed.load(SeqCst) && self.armed.swap(false, SeqCst) {
            // Fails when the counter is at its end only, and then it rings already.
            let _ = rustix::io::write(&self.fd, &1_u64.to_ne_bytes());
        }
    }

    pub(super) fn give_back(&self, listener: Box<Subscriber>) {
        self.returned.push(listener);
        self.ring();
    }
}

//! Notifier of event queues: wakes the dispatcher.

use std::io;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering::SeqCst;

use crossbeam_queue::SegQueue;
use rustix::event::{EventfdFlags, eventfd};
use rustix::fd::{AsFd, BorrowedFd, OwnedFd};

use super::Subscriber;

/// Eventfd that all queues of a process share, with one dispatcher. Waking a task of the runtime instead would
/// take locks of the runtime on the worker's thread, and their holder may be off its core.
#[derive(Debug)]
pub struct Notifier {
    fd: OwnedFd,
    /// The dispatcher sleeps, or is about to.
    armed: AtomicBool,
    /// Subscribers that workers have removed. They are freed by the dispatcher, not on a worker's thread.
    returned: SegQueue<Box<Subscriber>>,
}

/// The kernel refused an eventfd.
#[derive(Debug, thiserror::Error)]
#[error("cannot make an event descriptor for those who listen to events")]
pub struct NotifierError(#[source] io::Error);

impl Notifier {
    /// Creates a notifier that isn't armed.
    pub fn new() -> Result<Self, NotifierError> {
        let fd = eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK);
        let fd = fd.map_err(|errno| NotifierError(errno.into()))?;
        Ok(Self {
            fd,
            armed: AtomicBool::new(false),
            returned: SegQueue::new(),
        })
    }

    /// Returns the descriptor, which is readable after a notification.
    pub fn fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }

    /// Clears the descriptor and arms it for the next notification. The caller then checks all queues, and
    /// sleeps until the descriptor is readable: an announcement after the check makes it readable.
    pub fn arm(&self) {
        let _ = rustix::io::read(&self.fd, &mut [0; 8]);
        // Either the worker reads this flag later, and notifies. Or it announced before it read the flag,
        // and the check of the queues that follows sees the announcement.
        self.armed.store(true, SeqCst);
        while let Some(listener) = self.returned.pop() {
            drop(listener);
        }
    }

    /// Notifies after an announcement on a queue. At most one system call for each time that the dispatcher
    /// sleeps.
    pub(super) fn notify(&self) {
        if self.armed.load(SeqCst) && self.armed.swap(false, SeqCst) {
            // Fails only when the counter is at its maximum, and then the descriptor is readable.
            let _ = rustix::io::write(&self.fd, &1_u64.to_ne_bytes());
        }
    }

    pub(super) fn give_back(&self, listener: Box<Subscriber>) {
        self.returned.push(listener);
        self.notify();
    }
}

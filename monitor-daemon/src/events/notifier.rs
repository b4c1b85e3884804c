//! Notifier of event queues: wakes the dispatcher.

use std::io;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering::SeqCst;

use crossbeam_queue::SegQueue;
use rustix::fd::{AsFd, BorrowedFd};

use crate::util::notifier::Notifier;

/// Notifier that all queues of a process share, with one dispatcher. Waking a task of the runtime instead would
/// take locks of the runtime on the worker's thread, and their holder may be off its core.
#[derive(Debug)]
pub struct EventNotifier {
    notifier: Notifier,
    /// The dispatcher sleeps, or is about to.
    armed: AtomicBool,
    /// Subscribers that workers have removed. They are freed by the dispatcher, not on a worker's thread.
    returned: SegQueue<Box<dyn Send>>,
}

impl EventNotifier {
    /// Creates a notifier that isn't armed.
    ///
    /// # Errors
    /// The kernel's error, if it refuses a descriptor.
    pub fn new() -> io::Result<Self> {
        Ok(Self {
            notifier: Notifier::new()?,
            armed: AtomicBool::new(false),
            returned: SegQueue::new(),
        })
    }

    /// Clears the descriptor and arms it for the next notification. The caller then checks all queues, and
    /// sleeps until the descriptor is readable: an announcement after the check makes it readable.
    pub fn arm(&self) {
        self.notifier.clear();
        // Either the worker reads this flag later, and notifies. Or it announced before it read the flag,
        // and the check of the queues that follows sees the announcement.
        self.armed.store(true, SeqCst);
        while let Some(subscriber) = self.returned.pop() {
            drop(subscriber);
        }
    }

    /// Notifies after an announcement on a queue. At most one system call for each time that the dispatcher
    /// sleeps.
    pub(super) fn notify(&self) {
        if self.armed.load(SeqCst) && self.armed.swap(false, SeqCst) {
            self.notifier.notify();
        }
    }

    pub(super) fn give_back(&self, subscriber: Box<dyn Send>) {
        self.returned.push(subscriber);
        self.notify();
    }
}

impl AsFd for EventNotifier {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.notifier.as_fd()
    }
}

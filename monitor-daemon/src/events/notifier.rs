//! Notifier of event logs: wakes the dispatcher.

use std::io;
use std::sync::atomic::Ordering::SeqCst;
use std::sync::atomic::{AtomicBool, fence};

use crossbeam_queue::SegQueue;
use rustix::fd::{AsFd, BorrowedFd};

use crate::util::notifier::Notifier;

/// Notifier that all logs of a process share, with one dispatcher. Waking a task of the runtime instead would
/// take locks of the runtime on the worker's thread, and their holder may be off its core.
#[derive(Debug)]
pub struct EventNotifier {
    notifier: Notifier,
    /// The dispatcher sleeps, or is about to.
    armed: AtomicBool,
    /// Memory that workers no longer need. It is freed by the dispatcher, not on a worker's thread.
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

    /// Clears the descriptor and arms it for the next notification. The caller then checks all logs, and sleeps until
    /// the descriptor is readable: an event after the check makes it readable.
    pub fn arm(&self) {
        self.notifier.clear();
        self.armed.store(true, SeqCst);
        // Either the worker reads the flag later, and notifies. Or it wrote the event before it read the flag, and the
        // check of the logs that follows sees the event: the fence in `notify` is the counterpart.
        fence(SeqCst);
        while let Some(memory) = self.returned.pop() {
            drop(memory);
        }
    }

    /// Notifies of new events in a log. At most one system call for each time that the dispatcher sleeps.
    pub(super) fn notify(&self) {
        fence(SeqCst);
        if self.armed.load(SeqCst) && self.armed.swap(false, SeqCst) {
            self.notifier.notify();
        }
    }

    pub(super) fn give_back(&self, memory: Box<dyn Send>) {
        self.returned.push(memory);
        self.notify();
    }
}

impl AsFd for EventNotifier {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.notifier.as_fd()
    }
}

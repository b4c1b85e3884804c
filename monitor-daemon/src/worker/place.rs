//! A live worker's place: its mailbox, and the sources that others hand to it.

use std::sync::{Arc, mpsc};

use crossbeam_queue::SegQueue;

use crate::control::Mailbox;

/// Where sources are handed to a worker. Handing over never waits for the worker.
pub struct Place<S> {
    mailbox: Arc<Mailbox>,
    changes: SegQueue<Change<S>>,
}

/// What becomes of a worker's sources.
pub(super) enum Change<S> {
    /// Read this one, too.
    Add { port: u64, source: S },
    /// Close all sources of a port.
    Remove {
        port: u64,
        /// Dropped when they are closed.
        gone: mpsc::Sender<()>,
    },
}

impl<S> Place<S> {
    /// Without any source yet.
    #[must_use]
    pub fn new(mailbox: Arc<Mailbox>) -> Self {
        Self {
            mailbox,
            changes: SegQueue::new(),
        }
    }

    /// Its worker's mailbox.
    #[must_use]
    pub fn mailbox(&self) -> &Mailbox {
        &self.mailbox
    }

    /// Has the worker read this source, too. `port` is a name for [`Place::remove`].
    pub fn add(&self, port: u64, source: S) {
        self.change(Change::Add { port, source });
    }

    /// Has the worker close all sources that were added under the name `port`; `gone` is dropped when they are.
    pub fn remove(&self, port: u64, gone: mpsc::Sender<()>) {
        self.change(Change::Remove { port, gone });
    }

    pub(super) fn next_change(&self) -> Option<Change<S>> {
        self.changes.pop()
    }

    fn change(&self, change: Change<S>) {
        self.changes.push(change);
        self.mailbox.ring();
    }
}

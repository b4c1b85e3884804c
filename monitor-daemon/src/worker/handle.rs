//! Handle of a live worker: its command queue, and the sources that the supervisor adds and removes.

use std::sync::{Arc, mpsc};

use crossbeam_queue::SegQueue;

use crate::control::CommandQueue;

/// Adds sources to a worker and removes them. No call waits for the worker.
pub struct WorkerHandle<S> {
    command_queue: Arc<CommandQueue>,
    changes: SegQueue<Change<S>>,
}

/// Change to the sources of a worker.
pub(super) enum Change<S> {
    Add {
        device: u64,
        source: S,
    },
    /// Closes all sources of a device.
    Remove {
        device: u64,
        /// Dropped when they are closed.
        closed: mpsc::Sender<()>,
    },
}

impl<S> WorkerHandle<S> {
    /// Creates a handle without sources.
    #[must_use]
    pub fn new(command_queue: Arc<CommandQueue>) -> Self {
        Self {
            command_queue,
            changes: SegQueue::new(),
        }
    }

    /// Returns the worker's command queue.
    #[must_use]
    pub fn command_queue(&self) -> &CommandQueue {
        &self.command_queue
    }

    /// Adds a source. `device` is the key for [`WorkerHandle::remove`].
    pub fn add(&self, device: u64, source: S) {
        self.change(Change::Add { device, source });
    }

    /// Closes all sources that were added under the key `device`, then drops `closed`.
    pub fn remove(&self, device: u64, closed: mpsc::Sender<()>) {
        self.change(Change::Remove { device, closed });
    }

    pub(super) fn next_change(&self) -> Option<Change<S>> {
        self.changes.pop()
    }

    fn change(&self, change: Change<S>) {
        self.changes.push(change);
        self.command_queue.notify();
    }
}

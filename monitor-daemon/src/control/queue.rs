//! Command queue of a worker, which other threads fill.

use std::io;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use crossbeam_queue::{ArrayQueue, SegQueue};
use monitor_engine::Handoff;
use rustix::event::{PollFd, PollFlags, poll};
use rustix::fd::{AsFd, BorrowedFd};
use rustix::time::Timespec;

use super::Command;
use crate::util::notifier::Notifier;

/// Datagrams that may wait for a worker: a burst of fragmented traffic, 64 KiB each at the worst.
const DATAGRAMS: usize = 256;

/// A worker's command queue. Sending never waits for the worker.
#[derive(Debug)]
pub struct CommandQueue {
    /// Set after each send; read by the worker in every round.
    pending: AtomicBool,
    /// Ends the worker's sleep after a send.
    notifier: Notifier,
    commands: SegQueue<Command>,
    datagrams: ArrayQueue<Handoff>,
    lost: AtomicU64,
}

/// The kernel refused an eventfd.
#[derive(Debug, thiserror::Error)]
#[error("cannot make an event descriptor for a worker")]
pub struct CommandQueueError(#[source] io::Error);

impl CommandQueue {
    /// Creates an empty queue.
    pub fn new() -> Result<Self, CommandQueueError> {
        Ok(Self {
            pending: AtomicBool::new(false),
            notifier: Notifier::new().map_err(CommandQueueError)?,
            commands: SegQueue::new(),
            datagrams: ArrayQueue::new(DATAGRAMS),
            lost: AtomicU64::new(0),
        })
    }

    /// Sends a command to the worker.
    pub fn send(&self, command: Command) {
        self.commands.push(command);
        self.notify();
    }

    /// Forwards a datagram; a full queue drops and counts it.
    pub fn post(&self, datagram: Handoff) {
        if self.datagrams.push(datagram).is_err() {
            self.lost.fetch_add(1, Ordering::Relaxed);
        }
        self.notify();
    }

    /// Returns the number of datagrams that a full queue dropped.
    #[must_use]
    pub fn lost(&self) -> u64 {
        self.lost.load(Ordering::Relaxed)
    }

    /// Wakes the worker, for work that is stored elsewhere.
    pub fn notify(&self) {
        self.notifier.notify();
        // After the notification, or the worker could see this, clear an idle notifier, and never sleep again.
        self.pending.store(true, Ordering::Release);
    }

    /// Returns whether something was sent since the last call. It is in the queue then.
    pub fn has_pending(&self) -> bool {
        if !self.pending.load(Ordering::Relaxed) {
            return false;
        }
        // Reset in the reverse order of `notify`, and before the queue is emptied: if this takes the notification of a
        // concurrent sender away, that sender's command is in the queue already.
        self.pending.swap(false, Ordering::AcqRel);
        self.notifier.clear();
        true
    }

    /// Sleeps until something is sent, at most for `at_most`. For the worker's thread.
    pub fn wait(&self, at_most: Option<Duration>) {
        // A time that the system cannot express is waited for without a limit.
        let at_most = at_most.and_then(|time| Timespec::try_from(time).ok());
        let mut list = [PollFd::new(&self.notifier, PollFlags::IN)];
        // An interrupted sleep is only shorter.
        let _ = poll(&mut list, at_most.as_ref());
    }

    /// Returns the descriptor, which is readable after a send.
    pub fn fd(&self) -> BorrowedFd<'_> {
        self.notifier.as_fd()
    }

    pub(super) fn command(&self) -> Option<Command> {
        self.commands.pop()
    }

    pub(super) fn datagram(&self) -> Option<Handoff> {
        self.datagrams.pop()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_box_loses_datagrams_and_counts_them() {
        let command_queue = CommandQueue::new().unwrap();
        for _ in 0..300 {
            command_queue.post(Handoff {
                worker: 0,
                time: 0,
                interface: 0,
                link: monitor_engine::LinkType::Ip,
                data: vec![],
            });
        }
        assert_eq!(command_queue.lost(), 300 - 256);
    }
}

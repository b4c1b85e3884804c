//! What other threads leave for a worker.

use std::io;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use crossbeam_queue::{ArrayQueue, SegQueue};
use monitor_engine::Handoff;
use rustix::event::{EventfdFlags, PollFd, PollFlags, eventfd, poll};
use rustix::fd::{AsFd, BorrowedFd, OwnedFd};
use rustix::time::Timespec;

use super::Command;

/// Datagrams that may wait for a worker: a burst of fragmented traffic, 64 KiB each at the worst.
const DATAGRAMS: usize = 256;

/// A worker's letter box. Posting never waits for the worker.
#[derive(Debug)]
pub struct Mailbox {
    /// Set after something was posted; looked at by the worker in every round.
    pending: AtomicBool,
    /// Readable when something was posted: ends the worker's sleep.
    bell: OwnedFd,
    commands: SegQueue<Command>,
    datagrams: ArrayQueue<Handoff>,
    lost: AtomicU64,
}

/// The kernel refused a bell.
#[derive(Debug, thiserror::Error)]
#[error("cannot make an event descriptor for a worker")]
pub struct MailboxError(#[source] io::Error);

impl Mailbox {
    /// An empty one.
    pub fn new() -> Result<Self, MailboxError> {
        let bell = eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK);
        Ok(Self {
            pending: AtomicBool::new(false),
            bell: bell.map_err(|errno| MailboxError(errno.into()))?,
            commands: SegQueue::new(),
            datagrams: ArrayQueue::new(DATAGRAMS),
            lost: AtomicU64::new(0),
        })
    }

    /// Asks the worker for something.
    pub fn send(&self, command: Command) {
        self.commands.push(command);
        self.ring();
    }

    /// Hands on a datagram; a full box loses and counts it.
    pub fn post(&self, datagram: Handoff) {
        if self.datagrams.push(datagram).is_err() {
            self.lost.fetch_add(1, Ordering::Relaxed);
        }
        self.ring();
    }

    /// Datagrams lost to a full box.
    #[must_use]
    pub fn lost(&self) -> u64 {
        self.lost.load(Ordering::Relaxed)
    }

    /// Has the worker look for what was left for it elsewhere.
    pub fn ring(&self) {
        // Fails when the counter is at its end only, and then it rings already.
        let _ = rustix::io::write(&self.bell, &1_u64.to_ne_bytes());
        // After the bell, or the worker could see this, find no bell to take away, and never sleep again.
        self.pending.store(true, Ordering::Release);
    }

    /// Whether something came since the last call. What did is then in the box.
    pub fn has_mail(&self) -> bool {
        if !self.pending.load(Ordering::Relaxed) {
            return false;
        }
        // Taken back in the reverse order of `ring`, and before the box is emptied: a bell that this takes away from
        // somebody who rings meanwhile is for something that is in the box already.
        self.pending.swap(false, Ordering::AcqRel);
        let _ = rustix::io::read(&self.bell, &mut [0; 8]);
        true
    }

    /// Sleeps until something comes, or for `at_most`. For the worker's thread.
    pub fn wait(&self, at_most: Option<Duration>) {
        // A time that the system cannot express is as good as for ever.
        let at_most = at_most.and_then(|time| Timespec::try_from(time).ok());
        let mut list = [PollFd::new(&self.bell, PollFlags::IN)];
        // An interrupted sleep is a short one.
        let _ = poll(&mut list, at_most.as_ref());
    }

    /// Readable when something came.
    pub fn fd(&self) -> BorrowedFd<'_> {
        self.bell.as_fd()
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
        let mailbox = Mailbox::new().unwrap();
        for _ in 0..300 {
            mailbox.post(Handoff {
                worker: 0,
                time: 0,
                link: monitor_engine::LinkType::Ip,
                data: vec![],
            });
        }
        assert_eq!(mailbox.lost(), 300 - 256);
    }
}

//! What other threads leave for a worker.

use std::{
    io,
    sync::{
        atomic::{AtomicBool, AtomicU64, Ordering},
        mpsc,
    },
};

use crossbeam_queue::{ArrayQueue, SegQueue};
use monitor_engine::Handoff;
use rustix::{
    event::{EventfdFlags, eventfd},
    fd::{AsFd, BorrowedFd, OwnedFd},
};

/// Datagrams that may wait for a worker: a burst of fragmented traffic, 64 KiB each at the worst.
const DATAGRAMS: usize = 256;

/// A worker's letter box. Posting never waits for the worker.
pub struct Mailbox<S> {
    /// Set after something was posted; looked at by the worker in every round.
    pending: AtomicBool,
    /// Readable when something was posted: ends the worker's sleep.
    bell: OwnedFd,
    commands: SegQueue<Command<S>>,
    datagrams: ArrayQueue<Handoff>,
    lost: AtomicU64,
}

/// What a worker can be asked to do.
pub enum Command<S> {
    /// Read this source, too.
    Add {
        /// A name for [`Command::Remove`].
        port: u64,
        /// The source.
        source: S,
    },
    /// Close all sources of a port.
    Remove {
        /// The name they were added under.
        port: u64,
        /// Dropped when they are closed.
        gone: mpsc::Sender<()>,
    },
    /// End.
    Stop,
}

/// The kernel refused a bell.
#[derive(Debug, thiserror::Error)]
#[error("cannot make an event descriptor for a worker")]
pub struct MailboxError(#[source] io::Error);

impl<S> Mailbox<S> {
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
    pub fn send(&self, command: Command<S>) {
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

    /// Whether something came since the last call. What did is then in the box.
    pub(super) fn has_mail(&self) -> bool {
        if !self.pending.load(Ordering::Relaxed) {
            return false;
        }
        // Taken back in the reverse order of `ring`, and before the box is emptied: a bell that this takes away from
        // somebody who rings meanwhile is for something that is in the box already.
        self.pending.swap(false, Ordering::AcqRel);
        let _ = rustix::io::read(&self.bell, &mut [0; 8]);
        true
    }

    pub(super) fn command(&self) -> Option<Command<S>> {
        self.commands.pop()
    }

    pub(super) fn datagram(&self) -> Option<Handoff> {
        self.datagrams.pop()
    }

    pub(super) fn fd(&self) -> BorrowedFd<'_> {
        self.bell.as_fd()
    }

    fn ring(&self) {
        // Fails when the counter is at its end only, and then it rings already.
        let _ = rustix::io::write(&self.bell, &1_u64.to_ne_bytes());
        // After the bell, or the worker could see this, find no bell to take away, and never sleep again.
        self.pending.store(true, Ordering::Release);
    }
}

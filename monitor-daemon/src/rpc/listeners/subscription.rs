//! A listener's end of the lines from the workers.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use monitor_rpc::ErrorObject;
use tokio::sync::Notify;

use super::super::fault;
use super::super::memory::Lease;
use super::super::serve::Shared;
use super::switchboard::{Ear, Switchboard};
use crate::control::{Command, Mailboxes};
use crate::events::{Interest, Line, Listener, Tail, Told, Whose};

/// Listens until it is dropped.
pub(in super::super) struct Subscription {
    number: u64,
    board: Arc<Switchboard>,
    mailboxes: Mailboxes,
    /// One for each worker that may have something to tell.
    tails: Vec<(u16, Tail)>,
    /// The tail that comes next, so that no worker is heard at the cost of another.
    turn: usize,
    ready: Arc<AtomicBool>,
    _memory: Option<Lease>,
}

impl Subscription {
    /// Has the workers tell of what is of interest; returns when they all do: what happens from then on is heard.
    ///
    /// `queue`: notes that may wait for each worker, beyond which they are lost and counted; `None`: there are no notes,
    /// just wake-ups. `wake` is notified when there is something.
    pub(in super::super) async fn start(
        shared: &Shared,
        interest: &Interest,
        queue: Option<usize>,
        wake: &Arc<Notify>,
    ) -> Result<Self, ErrorObject> {
        let board = &shared.board;
        let workers = match interest.whose {
            Whose::One(id) => id.worker()..id.worker() + 1,
            _ => 0..shared.status.mailboxes.workers(),
        };
        let bytes = queue
            .unwrap_or(0)
            .saturating_mul(Line::NOTE)
            .saturating_mul(workers.len());
        let memory = if bytes > 0 {
            Some(
                board
                    .memory
                    .lease(bytes)
                    .ok_or_else(fault::no_event_memory)?,
            )
        } else {
            None
        };
        let lines: Vec<_> = workers.clone().map(|_| Line::new(queue)).collect();
        let ready = Arc::new(AtomicBool::new(true));
        let ear = Ear {
            lines: lines.clone(),
            ready: Arc::clone(&ready),
            wake: Arc::clone(wake),
        };
        let number = board.add(ear).ok_or_else(fault::too_many_listeners)?;
        let mut this = Self {
            number,
            board: Arc::clone(board),
            mailboxes: shared.status.mailboxes.clone(),
            tails: Vec::new(),
            turn: 0,
            ready,
            _memory: memory,
        };
        for (worker, line) in workers.zip(lines) {
            let reader = shared.status.readers.get(usize::from(worker));
            let slots = reader.map_or(0, monitor_engine::Reader::slots);
            let listener = Listener::new(
                number,
                interest,
                slots,
                Arc::clone(&line),
                Arc::clone(board.bell()),
            );
            // Before it is asked: whatever comes of it, it is told to forget.
            this.tails.push((worker, Tail::new(line)));
            let asked = this
                .mailboxes
                .ask(worker, |answer| Command::Listen { listener, answer });
            asked.await.map_err(fault::unanswered)?;
        }
        Ok(this)
    }

    /// Its name.
    pub(in super::super) fn number(&self) -> u64 {
        self.number
    }

    /// Whether there was something since the last call. Then take all there is.
    pub(in super::super) fn take_ready(&self) -> bool {
        self.ready.swap(false, Ordering::AcqRel)
    }

    pub(in super::super) fn is_ready(&self) -> bool {
        self.ready.load(Ordering::Acquire)
    }

    /// A note or loss of any worker, each worker's in their order; `None`: there is none now.
    pub(in super::super) fn next(&mut self) -> Option<Told> {
        for _ in 0..self.tails.len() {
            let told = self.tails[self.turn].1.next();
            if told.is_some() {
                return told;
            }
            self.turn = (self.turn + 1) % self.tails.len();
        }
        None
    }
}

impl Drop for Subscription {
    fn drop(&mut self) {
        for (worker, _) in &self.tails {
            if let Some(mailbox) = self.mailboxes.get(*worker) {
                mailbox.send(Command::Forget {
                    listener: self.number,
                });
            }
        }
        self.board.remove(self.number);
    }
}

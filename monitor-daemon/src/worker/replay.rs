//! Worker that reads capture files, and continues to run commands after their end.

use std::sync::Arc;

use crate::capture::replay::Replay;
use crate::control::{Engine, Mailbox, attend};

/// Thread of a replay.
pub struct ReplayWorker {
    engine: Engine,
    index: u16,
    mailbox: Arc<Mailbox>,
}

impl ReplayWorker {
    /// Creates the worker with number `index` of the replay.
    #[must_use]
    pub fn new(engine: Engine, index: u16, mailbox: Arc<Mailbox>) -> Self {
        Self {
            engine,
            index,
            mailbox,
        }
    }

    /// Reads the files, calls `on_end` at their end, and runs commands until it receives the one to stop.
    pub fn run(mut self, files: &Replay, on_end: impl FnOnce()) {
        let mailbox = &self.mailbox;
        let mut running = true;
        files.run(self.index, &mut self.engine, &mut |engine, left| {
            if !left.is_zero() {
                mailbox.wait(Some(left));
            }
            running = running && attend(engine, mailbox);
            // No BPF program runs here that could shunt a connection.
            drop(engine.shunts());
            running
        });
        on_end();
        while running {
            mailbox.wait(None);
            running = attend(&mut self.engine, mailbox);
        }
    }
}

//! A worker that reads capture files, and goes on seeing to its mail when they are over.

use std::sync::Arc;

use crate::capture::replay::Replay;
use crate::control::{Engine, Mailbox, attend};

/// One thread's worth of a replay.
pub struct ReplayWorker {
    engine: Engine,
    index: u16,
    mailbox: Arc<Mailbox>,
}

impl ReplayWorker {
    /// The worker at place `index` among those of the replay.
    #[must_use]
    pub fn new(engine: Engine, index: u16, mailbox: Arc<Mailbox>) -> Self {
        Self {
            engine,
            index,
            mailbox,
        }
    }

    /// Reads the files, calls `read` at their end, and works on until it is told to stop.
    pub fn run(mut self, files: &Replay, read: impl FnOnce()) {
        let mailbox = &self.mailbox;
        let mut going = true;
        files.run(self.index, &mut self.engine, &mut |engine, left| {
            if !left.is_zero() {
                mailbox.wait(Some(left));
            }
            going = going && attend(engine, mailbox);
            // A file's packets come whether anybody wants them or not.
            drop(engine.shunts());
            going
        });
        read();
        while going {
            mailbox.wait(None);
            going = attend(&mut self.engine, mailbox);
        }
    }
}

//! Worker that reads capture files, and continues to run commands after their end.

use std::sync::Arc;

use crate::capture::replay::Replay;
use crate::control::{CommandQueue, Engine, run_pending};

/// Thread of a replay.
pub struct ReplayWorker {
    engine: Engine,
    index: u16,
    command_queue: Arc<CommandQueue>,
}

impl ReplayWorker {
    /// Creates the worker with number `index` of the replay.
    #[must_use]
    pub fn new(engine: Engine, index: u16, command_queue: Arc<CommandQueue>) -> Self {
        Self {
            engine,
            index,
            command_queue,
        }
    }

    /// Reads the files, calls `on_end` at their end, and runs commands until it receives the one to stop.
    pub fn run(mut self, files: &Replay, on_end: impl FnOnce()) {
        let command_queue = &self.command_queue;
        let mut running = true;
        files.run(self.index, &mut self.engine, &mut |engine, left| {
            if !left.is_zero() {
                command_queue.wait(Some(left));
            }
            running = running && run_pending(engine, command_queue);
            // No BPF program runs here that could shunt a connection.
            drop(engine.shunts());
            running
        });
        on_end();
        while running {
            command_queue.wait(None);
            running = run_pending(&mut self.engine, command_queue);
        }
    }
}

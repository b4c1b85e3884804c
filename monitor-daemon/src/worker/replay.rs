//! Worker that reads captures, and continues to run commands after their end.

use std::sync::Arc;
use std::time::Duration;

use super::cpu_time::CpuTime;
use crate::capture::replay::{Replay, ReplayError};
use crate::control::{CommandQueue, Engine, run_pending};
use crate::util::clock::now;

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

    /// Reads the captures, calls `on_end` at their end, and runs commands until it receives the one to stop.
    pub fn run(mut self, captures: &Replay, on_end: impl FnOnce(Result<(), ReplayError>)) {
        let command_queue = &self.command_queue;
        let waker = Arc::clone(command_queue);
        let mut running = true;
        let mut cpu_time = CpuTime::default();
        let mut idle_hook = |engine: &mut Engine, left: Duration| {
            if !left.is_zero() {
                command_queue.wait(Some(left));
            }
            running = running && run_pending(engine, command_queue);
            cpu_time.sample(now(), engine);
            // No BPF program runs here that could shunt a connection.
            drop(engine.shunts());
            running
        };
        let result = captures.run(self.index, &mut self.engine, &mut idle_hook, move || {
            waker.notify();
        });
        on_end(result);
        while running {
            command_queue.wait(None);
            running = run_pending(&mut self.engine, command_queue);
        }
    }
}

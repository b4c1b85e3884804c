//! Engines on threads that run their commands, as workers do, while a test gives them packets.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use monitor_daemon::control::{Command, CommandQueue, Engine, run_pending};
use monitor_daemon::status::Status;

use super::status;

/// A thread for each engine sees to its mail until this is dropped.
pub struct EngineThreads {
    engines: Vec<Arc<Mutex<Engine>>>,
    command_queues: Vec<Arc<CommandQueue>>,
    threads: Vec<JoinHandle<()>>,
}

impl EngineThreads {
    /// Starts the threads; also returns the status for a server of these engines.
    pub fn start(engines: Vec<Engine>) -> (Self, Status) {
        let status = status(&engines);
        let command_queues: Vec<_> = status.command_queues.iter().cloned().collect();
        let engines: Vec<_> = engines
            .into_iter()
            .map(|engine| Arc::new(Mutex::new(engine)))
            .collect();
        let threads = engines
            .iter()
            .zip(&command_queues)
            .map(|(engine, command_queue)| {
                let (engine, command_queue) = (Arc::clone(engine), Arc::clone(command_queue));
                std::thread::spawn(move || {
                    while run_pending(&mut lock(&engine), &command_queue) {
                        command_queue.wait(Some(Duration::from_secs(1)));
                    }
                })
            });
        let threads = threads.collect();
        (
            Self {
                engines,
                command_queues,
                threads,
            },
            status,
        )
    }

    /// Locks an engine.
    pub fn engine(&self, worker: usize) -> MutexGuard<'_, Engine> {
        lock(&self.engines[worker])
    }

    /// Calls a function with an engine, for example to give it packets.
    pub fn with<T>(&self, worker: usize, deed: impl FnOnce(&mut Engine) -> T) -> T {
        deed(&mut self.engine(worker))
    }
}

fn lock(engine: &Mutex<Engine>) -> MutexGuard<'_, Engine> {
    engine.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Drop for EngineThreads {
    fn drop(&mut self) {
        self.command_queues
            .iter()
            .for_each(|command_queue| command_queue.send(Command::Stop));
        for thread in self.threads.drain(..) {
            let _ = thread.join();
        }
    }
}

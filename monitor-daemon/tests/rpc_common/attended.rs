//! Engines on threads that run their commands, as workers do, while a test gives them packets.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use monitor_daemon::control::{Command, Engine, Mailbox, attend};
use monitor_daemon::status::Status;

use super::status;

/// A thread for each engine sees to its mail until this is dropped.
pub struct Attended {
    engines: Vec<Arc<Mutex<Engine>>>,
    mailboxes: Vec<Arc<Mailbox>>,
    threads: Vec<JoinHandle<()>>,
}

impl Attended {
    /// Starts the threads; also returns the status for a server of these engines.
    pub fn start(engines: Vec<Engine>) -> (Self, Status) {
        let status = status(&engines);
        let mailboxes: Vec<_> = status.mailboxes.iter().cloned().collect();
        let engines: Vec<_> = engines
            .into_iter()
            .map(|engine| Arc::new(Mutex::new(engine)))
            .collect();
        let threads = engines.iter().zip(&mailboxes).map(|(engine, mailbox)| {
            let (engine, mailbox) = (Arc::clone(engine), Arc::clone(mailbox));
            std::thread::spawn(move || {
                while attend(&mut lock(&engine), &mailbox) {
                    mailbox.wait(Some(Duration::from_secs(1)));
                }
            })
        });
        let threads = threads.collect();
        (
            Self {
                engines,
                mailboxes,
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

impl Drop for Attended {
    fn drop(&mut self) {
        self.mailboxes
            .iter()
            .for_each(|mailbox| mailbox.send(Command::Stop));
        for thread in self.threads.drain(..) {
            let _ = thread.join();
        }
    }
}

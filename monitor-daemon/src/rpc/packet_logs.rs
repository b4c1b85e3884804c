//! Packet logs of all workers: created for the first capture, removed after the last.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::runtime::Handle;

use crate::control::{Command, CommandQueues, Unanswered};
use crate::packets::PacketLog;

/// Size of the logs of all workers together, in bytes.
const ALL: usize = 64 << 20;
/// Smallest log of a worker.
const LEAST: usize = 4 << 20;

/// Packet logs, shared by all captures.
#[derive(Debug)]
pub(crate) struct PacketLogs {
    command_queues: CommandQueues,
    registry: Mutex<Registry>,
}

#[derive(Debug, Default)]
struct Registry {
    captures: usize,
    /// One for each worker while there is a capture.
    logs: Vec<Arc<PacketLog>>,
}

/// Share of a capture in the logs; dropping it ends the capture.
#[derive(Debug)]
pub(crate) struct Captured {
    owner: Arc<PacketLogs>,
    /// Logs that the capture reads.
    pub(crate) logs: Vec<Arc<PacketLog>>,
}

impl Captured {
    /// Keeps the log of one worker; `None`: of all.
    #[must_use]
    pub(crate) fn of(mut self, worker: Option<u16>) -> Self {
        if let Some(worker) = worker {
            self.logs = self
                .logs
                .get(usize::from(worker))
                .cloned()
                .into_iter()
                .collect();
        }
        self
    }
}

impl PacketLogs {
    /// Creates the registry for workers.
    #[must_use]
    pub(crate) fn new(command_queues: CommandQueues) -> Arc<Self> {
        Arc::new(Self {
            command_queues,
            registry: Mutex::default(),
        })
    }

    /// Returns the memory of all logs, in bytes.
    #[must_use]
    pub(crate) fn memory(&self) -> usize {
        usize::from(self.command_queues.workers()) * self.size()
    }

    fn size(&self) -> usize {
        let workers = usize::from(self.command_queues.workers()).max(1);
        (ALL / workers).next_power_of_two().clamp(LEAST, ALL / 2)
    }

    /// Starts a capture: on return all workers write their packets.
    ///
    /// # Errors
    /// [`Unanswered`].
    pub(crate) async fn capture(self: &Arc<Self>) -> Result<Captured, Unanswered> {
        let mut new = Vec::new();
        if self.registry().captures == 0 {
            // The kernel clears the memory, which takes milliseconds.
            let (workers, size) = (self.command_queues.workers(), self.size());
            let create = move || {
                (0..workers)
                    .map(|_| Arc::new(PacketLog::new(size)))
                    .collect()
            };
            new = tokio::task::spawn_blocking(create)
                .await
                .unwrap_or_default();
        }
        let (captured, answers) = {
            let mut registry = self.registry();
            registry.captures += 1;
            let mut answers = Vec::new();
            if registry.captures == 1 {
                for worker in 0..self.command_queues.workers() {
                    let log = new
                        .pop()
                        .unwrap_or_else(|| Arc::new(PacketLog::new(self.size())));
                    registry.logs.push(Arc::clone(&log));
                    answers.push((worker, self.request(worker, Some(log))));
                }
            }
            let logs = registry.logs.clone();
            let owner = Arc::clone(self);
            (Captured { owner, logs }, answers)
        };
        for (worker, answer) in answers {
            let answer = answer.ok_or(Unanswered { worker })?;
            drop(CommandQueues::answer(worker, answer).await?);
        }
        Ok(captured)
    }

    /// Replaces the log of a worker. The answer is the previous one, to be freed here.
    fn request(
        &self,
        worker: u16,
        log: Option<Arc<PacketLog>>,
    ) -> Option<tokio::sync::oneshot::Receiver<Option<Arc<PacketLog>>>> {
        self.command_queues
            .request(worker, |answer| Command::SetPacketLog { log, answer })
    }

    fn registry(&self) -> MutexGuard<'_, Registry> {
        // A panic leaves a valid registry behind.
        self.registry.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Captured {
    fn drop(&mut self) {
        let mut registry = self.owner.registry();
        registry.captures -= 1;
        if registry.captures > 0 {
            return;
        }
        let logs = std::mem::take(&mut registry.logs);
        let workers = 0..self.owner.command_queues.workers();
        let answers: Vec<_> = workers
            .map(|worker| self.owner.request(worker, None))
            .collect();
        drop(registry);
        // The logs are kept until no worker has one, so that no worker frees memory.
        if let Ok(runtime) = Handle::try_current() {
            runtime.spawn(async move {
                for answer in answers.into_iter().flatten() {
                    drop(answer.await);
                }
                drop(logs);
            });
        }
    }
}

//! Command queues of all workers.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::oneshot;

use super::{Answer, Command, CommandQueue, CommandQueueError};

/// Longest time for an answer. A worker reads its queue many times a second; one that takes longer hangs or has ended.
pub const PATIENCE: Duration = Duration::from_secs(5);

/// Queue of each worker, in their order. Cheap to clone.
#[derive(Clone, Debug)]
pub struct CommandQueues(Arc<[Arc<CommandQueue>]>);

/// A worker did not answer in time: it hangs, or has ended with the daemon.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("worker {worker} does not answer; the daemon is stopping, or its log says what is wrong")]
pub struct Unanswered {
    /// Index of the worker.
    pub worker: u16,
}

impl CommandQueues {
    /// Creates empty queues.
    pub fn new(workers: u16) -> Result<Self, CommandQueueError> {
        let boxes = (0..workers).map(|_| CommandQueue::new().map(Arc::new));
        Ok(Self(boxes.collect::<Result<_, _>>()?))
    }

    /// Returns the number of workers.
    #[must_use]
    pub fn workers(&self) -> u16 {
        self.0.len() as u16
    }

    /// Returns a worker's queue, if there is such a worker.
    #[must_use]
    pub fn get(&self, worker: u16) -> Option<&Arc<CommandQueue>> {
        self.0.get(usize::from(worker))
    }

    /// Iterates over all queues.
    pub fn iter(&self) -> impl Iterator<Item = &Arc<CommandQueue>> {
        self.0.iter()
    }

    /// Sends a command to a worker and waits for its answer, for a bounded time.
    pub async fn ask<T>(
        &self,
        worker: u16,
        command: impl FnOnce(Answer<T>) -> Command,
    ) -> Result<T, Unanswered> {
        let answered = self.request(worker, command).ok_or(Unanswered { worker })?;
        Self::answer(worker, answered).await
    }

    /// Sends a command to a worker. Returns the channel of its answer, or `None` if there is no such worker.
    pub fn request<T>(
        &self,
        worker: u16,
        command: impl FnOnce(Answer<T>) -> Command,
    ) -> Option<oneshot::Receiver<T>> {
        let (answer, answered) = oneshot::channel();
        self.get(worker)?.send(command(answer));
        Some(answered)
    }

    /// Waits for the answer of a worker, for a bounded time.
    pub async fn answer<T>(worker: u16, answered: oneshot::Receiver<T>) -> Result<T, Unanswered> {
        match tokio::time::timeout(PATIENCE, answered).await {
            Ok(Ok(answer)) => Ok(answer),
            Ok(Err(_)) | Err(_) => Err(Unanswered { worker }),
        }
    }
}

//! The mailboxes of all workers, for those who ask.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::oneshot;

use super::{Answer, Command, Mailbox, MailboxError};

/// A worker that does not answer for so long hangs, or is gone: it sees to its mail many times in each second.
const PATIENCE: Duration = Duration::from_secs(5);

/// One for each worker, in their order. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Mailboxes(Arc<[Arc<Mailbox>]>);

/// A worker did not answer in time: it hangs, or has ended with the daemon.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("worker {worker} does not answer; the daemon is stopping, or its log says what is wrong")]
pub struct Unanswered {
    /// Which one.
    pub worker: u16,
}

impl Mailboxes {
    /// Empty ones.
    pub fn new(workers: u16) -> Result<Self, MailboxError> {
        let boxes = (0..workers).map(|_| Mailbox::new().map(Arc::new));
        Ok(Self(boxes.collect::<Result<_, _>>()?))
    }

    /// How many workers there are.
    #[must_use]
    pub fn workers(&self) -> u16 {
        self.0.len() as u16
    }

    /// A worker's own, if there is such a worker.
    #[must_use]
    pub fn get(&self, worker: u16) -> Option<&Arc<Mailbox>> {
        self.0.get(usize::from(worker))
    }

    /// All of them.
    pub fn iter(&self) -> impl Iterator<Item = &Arc<Mailbox>> {
        self.0.iter()
    }

    /// Asks a worker for something and waits for its answer, for a bounded time.
    pub async fn ask<T>(
        &self,
        worker: u16,
        command: impl FnOnce(Answer<T>) -> Command,
    ) -> Result<T, Unanswered> {
        let (answer, answered) = oneshot::channel();
        let mailbox = self.get(worker).ok_or(Unanswered { worker })?;
        mailbox.send(command(answer));
        match tokio::time::timeout(PATIENCE, answered).await {
            Ok(Ok(answer)) => Ok(answer),
            Ok(Err(_)) | Err(_) => Err(Unanswered { worker }),
        }
    }
}

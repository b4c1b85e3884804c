//! Delivery of changed settings to the workers.

use tokio::runtime::Handle;
use tracing::error;

use crate::config::{ApplyFn, Origin};
use crate::control::{Command, Mailboxes};

/// Returns the function that sends changed settings to all workers and waits until each applies them. To be called on a
/// thread of the runtime that may block.
pub(super) fn to_workers(mailboxes: Mailboxes, origin: Origin, seed: [u64; 2]) -> ApplyFn {
    Box::new(move |config| {
        let workers = mailboxes.workers();
        for worker in 0..workers {
            let config = Box::new(config.engine(origin, worker, workers, seed));
            let asked = mailboxes.ask(worker, |answer| Command::Reconfigure { config, answer });
            if let Err(error) = Handle::current().block_on(asked) {
                error!("{error}; it takes the new settings when it answers again");
            }
        }
    })
}

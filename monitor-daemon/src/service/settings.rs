//! Delivery of changed settings to the workers.

use tokio::runtime::Handle;
use tracing::error;

use crate::config::{ApplyFn, Origin};
use crate::control::{Command, CommandQueues};

/// Returns the function that sends changed settings to all workers and waits until each applies them. To be called on a
/// thread of the runtime that may block.
pub(super) fn to_workers(command_queues: CommandQueues, origin: Origin, seed: [u64; 2]) -> ApplyFn {
    Box::new(move |config| {
        let workers = command_queues.workers();
        for worker in 0..workers {
            let config = Box::new(config.engine(origin, worker, workers, seed));
            let asked =
                command_queues.ask(worker, |answer| Command::Reconfigure { config, answer });
            if let Err(error) = Handle::current().block_on(asked) {
                error!("{error}; it takes the new settings when it answers again");
            }
        }
    })
}

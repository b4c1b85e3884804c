//! Commands from other threads to a worker.
//!
//! Every worker has a [`CommandQueue`] and reads it between two batches of packets: a live one in each round, a replay between
//! the pieces of its files, while it waits for recorded time to pass, and after their end. The packet path only checks a
//! flag once in each batch.
//!
//! To add a command: a variant of [`Command`] with plain values and, if it has a result, an [`Answer`]; an arm in
//! `Command::run` that applies it to the worker's engine. It runs on the worker's thread, so it takes microseconds,
//! neither waits nor allocates much, and sends its answer last. Callers hold the [`CommandQueues`]:
//! `command_queues.ask(worker, |answer| Command::Something { id, answer }).await`.
//!
//! **Invariant:** a caller never waits for a worker's lock, and a worker never waits for a caller: the answer to a caller
//! that has left is dropped.

mod command;
mod queue;
mod queues;
mod run;

pub use command::{Answer, Command, Engine};
pub use queue::{CommandQueue, CommandQueueError};
pub use queues::{CommandQueues, PATIENCE, Unanswered};
pub use run::{run_commands, run_pending};

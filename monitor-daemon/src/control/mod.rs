//! How other threads reach a worker: its mailbox, and what can be asked through it.
//!
//! Every worker has a [`Mailbox`], whatever feeds it, and sees to it between two batches of packets: a live one in each
//! round, a replay between the pieces of its files, while it waits for recorded time to pass, and after their end.
//! The packet path itself knows nothing of it but one look at a flag for each batch.
//!
//! To add a command: a variant of [`Command`] with plain values and, if somebody waits for what comes of it, an
//! [`Answer`]; an arm in [`Command::perform`] that does it with the worker's engine. It runs on the worker's thread, so
//! it takes microseconds, neither waits nor allocates much, and sends its answer last. Who asks holds the [`Mailboxes`]:
//! `mailboxes.ask(worker, |answer| Command::Something { id, answer }).await`.
//!
//! **Architecture invariant:** asking never waits for a worker's lock, and a worker never waits for who asks: an answer
//! that nobody wants any more is dropped.

mod command;
mod mailbox;
mod mailboxes;
mod run;

pub use command::{Answer, Command, Engine};
pub use mailbox::{Mailbox, MailboxError};
pub use mailboxes::{Mailboxes, Unanswered};
pub use run::{attend, obey};

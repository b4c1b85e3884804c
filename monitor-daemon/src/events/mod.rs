//! Events of connections, for subscribers.
//!
//! ```text
//! engine ─ event ─> Publisher ─> Subscriber ─ record ──> EventQueue ─> EventReceiver
//!          (worker's thread)         └─── notify ──> EventNotifier ─┘ (any thread)
//! ```
//!
//! Each worker's engine passes its events to a [`Publisher`] on the worker's thread. A command adds a [`Subscriber`] to
//! it, with an [`EventFilter`] and an [`EventQueue`] of bounded length. A queue without records only says that something
//! happened. A record that finds the queue full is lost and counted; the next record carries the count. After a batch of
//! packets, the [`EventNotifier`] wakes the dispatcher if it is armed.
//!
//! **Invariant:** the worker's side takes no lock, waits for no thread and frees nothing: removed subscribers return to
//! the dispatcher. Without subscribers, an event costs one branch.

mod filter;
mod notifier;
mod publisher;
mod queue;
mod record;
mod subject;
mod subscriber;

pub use filter::{EventFilter, EventKinds, Scope, subject};
pub use monitor_engine::EventKind;
pub use notifier::EventNotifier;
pub use publisher::Publisher;
pub use queue::{Delivery, EventQueue, EventReceiver};
pub use record::{Endpoints, EventRecord, RecordedEvent};
pub use subscriber::Subscriber;

#[cfg(test)]
mod tests;

//! Events of connections, for subscribers.
//!
//! ```text
//! engine ─ event ─> Publisher ─> EventLog ─> Subscriber ─ record ─> EventQueue ─> EventReceiver
//!          (worker's thread)        │        (collector's thread)            (client's task)
//!                                   └─ notify ─> EventNotifier ─> dispatcher ─ wake ─> collector, waiting clients
//! ```
//!
//! Each worker's engine passes its events to a [`Publisher`] on the worker's thread. The publisher writes those in the
//! [`Interest`] of any subscriber to the [`EventLog`], once. The [`Collector`] runs the [`Subscriber`]s: each reads the
//! logs at its own position, applies its [`EventFilter`], and fills an [`EventQueue`] of bounded length. A record that
//! finds the queue full is lost and counted; the next record carries the counts. After a batch of packets, the
//! [`EventNotifier`] wakes the dispatcher if it is armed.
//!
//! **Invariant:** the worker's side takes no lock, waits for no thread and frees nothing. Its cost doesn't depend on the
//! number of subscribers or the size of their filters. Without subscribers, an event costs one branch.

mod collector;
mod entry;
mod filter;
mod interest;
mod log;
mod notifier;
mod publisher;
mod queue;
mod record;
mod subscriber;

pub use collector::Collector;
pub use filter::{EventFilter, EventKinds, Scope, subject};
pub use interest::Interest;
pub use log::{EventLog, LogEvent};
pub use monitor_engine::EventKind;
pub use notifier::EventNotifier;
pub use publisher::Publisher;
pub use queue::{Delivery, EventQueue, EventReceiver};
pub use record::{Endpoints, EventRecord, Losses, RecordedEvent};
pub use subscriber::{Subscriber, Wakeup};

#[cfg(test)]
mod tests;

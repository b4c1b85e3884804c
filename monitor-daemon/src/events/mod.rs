//! What happens on connections, for whoever listens.
//!
//! ```text
//! engine ─ event ─> Publisher ─> Subscriber ─ note ─> EventQueue ─> who listens
//!          (worker's thread)        └────── rings ──> Notifier ─┘ (any thread)
//! ```
//!
//! Each worker's engine hands its events to a [`Publisher`], on the worker's thread. Who listens has put a
//! [`Subscriber`] there, by a command: which events of which connections it wants ([`EventFilter`]), and the [`EventQueue`] that
//! its notes go into. A line is a queue of bounded length, or none: then it only says that there was something. A note
//! that finds the queue full is lost and counted, and the count stands in the note after it. Once a batch of packets
//! is through, the [`Notifier`] is rung, unless it rings already.
//!
//! **Architecture invariant:** the worker's side takes no lock, waits for nobody and frees nothing: what it does not
//! need any more goes back the way the notifier does. While nobody listens, an event costs one branch.

mod filter;
mod notifier;
mod publisher;
mod queue;
mod record;
mod subscriber;

pub use filter::{EventFilter, EventKind, EventKinds, Scope, subject};
pub use notifier::{Notifier, NotifierError};
pub use publisher::Publisher;
pub use queue::{Delivery, EventQueue, EventReceiver};
pub use record::{Endpoints, EventRecord, RecordedEvent};
pub use subscriber::Subscriber;

#[cfg(test)]
mod tests;

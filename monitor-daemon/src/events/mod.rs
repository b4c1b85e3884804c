//! What happens on connections, for whoever listens.
//!
//! ```text
//! engine ─ event ─> Publisher ─> Listener ─ note ─> Line ─> who listens
//!          (worker's thread)        └────── rings ──> Bell ─┘ (any thread)
//! ```
//!
//! Each worker's engine hands its events to a [`Publisher`], on the worker's thread. Who listens has put a
//! [`Listener`] there, by a command: which events of which connections it wants ([`Interest`]), and the [`Line`] that
//! its notes go into. A line is a queue of bounded length, or none: then it only says that there was something. A note
//! that finds the queue full is lost and counted, and the count stands in the note after it. Once a batch of packets
//! is through, the [`Bell`] is rung, unless it rings already.
//!
//! **Architecture invariant:** the worker's side takes no lock, waits for nobody and frees nothing: what it does not
//! need any more goes back the way the bell rings. While nobody listens, an event costs one branch.

mod bell;
mod interest;
mod line;
mod listener;
mod note;
mod publisher;

pub use bell::{Bell, BellError};
pub use interest::{Interest, Kind, Kinds, Whose, subject};
pub use line::{Line, Tail, Told};
pub use listener::Listener;
pub use note::{Ends, Note, What};
pub use publisher::Publisher;

#[cfg(test)]
mod tests;

//! The RPC server: JSON-RPC 2.0 over a Unix stream socket, one object a line; raw bytes follow their line.
//!
//! [`Listener::bind`] makes the socket file, [`serve`] answers on it until it is told to stop. One task for each
//! client: it reads a line, answers it completely, then reads the next, so that a client that does not read its
//! replies is held up by its own socket and by nothing else, and holds one reply's memory at most.
//!
//! ```text
//! listen → serve → connection ─ stream ─ input → request → call ─┬→ hello, stats, rpc.discover
//!                                   ├───── output ← reply ← ─────┼→ sockets, lookup, info
//!                                   │         ↑                  ├→ fragments, ppeek, wait
//!                                   └──── listeners ─────────────┴→ subscribe, follow, unsubscribe
//! ```
//!
//! Who is at the other end ([`peer`]) and what the settings let that user do ([`access`]) is decided before a method's
//! parameters are looked at.

mod access;
mod call;
mod connection;
mod fault;
mod input;
mod listen;
mod listeners;
mod memory;
mod methods;
mod metrics;
mod output;
mod peer;
mod reply;
mod request;
mod rules;
mod serve;
mod stream;
mod users;
mod view;

pub use access::AccessError;
pub use listen::{ListenError, Listener};
pub use methods::gather;
pub use metrics::Metrics;
pub use rules::check;
pub use serve::serve;

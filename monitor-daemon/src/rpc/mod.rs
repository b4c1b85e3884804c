//! The RPC server: JSON-RPC 2.0 over a Unix stream socket, one object a line; raw bytes follow their line.
//!
//! [`Listener::bind`] makes the socket file, [`serve`] answers on it until it is told to stop. One task for each
//! client: it reads a line, answers it completely, then reads the next, so that a client that does not read its
//! replies is held up by its own socket and by nothing else, and holds one reply's memory at most.
//!
//! ```text
//! listen → serve → connection ─ input → request → call ─┬→ hello, stats
//!                       └────── output ← reply ← ───────┼→ sockets, lookup, info
//!                                                       └→ fragments, ppeek
//! ```

mod call;
mod connection;
mod fault;
mod input;
mod listen;
mod memory;
mod methods;
mod metrics;
mod output;
mod reply;
mod request;
mod serve;
mod view;

use std::path::PathBuf;

pub use listen::{ListenError, Listener};
pub use metrics::Metrics;
pub use serve::serve;

/// Where and for how many the server listens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// The socket file. Its directory is made (0755) if it is not there.
    pub socket: PathBuf,
    /// Permissions of the socket file, `0o660` for example. Whoever can write it can call.
    pub mode: u32,
    /// Clients connected at once; one more is told so and let go.
    pub max_clients: usize,
    /// Bytes that all replies in flight may hold together, beyond 64 KiB that each client always has.
    /// When they are used up, reads are cut to 64 KiB: short, but never late and never refused.
    pub max_reply_memory: u64,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            socket: PathBuf::from(monitor_client::DEFAULT_SOCKET),
            mode: 0o660,
            max_clients: 1024,
            max_reply_memory: 256 << 20,
        }
    }
}

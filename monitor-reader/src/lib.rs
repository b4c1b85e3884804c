//! Reads a worker's store of connections and stream bytes from any thread, or from another process.
//!
//! The store is one mapping of records and blocks with a single writer, the worker's engine. A [`Reader`] copies from it
//! at any time, checks that the copy was consistent, and retries if it wasn't. It takes no lock, and the worker never waits
//! for it. The daemon reads through the mapping that its worker writes to. An attached process maps the same memory
//! read-only, from a descriptor that the daemon has passed ([`Reader::attach`]), and runs the same code.
//!
//! An attached process doesn't trust the memory: whatever it holds, and however it changes, a read ends and doesn't panic.
//!
//! **Invariant:** nothing here writes to an attached store. The writer's halves of the structures are in `monitor-engine`.

mod path;
mod reader;
pub mod store;
pub mod tunnels;
pub mod view;

pub use monitor_common::{
    ByteRange, CloseReason, OverlapPolicy, Side, SideStats, SockId, TcpState, TunnelKind,
};
pub use reader::{Reader, view_record};
#[cfg(not(feature = "loom"))]
pub use store::header::{AttachError, Identity};
pub use view::{
    Connection, EndReason, Extents, Next, NextKind, NoData, Peek, PeekError, Reset, Tunnel, Turn,
    Turns,
};

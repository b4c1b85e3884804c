//! Packets as they were captured, for clients.
//!
//! While a client captures, each worker writes its packets to a [`PacketLog`] before its engine takes them. The log is a
//! ring that the worker overwrites without a look at its readers. Clients read it at positions of their own, apply their
//! filters, and count what was overwritten before they came to it.
//!
//! **Invariant:** the worker takes no lock, waits for no reader and frees nothing. Without a capture, a batch costs it one
//! branch.

mod ends;
mod log;

pub use ends::{HEADERS, is_wanted};
pub use log::{LogPacket, LogRead, PacketLog};

//! Order of the list of connections.

use clap::ValueEnum;

/// Order of the list.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Sort {
    /// Bytes per second, both sides
    Rate,
    /// Bytes in total, both sides
    Bytes,
    /// Retained bytes
    Memory,
    /// Holes
    Holes,
    /// Newest first
    Opened,
    /// Latest packet first
    Last,
}

//! What readers see: copies, taken at one moment, of a connection's record.

use std::net::SocketAddr;

use crate::{CloseReason, SideStats, SockId, TcpState};

/// One connection at one moment.
#[derive(Clone, Debug, PartialEq)]
pub struct Connection {
    /// Its name, never used again.
    pub id: SockId,
    /// Who opened it (or who looks like it, when `midstream`).
    pub client: SocketAddr,
    /// Who was called.
    pub server: SocketAddr,
    /// VLAN ids, outermost first; 0, 1 or 2 of them.
    pub vlan: Vec<u16>,
    /// First packet, nanoseconds since the epoch.
    pub opened: u64,
    /// Last packet, nanoseconds since the epoch.
    pub last: u64,
    /// `None` while it lives.
    pub closed: Option<CloseReason>,
    /// No SYN was seen: offset 0 is the first byte captured.
    pub midstream: bool,
    /// State of each end, by [`Side::index`](crate::Side::index).
    pub states: [TcpState; 2],
    /// By [`Side::index`](crate::Side::index).
    pub sides: [SideStats; 2],
}

/// What a peek returned besides the bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Peek {
    /// Bytes copied to the front of the caller's buffer.
    pub len: usize,
    /// Lowest retained offset.
    pub base: u64,
    /// The in-order edge.
    pub next: u64,
    /// One past the highest byte received.
    pub end: u64,
    /// Offset of the FIN, once seen.
    pub fin: Option<u64>,
    /// This read ends where the FIN is.
    pub eof: bool,
}

/// Every retained run of bytes of one side, in order, apart from each other.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Extents {
    /// (offset, length).
    pub runs: Vec<(u64, u64)>,
    /// Lowest retained offset.
    pub base: u64,
    /// The in-order edge.
    pub next: u64,
    /// One past the highest byte received.
    pub end: u64,
}

/// Why a read got nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PeekError {
    /// Never existed, or its connection is gone (EBADF).
    #[error("no such connection, or it is gone")]
    NoSuchConnection,
    /// Buffering of that side is switched off (EINVAL).
    #[error("buffering of this side is switched off")]
    Disabled,
    /// Nothing but a SYN so far (ENOTCONN).
    #[error("the connection is not established and has carried no byte this way")]
    NotConnected,
    /// No received byte at that offset (ENODATA).
    #[error("no received byte at this offset: {reason:?}")]
    NoData {
        /// Which kind of nothing.
        reason: NoData,
        /// For a hole: where bytes go on, if they do.
        next_extent: Option<u64>,
        /// Lowest retained offset.
        base: u64,
        /// The in-order edge.
        next: u64,
        /// One past the highest byte received.
        end: u64,
    },
}

/// Why there is no byte at an offset.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NoData {
    /// Below the lowest retained offset.
    Evicted,
    /// In a hole.
    Gap,
    /// Not sent yet, as far as we saw.
    Future,
    /// At the FIN: there will never be one.
    Eof,
}

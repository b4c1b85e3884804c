//! Results of reads: copies of a connection's record, each consistent.

use std::net::{IpAddr, SocketAddr};

use crate::{CloseReason, Side, SideStats, SockId, TcpState, TunnelKind};

/// Connection at one moment.
#[derive(Clone, Debug, PartialEq)]
pub struct Connection {
    /// Identifier, never used again.
    pub id: SockId,
    /// Address of the end that opened it, or that looks like it when `midstream`.
    pub client: SocketAddr,
    /// Address of the other end.
    pub server: SocketAddr,
    /// VLAN ids, outermost first; at most two. In a tunnel, those of the inner packet.
    pub vlan: Vec<u16>,
    /// Tunnels around its packets, outermost first; at most two.
    pub tunnels: Vec<Tunnel>,
    /// Number of the interface where the first packet was captured; 0: unknown.
    pub interface: u16,
    /// Time of the first packet, nanoseconds since the epoch.
    pub opened: u64,
    /// Time of the last packet, nanoseconds since the epoch.
    pub last: u64,
    /// `None` while it is open.
    pub closed: Option<CloseReason>,
    /// RST that ended it.
    pub reset: Option<Reset>,
    /// No SYN was seen: offset 0 is the first byte captured.
    pub midstream: bool,
    /// State of each end, by [`Side::index`](crate::Side::index).
    pub states: [TcpState; 2],
    /// Time of the FIN that each end sent, nanoseconds since the epoch, or of the last byte before it if that came later;
    /// after bytes that were declared lost, of the next packet. `None` until then, and if it wasn't noted: buffering is
    /// switched off, or memory was short. By [`Side::index`](crate::Side::index).
    pub fins: [Option<u64>; 2],
    /// By [`Side::index`](crate::Side::index).
    pub sides: [SideStats; 2],
}

/// RST that ended a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reset {
    /// End that sent it.
    pub by: Side,
    /// Nanoseconds since the epoch, rounded down to 4 ns. `None` if it wasn't noted: buffering is switched off, or memory
    /// was short.
    pub time: Option<u64>,
}

/// Tunnel that carries a connection's packets.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tunnel {
    /// Its kind.
    pub kind: TunnelKind,
    /// GRE key, VNI or ERSPAN session, if there is one.
    pub id: Option<u32>,
    /// Addresses of its ends, the lower one first.
    pub ends: [IpAddr; 2],
    /// VLAN ids of the packets that carry it, outermost first; at most two.
    pub vlan: Vec<u16>,
}

/// Result of a peek besides the bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Peek {
    /// Bytes copied to the front of the buffer.
    pub len: usize,
    /// Lowest retained offset.
    pub base: u64,
    /// In-order edge.
    pub next: u64,
    /// Highest offset received, plus 1.
    pub end: u64,
    /// Offset of the FIN, once seen.
    pub fin: Option<u64>,
    /// The bytes end at the FIN.
    pub eof: bool,
}

/// Continuation of a stream at an offset ([`Reader::next_from`](crate::Reader::next_from)). All edges are those of the
/// same moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Next {
    /// Kind of the continuation.
    pub kind: NextKind,
    /// Lowest retained offset.
    pub base: u64,
    /// In-order edge.
    pub next: u64,
    /// Highest offset received, plus 1.
    pub end: u64,
    /// Offset of the FIN, once seen.
    pub fin: Option<u64>,
    /// Reason for the end of the connection; `None` while it is open.
    pub closed: Option<CloseReason>,
}

/// Kind of a continuation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NextKind {
    /// Received bytes.
    Bytes {
        /// Bytes copied to the front of the buffer; 0 only if it is empty.
        len: usize,
        /// Contiguous bytes from the offset on, also those that did not fit.
        available: u64,
        /// The copied bytes end at the FIN.
        eof: bool,
    },
    /// The bytes were evicted: the stream continues at the lowest retained offset.
    Lost {
        /// Lowest retained offset.
        to: u64,
    },
    /// A hole that was declared lost. A late segment may still fill it.
    Gap {
        /// Its end.
        to: u64,
    },
    /// No byte yet: not sent, or in a hole that may still be filled.
    Pending,
    /// The bytes changed during every attempt to copy them: read again.
    Busy,
    /// No byte will follow.
    End(EndReason),
}

/// Reason why no byte will follow.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EndReason {
    /// The offset is at, or beyond, the FIN.
    Eof,
    /// The connection is closed, and all of its bytes are before the offset.
    Closed,
    /// Buffering of the side is switched off.
    Disabled,
    /// The connection never existed, or is gone.
    Gone,
}

impl EndReason {
    /// Returns the word that the RPC uses.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Eof => "eof",
            Self::Closed => "closed",
            Self::Disabled => "disabled",
            Self::Gone => "gone",
        }
    }
}

impl Next {
    /// Returns the continuation of a connection that is gone.
    pub(crate) const fn gone() -> Self {
        Self::without_edges(NextKind::End(EndReason::Gone))
    }

    /// Returns the continuation of a connection that no attempt could read.
    pub(crate) const fn busy() -> Self {
        Self::without_edges(NextKind::Busy)
    }

    const fn without_edges(kind: NextKind) -> Self {
        Self {
            kind,
            base: 0,
            next: 0,
            end: 0,
            fin: None,
            closed: None,
        }
    }
}

/// All retained ranges of one side, in order, disjoint.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Extents {
    /// (offset, length).
    pub runs: Vec<(u64, u64)>,
    /// Lowest retained offset.
    pub base: u64,
    /// In-order edge.
    pub next: u64,
    /// Highest offset received, plus 1.
    pub end: u64,
}

/// Received bytes of one side, and the time at which they became readable in order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Turn {
    /// Side that received the bytes.
    pub side: Side,
    /// Offset of the first byte.
    pub off: u64,
    /// Number of bytes, at least 1.
    pub len: u64,
    /// Nanoseconds since the epoch. Bytes that came half a millisecond later at most count as well.
    pub time: u64,
}

/// Part of a conversation in its order ([`Reader::turns`](crate::Reader::turns)).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Turns {
    /// Turns in the order of their times. Lost holes are between them.
    pub turns: Vec<Turn>,
    /// Offset of each side from which on bytes are not returned yet, by [`Side::index`].
    pub next: [u64; 2],
}

/// Error of a read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PeekError {
    /// The connection never existed, or is gone (EBADF).
    #[error("no such connection, or it is gone")]
    NoSuchConnection,
    /// Buffering of the side is switched off (EINVAL).
    #[error("buffering of this side is switched off")]
    Disabled,
    /// Nothing but a SYN yet (ENOTCONN).
    #[error("the connection is not established and has carried no byte this way")]
    NotConnected,
    /// The bytes changed during every attempt to copy them: read again.
    #[error("the bytes changed while they were read; read again")]
    Busy,
    /// No received byte at the offset (ENODATA).
    #[error("no received byte at this offset: {reason:?}")]
    NoData {
        /// Reason.
        reason: NoData,
        /// For a hole: offset of the next received byte, if any.
        next_extent: Option<u64>,
        /// Lowest retained offset.
        base: u64,
        /// In-order edge.
        next: u64,
        /// Highest offset received, plus 1.
        end: u64,
    },
}

/// Reason why there is no byte at an offset.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NoData {
    /// Below the lowest retained offset.
    Evicted,
    /// In a hole.
    Gap,
    /// Not sent yet, as far as captured.
    Future,
    /// At the FIN: no byte will follow.
    Eof,
}

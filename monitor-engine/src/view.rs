//! What readers see: copies, taken at one moment, of a connection's record.

use std::net::SocketAddr;

use crate::{OverlapPolicy, SockId};

/// A side of a connection, named after the receiver: [`Side::Server`] holds what the client sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Side {
    /// What the client received.
    Client,
    /// What the server received.
    Server,
}

impl Side {
    /// Both, in the order of their indices.
    pub const BOTH: [Side; 2] = [Side::Client, Side::Server];

    /// 0 for the client, 1 for the server.
    #[must_use]
    pub fn index(self) -> usize {
        self as usize
    }

    /// The side at the other end.
    #[must_use]
    pub fn peer(self) -> Self {
        match self {
            Side::Client => Side::Server,
            Side::Server => Side::Client,
        }
    }
}

/// The state of one end, as far as the packets show it (RFC 9293, section 3.3.2).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(u8)]
pub enum TcpState {
    /// Nothing seen yet, or all over.
    #[default]
    Closed = 0,
    /// Waiting for a SYN.
    Listen,
    /// Sent a SYN.
    SynSent,
    /// Got a SYN and answered.
    SynReceived,
    /// Open both ways.
    Established,
    /// Sent a FIN.
    FinWait1,
    /// Its FIN is acknowledged.
    FinWait2,
    /// Got the peer's FIN.
    CloseWait,
    /// Both sent FINs that crossed.
    Closing,
    /// Got a FIN, sent its own.
    LastAck,
    /// Waiting for stray segments to die.
    TimeWait,
}

impl TcpState {
    /// The name RFC 9293 uses.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            TcpState::Closed => "CLOSED",
            TcpState::Listen => "LISTEN",
            TcpState::SynSent => "SYN-SENT",
            TcpState::SynReceived => "SYN-RECEIVED",
            TcpState::Established => "ESTABLISHED",
            TcpState::FinWait1 => "FIN-WAIT-1",
            TcpState::FinWait2 => "FIN-WAIT-2",
            TcpState::CloseWait => "CLOSE-WAIT",
            TcpState::Closing => "CLOSING",
            TcpState::LastAck => "LAST-ACK",
            TcpState::TimeWait => "TIME-WAIT",
        }
    }
}

/// Why a connection ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum CloseReason {
    /// Both FINs were seen and acknowledged.
    Fin = 1,
    /// A believable RST.
    Rst,
    /// No packet for the idle timeout.
    Timeout,
    /// A new connection took the same addresses and ports.
    Reused,
    /// Its memory was needed.
    Evicted,
    /// A client had it stopped ([`crate::Engine::stop`]).
    Stopped,
}

impl CloseReason {
    /// The word clients see.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            CloseReason::Fin => "fin",
            CloseReason::Rst => "rst",
            CloseReason::Timeout => "timeout",
            CloseReason::Reused => "reused",
            CloseReason::Evicted => "evicted",
            CloseReason::Stopped => "stopped",
        }
    }
}

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
    /// By [`Side::index`].
    pub sides: [SideView; 2],
}

/// One side at one moment. Offsets count from the first payload byte and never wrap.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct SideView {
    /// State of the end that this side is named after.
    pub state: TcpState,
    /// Initial sequence number of this side's sender; `None` if neither its SYN nor the peer's SYN+ACK was seen.
    pub isn: Option<u32>,
    /// Lowest retained offset.
    pub base: u64,
    /// The in-order edge: every byte below it was received or declared lost.
    pub next: u64,
    /// One past the highest byte received.
    pub end: u64,
    /// Offset of the FIN, once seen.
    pub fin: Option<u64>,
    /// Bytes held.
    pub retained: u64,
    /// Holes declared lost.
    pub gaps: u64,
    /// Bytes that arrived again.
    pub retransmitted: u64,
    /// Bytes that arrived again and differed.
    pub conflicts: u64,
    /// False once buffering of this side was switched off.
    pub enabled: bool,
    /// Bytes that are retained at most.
    pub window: u64,
    /// Whose bytes win where segments overlap and differ.
    pub overlap: OverlapPolicy,
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

//! Events of connections, as plain values.

use crate::{CloseReason, EventKind, Refusal, Side, SockId, TcpState};

/// Event of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event {
    /// First packet of a connection.
    Opened {
        /// Connection.
        id: SockId,
    },
    /// The handshake is complete, or data was seen midstream.
    Established {
        /// Connection.
        id: SockId,
    },
    /// The in-order edge advanced over received bytes.
    Data {
        /// Connection.
        id: SockId,
        /// Receiving side.
        side: Side,
        /// First new in-order offset.
        off: u64,
        /// Number of bytes.
        len: u64,
    },
    /// A hole was declared lost; the in-order edge moved past it.
    Gap {
        /// Connection.
        id: SockId,
        /// Receiving side.
        side: Side,
        /// Start of the hole.
        off: u64,
        /// Length of the hole.
        len: u64,
    },
    /// Bytes of a lost range arrived late.
    Filled {
        /// Connection.
        id: SockId,
        /// Receiving side.
        side: Side,
        /// First offset.
        off: u64,
        /// Number of bytes.
        len: u64,
    },
    /// Received bytes arrived again.
    Retransmit {
        /// Connection.
        id: SockId,
        /// Receiving side.
        side: Side,
        /// First offset.
        off: u64,
        /// Number of bytes.
        len: u64,
    },
    /// Received bytes arrived again with other contents.
    Conflict {
        /// Connection.
        id: SockId,
        /// Receiving side.
        side: Side,
        /// Offset of the first differing byte.
        off: u64,
        /// Distance from the first to past the last differing byte.
        len: u64,
        /// The receiver had delivered the bytes: a late copy. Otherwise they waited beyond a hole, and the overlap policy
        /// selected the copy.
        late: bool,
    },
    /// The receiver discarded a segment.
    Refused {
        /// Connection.
        id: SockId,
        /// Receiving side.
        side: Side,
        /// Sequence number of the segment.
        seq: u32,
        /// Number of payload bytes.
        len: u32,
        /// Reason.
        reason: Refusal,
    },
    /// An end changed its state.
    State {
        /// Connection.
        id: SockId,
        /// End.
        side: Side,
        /// New state.
        state: TcpState,
    },
    /// The connection ended; it stays readable for the linger time.
    Closed {
        /// Connection.
        id: SockId,
        /// Reason.
        reason: CloseReason,
    },
    /// The connection was removed because its memory was needed.
    Evicted {
        /// Connection.
        id: SockId,
    },
}

impl Event {
    /// Returns the connection that it is about.
    #[must_use]
    pub const fn id(&self) -> SockId {
        match *self {
            Self::Opened { id }
            | Self::Established { id }
            | Self::Data { id, .. }
            | Self::Gap { id, .. }
            | Self::Filled { id, .. }
            | Self::Retransmit { id, .. }
            | Self::Conflict { id, .. }
            | Self::Refused { id, .. }
            | Self::State { id, .. }
            | Self::Closed { id, .. }
            | Self::Evicted { id } => id,
        }
    }

    /// Returns its kind.
    #[must_use]
    pub const fn kind(&self) -> EventKind {
        match self {
            Self::Opened { .. } => EventKind::Opened,
            Self::Established { .. } => EventKind::Established,
            Self::Data { .. } => EventKind::Data,
            Self::Gap { .. } => EventKind::Gap,
            Self::Filled { .. } => EventKind::Filled,
            Self::Retransmit { .. } => EventKind::Retransmit,
            Self::Conflict { .. } => EventKind::Conflict,
            Self::Refused { .. } => EventKind::Refused,
            Self::State { .. } => EventKind::State,
            Self::Closed { .. } => EventKind::Closed,
            Self::Evicted { .. } => EventKind::Evicted,
        }
    }
}

/// Destination of events. Called on the worker's thread, so it must not block.
pub trait Sink {
    /// Takes one event. Never called during a change: a [`crate::Reader`] of the same engine may read the connection from
    /// here, and sees it after the event (for [`Event::Evicted`]: before it).
    fn event(&mut self, event: Event);

    /// Sets the time of the following events, nanoseconds since the epoch.
    #[inline(always)]
    fn time(&mut self, _now: u64) {}

    /// Ends a batch: events that were collected are due.
    #[inline(always)]
    fn flush(&mut self) {}
}

/// Discards events; compiles to nothing.
impl Sink for () {
    fn event(&mut self, _: Event) {}
}

/// Collects events, for tests.
impl Sink for Vec<Event> {
    fn event(&mut self, event: Event) {
        self.push(event);
    }
}

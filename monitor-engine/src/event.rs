//! What happens on connections, as plain values.

use crate::{CloseReason, EventKind, Side, SockId, TcpState};

/// One thing that happened to one connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event {
    /// First packet of a connection.
    Opened {
        /// Which one.
        id: SockId,
    },
    /// The handshake is complete (or, midstream, data was seen).
    Established {
        /// Which one.
        id: SockId,
    },
    /// The in-order edge moved on over received bytes.
    Data {
        /// Which one.
        id: SockId,
        /// Whose received bytes.
        side: Side,
        /// Offset of the first new in-order byte.
        off: u64,
        /// How many.
        len: u64,
    },
    /// A hole was declared lost; the in-order edge moved past it.
    Gap {
        /// Which one.
        id: SockId,
        /// Whose received bytes.
        side: Side,
        /// Where the hole starts.
        off: u64,
        /// How long it is.
        len: u64,
    },
    /// Bytes of a hole declared lost came after all.
    Filled {
        /// Which one.
        id: SockId,
        /// Whose received bytes.
        side: Side,
        /// Where.
        off: u64,
        /// How many.
        len: u64,
    },
    /// Bytes that were there arrived again.
    Retransmit {
        /// Which one.
        id: SockId,
        /// Whose received bytes.
        side: Side,
        /// Where.
        off: u64,
        /// How many.
        len: u64,
    },
    /// Bytes that were there arrived again, and differed.
    Conflict {
        /// Which one.
        id: SockId,
        /// Whose received bytes.
        side: Side,
        /// Where the first differing byte is.
        off: u64,
        /// From the first to the last differing byte.
        len: u64,
        /// The receiver had delivered the bytes: a late copy. Otherwise they waited ahead of a hole, and the overlap
        /// policy decided which copy is read.
        late: bool,
    },
    /// An end changed its state.
    State {
        /// Which one.
        id: SockId,
        /// Which end.
        side: Side,
        /// Its new state.
        state: TcpState,
    },
    /// The connection ended; it stays readable for the linger time.
    Closed {
        /// Which one.
        id: SockId,
        /// Why.
        reason: CloseReason,
    },
    /// The connection's memory was needed: it is gone.
    Evicted {
        /// Which one.
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
            Self::State { .. } => EventKind::State,
            Self::Closed { .. } => EventKind::Closed,
            Self::Evicted { .. } => EventKind::Evicted,
        }
    }
}

/// Where events go. Called on the worker's thread, so it must not block.
pub trait Sink {
    /// Takes one event. Never called in the middle of a change: a [`crate::Reader`] of the same engine may look at the
    /// connection meanwhile, and sees it as the event leaves it (and, for [`Event::Evicted`], as it was last).
    fn event(&mut self, event: Event);

    /// The time (nanoseconds since the epoch) of the events to come.
    #[inline(always)]
    fn time(&mut self, _now: u64) {}

    /// A batch is over: what was held back to be handed on together is due.
    #[inline(always)]
    fn flush(&mut self) {}
}

/// For an engine that nobody listens to: compiles to nothing.
impl Sink for () {
    fn event(&mut self, _: Event) {}
}

/// For tests.
impl Sink for Vec<Event> {
    fn event(&mut self, event: Event) {
        self.push(event);
    }
}

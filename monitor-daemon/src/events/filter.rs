//! Which events somebody wants to hear of.

use std::sync::Arc;

use monitor_engine::{Event, Side, SockId};

use crate::filter::Filter;

/// A kind of event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum EventKind {
    /// [`Event::Opened`].
    Opened,
    /// [`Event::Established`].
    Established,
    /// [`Event::Data`].
    Data,
    /// [`Event::Gap`].
    Gap,
    /// [`Event::Filled`].
    Filled,
    /// [`Event::Retransmit`].
    Retransmit,
    /// [`Event::Conflict`].
    Conflict,
    /// [`Event::State`].
    State,
    /// [`Event::Closed`].
    Closed,
    /// [`Event::Evicted`].
    Evicted,
}

/// A set of kinds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct EventKinds(u16);

/// What somebody wants to hear of.
#[derive(Clone, Debug)]
pub struct EventFilter {
    /// Events of these kinds,
    pub kinds: EventKinds,
    /// and, of those that belong to a side, of this one; `None`: of both,
    pub side: Option<Side>,
    /// on these connections.
    pub scope: Scope,
}

/// On which connections.
#[derive(Clone, Debug)]
pub enum Scope {
    /// On all.
    All,
    /// On one.
    One(SockId),
    /// On those that a filter wants. What it looks at never changes on a connection, so it is asked once for each.
    Some(Arc<Filter>),
}

impl EventKind {
    /// The kind of an event.
    #[inline(always)]
    #[must_use]
    pub fn of(event: &Event) -> Self {
        match event {
            Event::Opened { .. } => Self::Opened,
            Event::Established { .. } => Self::Established,
            Event::Data { .. } => Self::Data,
            Event::Gap { .. } => Self::Gap,
            Event::Filled { .. } => Self::Filled,
            Event::Retransmit { .. } => Self::Retransmit,
            Event::Conflict { .. } => Self::Conflict,
            Event::State { .. } => Self::State,
            Event::Closed { .. } => Self::Closed,
            Event::Evicted { .. } => Self::Evicted,
        }
    }
}

impl EventKinds {
    /// Exactly these.
    #[must_use]
    pub fn of(kinds: &[EventKind]) -> Self {
        kinds
            .iter()
            .fold(Self::default(), |all, kind| all.with(*kind))
    }

    /// These and one more.
    #[must_use]
    pub fn with(self, kind: EventKind) -> Self {
        Self(self.0 | 1 << kind as u16)
    }

    /// These and those.
    #[must_use]
    pub fn union(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// Whether a kind is among them.
    #[inline(always)]
    #[must_use]
    pub fn contains(self, kind: EventKind) -> bool {
        self.0 & 1 << kind as u16 != 0
    }

    /// Whether there are none.
    #[inline(always)]
    #[must_use]
    pub fn is_empty(self) -> bool {
        self.0 == 0
    }
}

/// The connection that an event is about, and its side if it belongs to one.
#[must_use]
pub fn subject(event: &Event) -> (SockId, Option<Side>) {
    match *event {
        Event::Opened { id }
        | Event::Established { id }
        | Event::Closed { id, .. }
        | Event::Evicted { id } => (id, None),
        Event::Data { id, side, .. }
        | Event::Gap { id, side, .. }
        | Event::Filled { id, side, .. }
        | Event::Retransmit { id, side, .. }
        | Event::Conflict { id, side, .. }
        | Event::State { id, side, .. } => (id, Some(side)),
    }
}

//! Event filters: the events that a subscriber gets.

use std::sync::Arc;

use monitor_engine::{Event, EventKind, Side, SockId};

use crate::filter::Filter;

/// Set of event kinds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct EventKinds(u16);

/// Events that a subscriber gets.
#[derive(Clone, Debug)]
pub struct EventFilter {
    /// Kinds of these events.
    pub kinds: EventKinds,
    /// Side, for events that belong to one; `None`: both.
    pub side: Option<Side>,
    /// Worker of the connections; `None`: all.
    pub worker: Option<u16>,
    /// Connections.
    pub scope: Scope,
}

/// Connections of a filter.
#[derive(Clone, Debug)]
pub enum Scope {
    /// All connections.
    All,
    /// A single connection.
    One(SockId),
    /// Connections that match a filter. Its fields never change on a connection, so it's evaluated once for
    /// each.
    Some(Arc<Filter>),
}

impl EventFilter {
    /// Returns whether events of a worker may pass.
    #[must_use]
    pub fn is_of(&self, worker: u16) -> bool {
        let is_owner = match self.scope {
            Scope::One(id) => id.worker() == worker,
            Scope::All | Scope::Some(_) => true,
        };
        is_owner && self.worker.is_none_or(|own| own == worker)
    }

    /// Returns whether the kind and the side of an event pass.
    #[must_use]
    pub fn selects(&self, kind: EventKind, side: Option<Side>) -> bool {
        self.kinds.contains(kind) && side.is_none_or(|side| self.side.is_none_or(|own| own == side))
    }
}

impl EventKinds {
    /// Returns the set of these kinds.
    #[must_use]
    pub fn of(kinds: &[EventKind]) -> Self {
        kinds
            .iter()
            .fold(Self::default(), |all, kind| all.with(*kind))
    }

    /// Returns the set with one more kind.
    #[must_use]
    pub fn with(self, kind: EventKind) -> Self {
        Self(self.0 | 1 << kind as u16)
    }

    /// Returns the union of two sets.
    #[must_use]
    pub fn union(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// Returns whether the set contains a kind.
    #[inline(always)]
    #[must_use]
    pub fn contains(self, kind: EventKind) -> bool {
        self.0 & 1 << kind as u16 != 0
    }

    /// Returns whether the set is empty.
    #[inline(always)]
    #[must_use]
    pub fn is_empty(self) -> bool {
        self.0 == 0
    }
}

/// Returns the connection of an event, and its side if it belongs to one.
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
        | Event::Refused { id, side, .. }
        | Event::State { id, side, .. } => (id, Some(side)),
    }
}

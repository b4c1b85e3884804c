//! Interest in events: the union of the filters of all subscribers, as far as a worker applies it.

use std::collections::HashMap;

use monitor_engine::{EventKind, SockId};

use super::{EventFilter, EventKinds, Scope};

/// Events of one worker that any subscriber may get. The rest of each filter is applied by its subscriber.
#[derive(Debug, Default)]
pub struct Interest {
    /// Kinds that are wanted of any connection.
    any: EventKinds,
    /// Kinds that are wanted of single connections.
    connections: HashMap<SockId, EventKinds>,
    /// Union of all kinds.
    kinds: EventKinds,
}

impl Interest {
    /// Adds a filter.
    pub fn add(&mut self, filter: &EventFilter) {
        let kinds = match &filter.scope {
            // The verdict of a filter is made at the start of a connection.
            Scope::Some(_) => filter.kinds.with(EventKind::Opened),
            Scope::All | Scope::One(_) => filter.kinds,
        };
        self.kinds = self.kinds.union(kinds);
        match filter.scope {
            Scope::One(id) => {
                let own = self.connections.entry(id).or_default();
                *own = own.union(kinds);
            }
            Scope::All | Scope::Some(_) => self.any = self.any.union(kinds),
        }
    }

    /// Returns all kinds that it contains.
    pub(super) fn kinds(&self) -> EventKinds {
        self.kinds
    }

    /// Returns whether any subscriber may get this event.
    pub(super) fn contains(&self, id: SockId, kind: EventKind) -> bool {
        self.any.contains(kind)
            || self
                .connections
                .get(&id)
                .is_some_and(|kinds| kinds.contains(kind))
    }
}

//! What listeners are told, as plain values.

use std::net::{IpAddr, SocketAddr};

use monitor_engine::{Connection, Event, SockId};

/// One thing that happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EventRecord {
    /// When, by the packets' clock: nanoseconds since the epoch. Of data put together from several packets, the last.
    pub time: u64,
    /// What.
    pub what: RecordedEvent,
    /// Notes of this line that were lost before it, all in all.
    pub(super) lost: u64,
}

/// What happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RecordedEvent {
    /// [`Event::Opened`], with what would be too late to ask for: the connection may be gone when this is read.
    Opened {
        /// Which connection.
        id: SockId,
        /// Whose.
        ends: Endpoints,
    },
    /// Any other event.
    Event(Event),
}

/// Who talks to whom.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Endpoints {
    client: (IpAddr, u16),
    server: (IpAddr, u16),
    tags: [u16; 2],
    tagged: u8,
    /// The start of the connection was not seen.
    pub midstream: bool,
}

impl Endpoints {
    /// Those of a connection.
    #[must_use]
    pub fn of(connection: &Connection) -> Self {
        let mut tags = [0; 2];
        for (place, tag) in tags.iter_mut().zip(&connection.vlan) {
            *place = *tag;
        }
        let (client, server) = (connection.client, connection.server);
        Self {
            client: (client.ip(), client.port()),
            server: (server.ip(), server.port()),
            tags,
            tagged: connection.vlan.len().min(tags.len()) as u8,
            midstream: connection.midstream,
        }
    }

    /// Who opened it.
    #[must_use]
    pub fn client(&self) -> SocketAddr {
        self.client.into()
    }

    /// Who was called.
    #[must_use]
    pub fn server(&self) -> SocketAddr {
        self.server.into()
    }

    /// VLAN ids, outermost first.
    #[must_use]
    pub fn vlan(&self) -> &[u16] {
        &self.tags[..usize::from(self.tagged)]
    }
}

impl EventRecord {
    /// Takes in what came right after it on the same side; false if that is not what `next` is.
    pub(super) fn grow(&mut self, next: &Event, time: u64) -> bool {
        let RecordedEvent::Event(Event::Data { id, side, off, len }) = &mut self.what else {
            return false;
        };
        match *next {
            Event::Data {
                id: of,
                side: to,
                off: from,
                len: more,
            } if of == *id && to == *side && from == *off + *len => {
                *len += more;
                self.time = time;
                true
            }
            _ => false,
        }
    }
}

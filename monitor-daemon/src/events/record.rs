//! Event records: events as plain values, on their way to one subscriber.

use std::net::{IpAddr, SocketAddr};

use monitor_engine::{Connection, Event, SockId};

/// Event with its time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EventRecord {
    /// Time of the packet, in nanoseconds since the epoch. Of data from several packets, the last one's.
    pub time: u64,
    /// Event.
    pub what: RecordedEvent,
    /// Total number of records of this queue that were lost before it.
    pub(super) lost: Losses,
}

/// Number of records that a subscriber lost.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Losses {
    /// Number of records.
    pub count: u64,
    /// Number of ends of connections among them, at most.
    pub ends: u64,
}

impl Losses {
    /// Returns the losses since an earlier total.
    pub(super) fn since(self, earlier: Self) -> Self {
        let count = self.count.saturating_sub(earlier.count);
        Self {
            count,
            ends: self.ends.saturating_sub(earlier.ends).min(count),
        }
    }
}

impl std::ops::AddAssign for Losses {
    fn add_assign(&mut self, more: Self) {
        self.count += more.count;
        self.ends += more.ends;
    }
}

/// Event in a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RecordedEvent {
    /// [`Event::Opened`] with its endpoints: the connection may be gone when the record is read.
    Opened {
        /// Connection.
        id: SockId,
        /// Its endpoints.
        ends: Endpoints,
    },
    /// Any other event.
    Event(Event),
}

/// Endpoints of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Endpoints {
    pub(super) client: (IpAddr, u16),
    pub(super) server: (IpAddr, u16),
    pub(super) tags: [u16; 2],
    pub(super) tagged: u8,
    /// The start of the connection was not captured.
    pub midstream: bool,
}

impl Endpoints {
    /// Returns the endpoints of a connection.
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

    /// Returns the address of the end that opened the connection.
    #[must_use]
    pub fn client(&self) -> SocketAddr {
        self.client.into()
    }

    /// Returns the address of the other end.
    #[must_use]
    pub fn server(&self) -> SocketAddr {
        self.server.into()
    }

    /// Returns the VLAN ids, outermost first.
    #[must_use]
    pub fn vlan(&self) -> &[u16] {
        &self.tags[..usize::from(self.tagged)]
    }
}

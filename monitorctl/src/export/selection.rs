//! Choice of connections, and the filter that selects the events of named ones.

use monitor_client::types::{Socket, SocketsParams};

/// Connections of an export.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Selection {
    /// These, as listed by `sockets`.
    Sockids(Vec<u64>),
    /// Those that match a filter; an empty one matches all.
    Filter(String),
}

impl Selection {
    /// Returns the parameters that list at least its connections.
    pub fn params(&self) -> SocketsParams {
        let filter = match self {
            Self::Sockids(_) => None,
            Self::Filter(filter) => Some(filter.clone()),
        };
        SocketsParams {
            filter,
            ..SocketsParams::default()
        }
    }

    /// Returns whether it contains a connection that matches the filter of its events.
    pub fn contains(&self, sockid: u64) -> bool {
        match self {
            Self::Sockids(sockids) => sockids.contains(&sockid),
            Self::Filter(_) => true,
        }
    }
}

/// Returns a filter that matches these connections, and others between the same ends.
pub fn filter_of(sockets: &[Socket]) -> String {
    let each = sockets.iter().map(|socket| {
        let (client, server) = (socket.client, socket.server);
        format!(
            "(src host {} and src port {} and dst host {} and dst port {})",
            client.ip(),
            client.port(),
            server.ip(),
            server.port()
        )
    });
    each.collect::<Vec<_>>().join(" or ")
}

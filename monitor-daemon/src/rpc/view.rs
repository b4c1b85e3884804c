//! Connections in the words of the RPC.

use monitor_engine::Connection;
use monitor_rpc::types::{Sides, Socket, States};

use crate::util::interfaces;

pub(crate) fn socket(connection: &Connection) -> Socket {
    let [client, server] = connection.sides;
    Socket {
        sockid: connection.id.as_u64(),
        client: connection.client,
        server: connection.server,
        vlan: connection.vlan.clone(),
        interface: interfaces::name(connection.interface),
        state: States {
            client: connection.states[0],
            server: connection.states[1],
        },
        opened: seconds(connection.opened),
        last: seconds(connection.last),
        closed: connection.closed,
        midstream: connection.midstream,
        worker: connection.id.worker(),
        sides: Sides { client, server },
    }
}

/// Converts to seconds since the epoch. A double keeps a quarter of a microsecond of today's date.
pub(crate) fn seconds(nanoseconds: u64) -> f64 {
    nanoseconds as f64 / 1e9
}

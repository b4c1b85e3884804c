//! Record of a connection, and the mark of lost ones: the lines of a log, and the messages of a relay.

use std::net::SocketAddr;

use monitor_common::{CloseReason, SideStats};
use monitor_rpc::socket::{Reset, Socket, Tls, Tunnel};
use serde::{Deserialize, Serialize};

use crate::community_id;
use crate::details::SideDetails;

/// Version of the records' schema, their field `v`.
pub const VERSION: u32 = 1;

/// Origin of records: a host and one run of its daemon.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Source {
    /// Name of the host.
    pub host: String,
    /// Instance of the daemon, as `hello` returns it: sockids are valid within one instance.
    pub instance: u64,
    /// Capture mode: `tap`, `mirror` or `replay`.
    pub mode: String,
}

/// Record of a connection. `instance`, `sockid` and `part` identify it.
///
/// Example: [`Tracker::ended`](crate::Tracker::ended).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Record {
    /// Version of the schema: [`VERSION`].
    pub v: u32,
    /// Name of the host.
    pub host: String,
    /// Instance of the daemon.
    pub instance: u64,
    /// Connection, unique within the instance.
    pub sockid: u64,
    /// 0: the connection has ended. Otherwise an interim record, with the number of whole intervals since it opened.
    pub part: u32,
    /// Community ID, version 1, seed 0.
    pub community_id: String,
    /// Address and port that opened the connection.
    pub client: SocketAddr,
    /// Address and port that accepted it.
    pub server: SocketAddr,
    /// VLAN ids, outermost first.
    pub vlan: Vec<u16>,
    /// Tunnels that its packets came through, outermost first.
    #[serde(default)]
    pub tunnels: Vec<Tunnel>,
    /// Interface where the first packet was captured, if known.
    pub interface: Option<String>,
    /// First packet, seconds since the epoch.
    pub opened: f64,
    /// Last packet, seconds since the epoch.
    pub last: f64,
    /// Reason for the end; `None` in interim records.
    pub closed: Option<CloseReason>,
    /// RST that ended it. `None` from an older daemon.
    #[serde(default)]
    pub reset: Option<Reset>,
    /// True if its start was not captured.
    pub midstream: bool,
    /// Streams, by their receivers.
    pub sides: RecordSides,
    /// TLS parameters, if its first bytes are TLS and were still retained.
    #[serde(default)]
    pub tls: Option<Tls>,
    /// Capture mode: `tap`, `mirror` or `replay`.
    pub mode: String,
}

/// Both streams of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RecordSides {
    /// Bytes that the client received.
    pub client: RecordSide,
    /// Bytes that the server received.
    pub server: RecordSide,
}

/// One stream of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RecordSide {
    /// Length of the stream in bytes, with the missing ones.
    pub bytes: u64,
    /// Number of holes declared lost.
    pub gaps: u64,
    /// Number of bytes in those holes; `None` if events were missed.
    #[serde(default)]
    pub gap_bytes: Option<u64>,
    /// Number of bytes that arrived again.
    pub retransmitted: u64,
    /// Number of bytes that arrived again and differed.
    pub conflicts: u64,
    /// Number of segments that the receiver discarded; `None` if events were missed.
    #[serde(default)]
    pub refused: Option<u64>,
}

/// Mark in a log: records are missing before it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Lost {
    /// Version of the schema: [`VERSION`].
    pub v: u32,
    /// Name of the host.
    pub host: String,
    /// Instance of the daemon.
    pub instance: u64,
    /// Time of the mark, seconds since the epoch.
    pub time: f64,
    /// Number of records, at most; `None` if it is unknown.
    pub lost: Option<u64>,
    /// Reason.
    pub reason: LostReason,
}

/// Reason for missing records.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LostReason {
    /// Events overflowed their queue, or connections were evicted, before the daemon was asked for them.
    Events,
    /// The daemon ended: its open connections have no final record.
    Restarted,
}

impl Record {
    /// Creates the record of a connection in its current state, with numbers that its events carried.
    pub(crate) fn new(
        source: &Source,
        socket: &Socket,
        part: u32,
        [client, server]: [SideDetails; 2],
    ) -> Self {
        Self {
            v: VERSION,
            host: source.host.clone(),
            instance: source.instance,
            sockid: socket.sockid,
            part,
            community_id: community_id(0, socket.client, socket.server),
            client: socket.client,
            server: socket.server,
            vlan: socket.vlan.clone(),
            tunnels: socket.tunnels.clone(),
            interface: socket.interface.clone(),
            opened: socket.opened,
            last: socket.last,
            closed: socket.closed,
            reset: socket.reset,
            midstream: socket.midstream,
            sides: RecordSides {
                client: RecordSide::new(&socket.sides.client, client),
                server: RecordSide::new(&socket.sides.server, server),
            },
            tls: socket.tls.clone(),
            mode: source.mode.clone(),
        }
    }
}

impl RecordSide {
    fn new(side: &SideStats, details: SideDetails) -> Self {
        Self {
            bytes: side.end,
            gaps: side.gaps,
            gap_bytes: details.gap_bytes,
            retransmitted: side.retransmitted,
            conflicts: side.conflicts,
            refused: details.refused,
        }
    }
}

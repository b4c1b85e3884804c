//! Connections as the RPC shows them.

use std::borrow::Cow;
use std::net::{IpAddr, SocketAddr};

use monitor_common::{CloseReason, Side, SideStats, TcpState, TunnelKind};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Connection, as lists and `info` show it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Socket {
    /// Identifier, below 2^53; never reused for another connection.
    pub sockid: u64,
    /// Address and port that opened the connection.
    pub client: SocketAddr,
    /// Address and port that accepted it.
    pub server: SocketAddr,
    /// VLAN ids, outermost first.
    pub vlan: Vec<u16>,
    /// Tunnels that its packets come through, outermost first.
    #[serde(default)]
    pub tunnels: Vec<Tunnel>,
    /// Interface where the first packet was captured, if known.
    pub interface: Option<String>,
    /// State of each end.
    pub state: States,
    /// First packet, seconds since the epoch.
    pub opened: f64,
    /// Last packet, seconds since the epoch.
    pub last: f64,
    /// Reason for the end; `None` until the connection ends.
    pub closed: Option<CloseReason>,
    /// RST that ended it. `None` from an older server.
    #[serde(default)]
    pub reset: Option<Reset>,
    /// Times of the FINs. None from an older server.
    #[serde(default)]
    pub fins: Fins,
    /// True if no SYN was seen: offset 0 is the first byte captured.
    pub midstream: bool,
    /// Worker that owns it.
    pub worker: u16,
    /// Bytes received by each end.
    pub sides: Sides,
    /// TLS parameters; `None` if the streams don't start with TLS, if their first bytes are no longer retained, and in a
    /// listing that didn't ask for them.
    #[serde(default)]
    pub tls: Option<Tls>,
}

/// TLS parameters of a connection, from its hello messages.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Tls {
    /// Version that the server selected: `TLSv1.3` and so on, or its number in hex. `None` until its hello was captured.
    pub version: Option<Cow<'static, str>>,
    /// Name of the server that the client asked for (SNI).
    pub sni: Option<String>,
    /// Application protocols that the client offered (ALPN), the preferred one first; at most 16.
    pub alpn: Vec<String>,
}

/// Tunnel that a connection's packets come through.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Tunnel {
    /// Kind of the tunnel.
    pub kind: TunnelKind,
    /// GRE key, VNI or ERSPAN session, if there is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id: Option<u32>,
    /// Addresses of its ends, the lower one first.
    pub ends: [IpAddr; 2],
    /// VLAN ids of the packets that carry it, outermost first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub vlan: Vec<u16>,
}

/// State of each end.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct States {
    /// State of the client.
    pub client: TcpState,
    /// State of the server.
    pub server: TcpState,
}

/// RST that ended a connection.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Reset {
    /// End that sent it.
    pub by: Side,
    /// Time of its arrival, seconds since the epoch; `None` if it wasn't noted.
    pub time: Option<f64>,
}

/// Times of the FINs, seconds since the epoch: that of the FIN, or of the last byte before it if that came later; after
/// bytes that were declared lost, of the next packet. `None` until then, or if it wasn't noted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Fins {
    /// FIN that the client sent.
    pub client: Option<f64>,
    /// FIN that the server sent.
    pub server: Option<f64>,
}

impl Fins {
    /// Returns the time of the FIN that an end sent.
    #[must_use]
    pub fn get(&self, end: Side) -> Option<f64> {
        match end {
            Side::Client => self.client,
            Side::Server => self.server,
        }
    }
}

/// Statistics of both sides.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Sides {
    /// Bytes received by the client.
    pub client: SideStats,
    /// Bytes received by the server.
    pub server: SideStats,
}

impl Sides {
    /// Returns the statistics of one side.
    #[must_use]
    pub fn get(&self, side: Side) -> &SideStats {
        match side {
            Side::Client => &self.client,
            Side::Server => &self.server,
        }
    }
}

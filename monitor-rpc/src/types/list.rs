//! `sockets`, `lookup`.

use std::net::SocketAddr;
use std::ops::Not;

use monitor_common::TcpState;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::number::{none, optional, port, seconds};
use crate::socket::Socket;

/// Parameters of `sockets`. All given conditions must match.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SocketsParams {
    /// State of one of the ends (a name of RFC 9293, in any case).
    #[serde(default, skip_serializing_if = "none")]
    pub state: Option<TcpState>,
    /// Port of one of the ends.
    #[serde(default, skip_serializing_if = "none", deserialize_with = "port")]
    pub port: Option<u16>,
    /// Address of one of the ends, or a prefix of it.
    #[serde(default, skip_serializing_if = "none")]
    pub address: Option<String>,
    /// Filter in the language of docs/rpc.md, a subset of tcpdump's.
    #[serde(default, skip_serializing_if = "none")]
    pub filter: Option<String>,
    /// True: ended connections only; false: open ones only.
    #[serde(default, skip_serializing_if = "none")]
    pub closed: Option<bool>,
    /// Minimum age, in seconds since the first packet.
    #[serde(default, skip_serializing_if = "none", deserialize_with = "seconds")]
    pub min_age: Option<f64>,
    /// Maximum age, in seconds since the first packet.
    #[serde(default, skip_serializing_if = "none", deserialize_with = "seconds")]
    pub max_age: Option<f64>,
    /// Minimum number of bytes carried by both directions together.
    #[serde(default, skip_serializing_if = "none", deserialize_with = "optional")]
    pub min_bytes: Option<u64>,
    /// Reads the TLS parameters of each connection, too.
    #[serde(default, skip_serializing_if = "Not::not")]
    pub tls: bool,
    /// Order; returns the first `limit` connections in place of pages.
    #[serde(default, skip_serializing_if = "none")]
    pub sort: Option<Sort>,
    /// Maximum number of connections in the reply.
    #[serde(default, skip_serializing_if = "none", deserialize_with = "optional")]
    pub limit: Option<u64>,
    /// `next` of the previous page.
    #[serde(default, skip_serializing_if = "none", deserialize_with = "optional")]
    pub after: Option<u64>,
}

/// Order of a listing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Sort {
    /// Newest first.
    Opened,
    /// Latest packet first.
    Last,
    /// Most bytes first, both directions together.
    Bytes,
    /// Most bytes a second first, from the first packet to the last; a connection of less than a second counts as one
    /// second.
    Rate,
}

/// Result of `sockets`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Sockets {
    /// Connections in the requested order; by default in the order of workers and records, which is stable while
    /// connections come and go.
    pub sockets: Vec<Socket>,
    /// `after` of the next page; `None` at the end.
    pub next: Option<u64>,
}

/// Parameters of `lookup`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct LookupParams {
    /// Address and port of the client.
    pub client: SocketAddr,
    /// Address and port of the server.
    pub server: SocketAddr,
    /// VLAN ids, outermost first; `[]`: untagged only; absent: any.
    #[serde(default, skip_serializing_if = "none")]
    pub vlan: Option<Vec<u16>>,
}

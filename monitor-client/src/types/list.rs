//! `sockets`, `lookup`.

use std::net::SocketAddr;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::number::{optional, port};
use crate::socket::Socket;
use crate::state::State;

/// `sockets`. Filters that are given must all match.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SocketsParams {
    /// One of the ends is in this state (a name of RFC 9293, in any case).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub state: Option<State>,
    /// One of the ends has this port.
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "port")]
    pub port: Option<u16>,
    /// One of the ends has this address, or an address in this prefix.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub address: Option<String>,
    /// Most connections in the answer.
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "optional")]
    pub limit: Option<u64>,
    /// `next` of the page before.
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "optional")]
    pub after: Option<u64>,
}

/// `sockets`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Sockets {
    /// In the order of workers and records, which does not change while connections come and go.
    pub sockets: Vec<Socket>,
    /// `after` of the next page; `None` at the end.
    pub next: Option<u64>,
}

/// `lookup`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct LookupParams {
    /// Address and port of the client.
    pub client: SocketAddr,
    /// Address and port of the server.
    pub server: SocketAddr,
    /// VLAN ids, outermost first; `[]`: untagged only; absent: any.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub vlan: Option<Vec<u16>>,
}

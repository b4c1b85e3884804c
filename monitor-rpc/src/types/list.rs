//! `sockets`, `lookup`.

use std::net::SocketAddr;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::number::{optional, port, seconds};
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
    #[serde(
        default,
        skip_serializing_if = "Option::is_none",
        deserialize_with = "port"
    )]
    pub port: Option<u16>,
    /// One of the ends has this address, or an address in this prefix.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub address: Option<String>,
    /// The filter language of docs/rpc.md, tcpdump's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub filter: Option<String>,
    /// Those that are over, or those that are not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub closed: Option<bool>,
    /// Opened so many seconds ago, or earlier.
    #[serde(
        default,
        skip_serializing_if = "Option::is_none",
        deserialize_with = "seconds"
    )]
    pub min_age: Option<f64>,
    /// Opened so many seconds ago, or later.
    #[serde(
        default,
        skip_serializing_if = "Option::is_none",
        deserialize_with = "seconds"
    )]
    pub max_age: Option<f64>,
    /// Both directions together carried so many bytes, or more.
    #[serde(
        default,
        skip_serializing_if = "Option::is_none",
        deserialize_with = "optional"
    )]
    pub min_bytes: Option<u64>,
    /// The first `limit` in this order, in place of pages.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sort: Option<Sort>,
    /// Most connections in the answer.
    #[serde(
        default,
        skip_serializing_if = "Option::is_none",
        deserialize_with = "optional"
    )]
    pub limit: Option<u64>,
    /// `next` of the page before.
    #[serde(
        default,
        skip_serializing_if = "Option::is_none",
        deserialize_with = "optional"
    )]
    pub after: Option<u64>,
}

/// Which connections come first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Sort {
    /// The newest.
    Opened,
    /// Those whose last packet is the latest.
    Last,
    /// Those that carried the most bytes, both directions together.
    Bytes,
    /// Those that carried the most bytes a second from their first packet to their last; a life of less than a second
    /// counts as one.
    Rate,
}

/// `sockets`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Sockets {
    /// In the order asked for; else in that of workers and records, which does not change while connections come and
    /// go.
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

//! `subscribe`, `unsubscribe`, `follow`, `wait`.

use monitor_common::{EventKind, Side};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::Encoding;
use crate::number::{none, optional, seconds, whole};

/// Parameters of `subscribe`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SubscribeParams {
    /// Kinds of events; by default all but `data`, `retransmit` and `refused`.
    #[serde(default, skip_serializing_if = "none")]
    pub events: Option<Vec<EventKind>>,
    /// Filter on connections; not together with `sockid`.
    #[serde(default, skip_serializing_if = "none")]
    pub filter: Option<String>,
    /// Connection.
    #[serde(default, skip_serializing_if = "none", deserialize_with = "optional")]
    pub sockid: Option<u64>,
    /// Side, for events that belong to one; by default both.
    #[serde(default, skip_serializing_if = "none")]
    pub side: Option<Side>,
    /// Requests the bytes of `data` events.
    #[serde(default, skip_serializing_if = "none")]
    pub data: Option<DataWanted>,
    /// Encoding of those bytes.
    #[serde(default)]
    pub encoding: Encoding,
    /// Maximum number of events of each worker that wait for the client.
    #[serde(default, skip_serializing_if = "none", deserialize_with = "optional")]
    pub queue: Option<u64>,
    /// Worker, for the events of its connections only; by default all workers.
    #[serde(default, skip_serializing_if = "none", deserialize_with = "optional")]
    pub worker: Option<u64>,
}

/// Bytes that `data` events carry.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct DataWanted {
    /// Maximum number of bytes of each event.
    #[serde(deserialize_with = "whole")]
    pub max: u64,
}

/// Result of `subscribe` and `follow`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Listening {
    /// Identifier of the subscription, for `unsubscribe`; its events carry it.
    pub sockid: u64,
}

/// Parameters of `unsubscribe`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct UnsubscribeParams {
    /// Subscription.
    #[serde(deserialize_with = "whole")]
    pub sockid: u64,
}

/// Result of `unsubscribe`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Unsubscribed {}

/// Parameters of `follow`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct FollowParams {
    /// Connection.
    #[serde(deserialize_with = "whole")]
    pub sockid: u64,
    /// Side; by default both.
    #[serde(default, skip_serializing_if = "none")]
    pub side: Option<Side>,
    /// First offset; by default the lowest retained one.
    #[serde(default, skip_serializing_if = "none", deserialize_with = "optional")]
    pub off: Option<u64>,
    /// Encoding of the bytes.
    #[serde(default)]
    pub encoding: Encoding,
}

/// Parameters of `wait`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct WaitParams {
    /// Connection.
    #[serde(deserialize_with = "whole")]
    pub sockid: u64,
    /// Side.
    pub side: Side,
    /// Offset of the byte to wait for.
    #[serde(deserialize_with = "whole")]
    pub off: u64,
    /// Timeout in seconds, with or without a fraction, up to 3600; 30 by default. With 0 it checks once.
    #[serde(default, skip_serializing_if = "none", deserialize_with = "seconds")]
    pub timeout: Option<f64>,
}

/// Result of `wait`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Waited {
    /// Offset, repeated from the request.
    pub off: u64,
    /// Number of retained bytes from `off` to the next hole.
    pub available: u64,
    /// Lowest retained offset.
    pub base: u64,
    /// In-order edge.
    pub next: u64,
    /// Highest offset received, plus 1.
    pub end: u64,
    /// Offset of the FIN; absent until it is seen.
    pub fin: Option<u64>,
}

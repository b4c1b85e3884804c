//! `turns`.

use monitor_common::Side;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::number::{none, optional, whole};

/// Parameters of `turns`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct TurnsParams {
    /// Connection.
    #[serde(deserialize_with = "whole")]
    pub sockid: u64,
    /// `next` of the previous reply; by default the lowest retained offsets.
    #[serde(default, skip_serializing_if = "none")]
    pub from: Option<Offsets>,
    /// Maximum number of turns in the reply.
    #[serde(default, skip_serializing_if = "none", deserialize_with = "optional")]
    pub limit: Option<u64>,
    /// Worker that is expected to own the connection.
    #[serde(default, skip_serializing_if = "none", deserialize_with = "optional")]
    pub worker: Option<u64>,
}

/// Result of `turns`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Turns {
    /// Turns in the order of the conversation. None: all bytes so far were returned before.
    pub turns: Vec<Turn>,
    /// `from` of the next request, for the turns after these.
    pub next: Offsets,
}

/// Bytes that one end received without a pause, and the time at which they became readable in order.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Turn {
    /// Side that received the bytes.
    pub side: Side,
    /// Offset of the first byte.
    pub off: u64,
    /// Number of bytes.
    pub len: u64,
    /// Time of the first byte, in seconds since the epoch.
    pub time: f64,
}

/// Offset of each side.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Offsets {
    /// Offset of the client's side.
    #[serde(deserialize_with = "whole")]
    pub client: u64,
    /// Offset of the server's side.
    #[serde(deserialize_with = "whole")]
    pub server: u64,
}

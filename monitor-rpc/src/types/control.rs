//! `stop`, `configure`.

use std::ops::Not;

use monitor_common::{OverlapPolicy, Side};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::number::{none, optional, whole};
use crate::socket::Socket;

/// Parameters of `stop`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct StopParams {
    /// Connection.
    #[serde(deserialize_with = "whole")]
    pub sockid: u64,
    /// Side; by default both, which ends the connection.
    #[serde(default, skip_serializing_if = "none")]
    pub side: Option<Side>,
    /// Worker that is expected to own the connection.
    #[serde(default, skip_serializing_if = "none", deserialize_with = "optional")]
    pub worker: Option<u64>,
}

/// Parameters of `configure`: one connection (`sockid`), future connections (`filter`), or removal of a rule (`rule` and
/// `remove`).
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ConfigureParams {
    /// Connection.
    #[serde(default, skip_serializing_if = "none", deserialize_with = "optional")]
    pub sockid: Option<u64>,
    /// Filter on future connections.
    #[serde(default, skip_serializing_if = "none")]
    pub filter: Option<String>,
    /// Rule, as an earlier reply named it.
    #[serde(default, skip_serializing_if = "none", deserialize_with = "optional")]
    pub rule: Option<u64>,
    /// Removes the rule.
    #[serde(default, skip_serializing_if = "Not::not")]
    pub remove: bool,
    /// Side; by default both.
    #[serde(default, skip_serializing_if = "none")]
    pub side: Option<Side>,
    /// Maximum number of retained bytes, the newest ones.
    #[serde(default, skip_serializing_if = "none", deserialize_with = "optional")]
    pub window: Option<u64>,
    /// False: retain no bytes, permanently.
    #[serde(default, skip_serializing_if = "none")]
    pub enabled: Option<bool>,
    /// Policy that selects the bytes where segments overlap and differ.
    #[serde(default, skip_serializing_if = "none")]
    pub overlap: Option<OverlapPolicy>,
    /// Worker that is expected to own the connection.
    #[serde(default, skip_serializing_if = "none", deserialize_with = "optional")]
    pub worker: Option<u64>,
}

/// Result of `configure`: the connection with its new settings, or the new rule, or nothing after a removal.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Configured {
    /// Number of the rule, for its removal.
    #[serde(default, skip_serializing_if = "none")]
    pub rule: Option<u64>,
    /// Connection.
    #[serde(flatten)]
    pub socket: Option<Socket>,
}

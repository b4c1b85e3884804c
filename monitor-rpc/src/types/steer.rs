//! `stop`, `configure`.

use std::ops::Not;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::Side;
use crate::number::{optional, whole};
use crate::socket::{Overlap, Socket};

/// `stop`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct StopParams {
    /// Which connection.
    #[serde(deserialize_with = "whole")]
    pub sockid: u64,
    /// Only this side; the connection itself goes on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub side: Option<Side>,
    /// The worker that is expected to own it.
    #[serde(
        default,
        skip_serializing_if = "Option::is_none",
        deserialize_with = "optional"
    )]
    pub worker: Option<u64>,
}

/// `configure`: one connection (`sockid`), connections to come (`filter`), or an end to that (`rule` and `remove`).
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ConfigureParams {
    /// Which connection.
    #[serde(
        default,
        skip_serializing_if = "Option::is_none",
        deserialize_with = "optional"
    )]
    pub sockid: Option<u64>,
    /// Which connections to come, in the filter language.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub filter: Option<String>,
    /// Which rule, as an earlier answer named it.
    #[serde(
        default,
        skip_serializing_if = "Option::is_none",
        deserialize_with = "optional"
    )]
    pub rule: Option<u64>,
    /// Takes the rule away.
    #[serde(default, skip_serializing_if = "Not::not")]
    pub remove: bool,
    /// Only this side; else both.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub side: Option<Side>,
    /// Bytes to keep, the newest ones.
    #[serde(
        default,
        skip_serializing_if = "Option::is_none",
        deserialize_with = "optional"
    )]
    pub window: Option<u64>,
    /// False: keep no bytes, for good.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub enabled: Option<bool>,
    /// Whose bytes win where segments overlap and differ.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub overlap: Option<Overlap>,
    /// The worker that is expected to own the connection.
    #[serde(
        default,
        skip_serializing_if = "Option::is_none",
        deserialize_with = "optional"
    )]
    pub worker: Option<u64>,
}

/// `configure`: a connection as it is now, or the rule that was made, or nothing when a rule was taken away.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Configured {
    /// The rule's name, for taking it away.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rule: Option<u64>,
    /// The connection.
    #[serde(flatten)]
    pub socket: Option<Socket>,
}

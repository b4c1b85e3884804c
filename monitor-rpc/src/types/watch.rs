//! `watch`.

use monitor_common::Side;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::number::{none, optional};

/// Parameters of `watch`. Exactly one of `pattern` and `patterns` is given.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct WatchParams {
    /// Pattern to search for.
    #[serde(default, skip_serializing_if = "none")]
    pub pattern: Option<WatchPattern>,
    /// Patterns to search for.
    #[serde(default, skip_serializing_if = "none")]
    pub patterns: Option<Vec<WatchPattern>>,
    /// Side; by default both.
    #[serde(default, skip_serializing_if = "none")]
    pub side: Option<Side>,
    /// Filter on connections; not together with `sockid`.
    #[serde(default, skip_serializing_if = "none")]
    pub filter: Option<String>,
    /// Connection.
    #[serde(default, skip_serializing_if = "none", deserialize_with = "optional")]
    pub sockid: Option<u64>,
    /// Number of bytes before and after a match that its event carries; none by default.
    #[serde(default, skip_serializing_if = "none", deserialize_with = "optional")]
    pub context: Option<u64>,
    /// Maximum number of events of each worker that wait for the search.
    #[serde(default, skip_serializing_if = "none", deserialize_with = "optional")]
    pub queue: Option<u64>,
}

/// Pattern to search for.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(
    untagged,
    expecting = "a regular expression, or an object with `regex`, `text` or `hex`"
)]
pub enum WatchPattern {
    /// A regular expression.
    Regex(String),
    /// An object.
    Form(PatternForm),
}

/// Pattern with its options. Exactly one of `regex`, `text` and `hex` is given.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct PatternForm {
    /// A regular expression.
    #[serde(default, skip_serializing_if = "none")]
    pub regex: Option<String>,
    /// Literal text, in UTF-8.
    #[serde(default, skip_serializing_if = "none")]
    pub text: Option<String>,
    /// Literal bytes, two hexadecimal digits each.
    #[serde(default, skip_serializing_if = "none")]
    pub hex: Option<String>,
    /// Name in its events; by default its index in the list.
    #[serde(default, skip_serializing_if = "none")]
    pub id: Option<PatternId>,
    /// Letters match in either case.
    #[serde(default)]
    pub nocase: bool,
}

/// Name of a pattern.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(untagged, expecting = "a string or a whole number")]
pub enum PatternId {
    /// A number.
    Number(u64),
    /// Any text.
    Text(String),
}

/// Result of `watch`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Watching {
    /// Identifier of the subscription, for `unsubscribe`; its events carry it.
    pub sockid: u64,
    /// Number of patterns.
    pub patterns: u64,
}

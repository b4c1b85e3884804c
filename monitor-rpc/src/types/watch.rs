//! `watch`.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::Side;
use crate::number::optional;

/// `watch`. Exactly one of `pattern` and `patterns` is given.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct WatchParams {
    /// What to search for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pattern: Option<WatchPattern>,
    /// The same, several.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub patterns: Option<Vec<WatchPattern>>,
    /// In the bytes received by this side; by both unless given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub side: Option<Side>,
    /// On connections that this filter wants; not together with `sockid`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub filter: Option<String>,
    /// On this connection.
    #[serde(
        default,
        skip_serializing_if = "Option::is_none",
        deserialize_with = "optional"
    )]
    pub sockid: Option<u64>,
    /// Bytes before and after a match that its event brings along; none unless given.
    #[serde(
        default,
        skip_serializing_if = "Option::is_none",
        deserialize_with = "optional"
    )]
    pub context: Option<u64>,
    /// Notes that may wait for the search, for each worker.
    #[serde(
        default,
        skip_serializing_if = "Option::is_none",
        deserialize_with = "optional"
    )]
    pub queue: Option<u64>,
}

/// What to search for.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(
    untagged,
    expecting = "a regular expression, or an object with `regex`, `text` or `hex`"
)]
pub enum WatchPattern {
    /// A regular expression.
    Regex(String),
    /// One of several forms.
    Form(PatternForm),
}

/// A pattern with what belongs to it. Exactly one of `regex`, `text` and `hex` is given.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct PatternForm {
    /// A regular expression.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub regex: Option<String>,
    /// These characters, in UTF-8.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub text: Option<String>,
    /// These bytes, two digits each.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hex: Option<String>,
    /// What its events call it; its place in the list unless given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id: Option<PatternId>,
    /// Letters match in either case.
    #[serde(default)]
    pub nocase: bool,
}

/// A pattern's name.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(untagged, expecting = "a string or a whole number")]
pub enum PatternId {
    /// A number.
    Number(u64),
    /// Any text.
    Text(String),
}

/// `watch`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Watching {
    /// The listener's name, for `unsubscribe`; its events carry it.
    pub sockid: u64,
    /// How many patterns are searched for.
    pub patterns: u64,
}

/// Bytes around a match.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Context {
    /// Where they start.
    pub off: u64,
    /// The bytes in base64 (RFC 4648, section 4, padded).
    pub data: String,
}

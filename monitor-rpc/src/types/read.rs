//! `fragments`, `ppeek`, `peek`.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::Side;
use crate::number::{optional, whole};

/// `fragments`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct FragmentsParams {
    /// Which connection.
    #[serde(deserialize_with = "whole")]
    pub sockid: u64,
    /// Whose received bytes.
    pub side: Side,
    /// The worker that is expected to own it.
    #[serde(
        default,
        skip_serializing_if = "Option::is_none",
        deserialize_with = "optional"
    )]
    pub worker: Option<u64>,
}

/// `fragments`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Fragments {
    /// Offset and length of every retained run of bytes, in order.
    pub extents: Vec<(u64, u64)>,
    /// Lowest retained offset.
    pub base: u64,
    /// The in-order edge.
    pub next: u64,
    /// One past the highest byte received.
    pub end: u64,
}

/// `ppeek`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct PpeekParams {
    /// Which connection.
    #[serde(deserialize_with = "whole")]
    pub sockid: u64,
    /// Whose received bytes.
    pub side: Side,
    /// Distance from the first payload byte.
    #[serde(deserialize_with = "whole")]
    pub off: u64,
    /// Most bytes wanted.
    #[serde(deserialize_with = "whole")]
    pub len: u64,
    /// How the bytes are sent.
    #[serde(default)]
    pub encoding: Encoding,
    /// The worker that is expected to own it.
    #[serde(
        default,
        skip_serializing_if = "Option::is_none",
        deserialize_with = "optional"
    )]
    pub worker: Option<u64>,
}

/// How bytes are sent.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Encoding {
    /// In the reply's `data`.
    #[default]
    Base64,
    /// After the reply's line, `raw` of them.
    Raw,
}

/// `ppeek`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Ppeek {
    /// As asked.
    pub off: u64,
    /// Bytes returned.
    pub len: u64,
    /// Lowest retained offset.
    pub base: u64,
    /// The in-order edge.
    pub next: u64,
    /// One past the highest byte received.
    pub end: u64,
    /// Offset of the FIN, once seen.
    pub fin: Option<u64>,
    /// This read ends where the FIN is.
    pub eof: bool,
    /// Bytes that follow the line.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub raw: Option<u64>,
    /// The bytes in base64 (RFC 4648, section 4, padded).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub data: Option<String>,
}

/// `peek`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct PeekParams {
    /// Which connection.
    #[serde(deserialize_with = "whole")]
    pub sockid: u64,
    /// Whose received bytes.
    pub side: Side,
    /// Most bytes wanted.
    #[serde(deserialize_with = "whole")]
    pub len: u64,
    /// How the bytes are sent.
    #[serde(default)]
    pub encoding: Encoding,
    /// The worker that is expected to own it.
    #[serde(
        default,
        skip_serializing_if = "Option::is_none",
        deserialize_with = "optional"
    )]
    pub worker: Option<u64>,
}

/// `peek`. The cursor was at `off` less `lost` and the length of `gap`, and is behind the bytes now.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Peek {
    /// Where the bytes start.
    pub off: u64,
    /// Bytes returned.
    pub len: u64,
    /// Offsets that were passed because they are below `base` by now.
    pub lost: u64,
    /// The hole, declared lost, that was passed after them.
    pub gap: Option<Hole>,
    /// Lowest retained offset.
    pub base: u64,
    /// The in-order edge.
    pub next: u64,
    /// One past the highest byte received.
    pub end: u64,
    /// Offset of the FIN, once seen.
    pub fin: Option<u64>,
    /// This read ends where the FIN is.
    pub eof: bool,
    /// Bytes that follow the line.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub raw: Option<u64>,
    /// The bytes in base64 (RFC 4648, section 4, padded).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub data: Option<String>,
}

/// Bytes that are not there.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Hole {
    /// Where it starts.
    pub off: u64,
    /// How long it is.
    pub len: u64,
}

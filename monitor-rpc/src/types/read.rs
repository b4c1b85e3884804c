//! `fragments`, `ppeek`.

use monitor_common::Side;
use monitor_reader::Peek;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::number::{none, optional, whole};

/// Parameters of `fragments`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct FragmentsParams {
    /// Connection.
    #[serde(deserialize_with = "whole")]
    pub sockid: u64,
    /// Side.
    pub side: Side,
    /// Worker that is expected to own the connection.
    #[serde(default, skip_serializing_if = "none", deserialize_with = "optional")]
    pub worker: Option<u64>,
}

/// Result of `fragments`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Fragments {
    /// Offset and length of each retained range, in order.
    pub extents: Vec<(u64, u64)>,
    /// Lowest retained offset.
    pub base: u64,
    /// In-order edge.
    pub next: u64,
    /// Highest offset received, plus 1.
    pub end: u64,
}

/// Parameters of `ppeek`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct PpeekParams {
    /// Connection.
    #[serde(deserialize_with = "whole")]
    pub sockid: u64,
    /// Side.
    pub side: Side,
    /// Offset of the first byte.
    #[serde(deserialize_with = "whole")]
    pub off: u64,
    /// Maximum number of bytes.
    #[serde(deserialize_with = "whole")]
    pub len: u64,
    /// Encoding of the bytes.
    #[serde(default)]
    pub encoding: Encoding,
    /// Worker that is expected to own the connection.
    #[serde(default, skip_serializing_if = "none", deserialize_with = "optional")]
    pub worker: Option<u64>,
}

/// Encoding of bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Encoding {
    /// Base64 in `data`.
    #[default]
    Base64,
    /// After the line, `raw` of them.
    Raw,
}

/// Result of `ppeek`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Ppeek {
    /// Offset, repeated from the request.
    pub off: u64,
    /// Number of bytes returned.
    pub len: u64,
    /// Lowest retained offset.
    pub base: u64,
    /// In-order edge.
    pub next: u64,
    /// Highest offset received, plus 1.
    pub end: u64,
    /// Offset of the FIN; absent until it is seen.
    pub fin: Option<u64>,
    /// True if the bytes end at the FIN.
    pub eof: bool,
    /// Number of raw bytes that follow the line.
    #[serde(default, skip_serializing_if = "none")]
    pub raw: Option<u64>,
    /// Bytes in base64 (RFC 4648, section 4, padded).
    #[serde(default, skip_serializing_if = "none")]
    pub data: Option<String>,
}

impl Ppeek {
    /// Creates the result of a read at `off`, without its bytes.
    #[must_use]
    pub fn of(off: u64, peek: &Peek) -> Self {
        Self {
            off,
            len: peek.len as u64,
            base: peek.base,
            next: peek.next,
            end: peek.end,
            fin: peek.fin,
            eof: peek.eof,
            raw: None,
            data: None,
        }
    }
}

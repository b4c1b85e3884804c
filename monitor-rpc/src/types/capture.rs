//! `capture`.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::number::{none, optional};

/// Parameters of `capture`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct CaptureParams {
    /// Filter on connections; the packets of all by default.
    #[serde(default, skip_serializing_if = "none")]
    pub filter: Option<String>,
    /// Maximum number of bytes of each packet; all by default.
    #[serde(default, skip_serializing_if = "none", deserialize_with = "optional")]
    pub snaplen: Option<u64>,
    /// Worker, for the packets that it captures only; by default all workers.
    #[serde(default, skip_serializing_if = "none", deserialize_with = "optional")]
    pub worker: Option<u64>,
}

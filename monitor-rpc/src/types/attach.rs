//! `attach`.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Parameters of `attach`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct AttachParams {}

/// Result of `attach`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Attach {
    /// Number of descriptors that come with the reply's first byte (SCM_RIGHTS), one for each worker, in their order.
    pub descriptors: u16,
}

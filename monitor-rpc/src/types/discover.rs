//! `rpc.discover`.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Parameters of `rpc.discover`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct DiscoverParams {}

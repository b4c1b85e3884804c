//! `config.get`, `config.test`, `config.reload`.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::number::none;

/// Parameters of `config.get`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ConfigGetParams {}

/// Result of `config.get`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct ConfigGet {
    /// Settings that apply, by section and key, in the notation of the file.
    pub config: Map<String, Value>,
    /// File that they were read from; `None`: built-in defaults.
    pub file: Option<String>,
}

/// Parameters of `config.test`. Without both, it tests the file that the daemon was started with.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ConfigTestParams {
    /// Content of a file.
    #[serde(default, skip_serializing_if = "none")]
    pub text: Option<String>,
    /// Path of a file, for root and the daemon's own user only: it is read with the daemon's rights.
    #[serde(default, skip_serializing_if = "none")]
    pub file: Option<String>,
}

/// Result of `config.test`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct ConfigTest {
    /// Always true: wrong settings are an error.
    pub valid: bool,
    /// Settings that would change.
    pub changes: Vec<Change>,
}

/// Parameters of `config.reload`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ConfigReloadParams {}

/// Result of `config.reload`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct ConfigReload {
    /// Settings that differ from those before.
    pub changes: Vec<Change>,
}

/// Setting that differs.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Change {
    /// Section and key, `filter.ports` for example.
    pub key: String,
    /// Value in force, in the notation of the file.
    pub from: Value,
    /// Value in the file.
    pub to: Value,
    /// Time at which the new value applies.
    pub applies: Applies,
}

/// Time at which a changed setting applies.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Applies {
    /// At once.
    Now,
    /// At the next start of the daemon; until then the old value applies.
    Restart,
}

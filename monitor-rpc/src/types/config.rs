//! `config.get`, `config.test`, `config.reload`.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// `config.get`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ConfigGetParams {}

/// `config.get`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct ConfigGet {
    /// The settings that apply, by section and key, as they are written in the file.
    pub config: Map<String, Value>,
    /// The file that they were read from; `None`: built-in ones.
    pub file: Option<String>,
}

/// `config.test`. With neither of them: the file that the daemon was started with.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ConfigTestParams {
    /// Settings as they would stand in the file.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub text: Option<String>,
    /// The path of a file, for root and the daemon's own user: it is read with the daemon's rights.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub file: Option<String>,
}

/// `config.test`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct ConfigTest {
    /// Always true: settings that are wrong are an error.
    pub valid: bool,
    /// What they would change.
    pub changes: Vec<Change>,
}

/// `config.reload`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ConfigReloadParams {}

/// `config.reload`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct ConfigReload {
    /// What differs from the settings that applied before.
    pub changes: Vec<Change>,
}

/// A setting that differs.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Change {
    /// Section and key, `filter.ports` for example.
    pub key: String,
    /// What applies so far, as it is written in the file.
    pub from: Value,
    /// What the file says.
    pub to: Value,
    /// When the new value applies.
    pub applies: Applies,
}

/// When a changed setting applies.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Applies {
    /// As soon as the settings are read again.
    Now,
    /// When the daemon is started the next time; until then the old value does.
    Restart,
}

//! Sides of a connection.

use std::borrow::Cow;
use std::fmt;
use std::str::FromStr;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::{Deserializer, Error, Unexpected, Visitor};
use serde::{Deserialize, Serialize, Serializer};

/// A side of a connection, named after the receiver: [`Side::Server`] holds what the client sent.
/// On the wire `"client"` or `"server"`; 0 and 1 are accepted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Side {
    /// What the client received.
    Client,
    /// What the server received.
    Server,
}

impl Side {
    /// Both, in the order of their numbers.
    pub const BOTH: [Side; 2] = [Side::Client, Side::Server];

    /// Its name on the wire.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Side::Client => "client",
            Side::Server => "server",
        }
    }
}

impl fmt::Display for Side {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

/// What was given is not a side.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("a side is \"client\" (what the client received) or \"server\" (what the server received)")]
pub struct NotASide;

impl FromStr for Side {
    type Err = NotASide;

    fn from_str(text: &str) -> Result<Self, NotASide> {
        match text {
            "client" | "0" => Ok(Side::Client),
            "server" | "1" => Ok(Side::Server),
            _ => Err(NotASide),
        }
    }
}

impl Serialize for Side {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.name())
    }
}

impl<'de> Deserialize<'de> for Side {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(SideVisitor)
    }
}

struct SideVisitor;

impl Visitor<'_> for SideVisitor {
    type Value = Side;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("\"client\", \"server\", 0 or 1")
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Side, E> {
        match text {
            "client" => Ok(Side::Client),
            "server" => Ok(Side::Server),
            _ => Err(E::invalid_value(Unexpected::Str(text), &self)),
        }
    }

    fn visit_u64<E: Error>(self, number: u64) -> Result<Side, E> {
        match number {
            0 => Ok(Side::Client),
            1 => Ok(Side::Server),
            _ => Err(E::invalid_value(Unexpected::Unsigned(number), &self)),
        }
    }
}

impl JsonSchema for Side {
    fn schema_name() -> Cow<'static, str> {
        "Side".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "description": "A side of a connection, named after the receiver; 0 and 1 are read as its numbers.",
            "enum": ["client", "server", 0, 1],
        })
    }
}

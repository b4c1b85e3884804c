//! Sides of a connection.

use core::fmt;
use core::str::FromStr;

/// Side of a connection, named after the receiver: [`Side::Server`] holds the bytes that the client sent.
/// The RPC writes `"client"` or `"server"`, and also reads 0 and 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Side {
    /// Bytes received by the client.
    Client,
    /// Bytes received by the server.
    Server,
}

impl Side {
    /// Both sides, in the order of their indices.
    pub const BOTH: [Self; 2] = [Self::Client, Self::Server];

    /// Returns 0 for the client, 1 for the server.
    #[inline(always)]
    #[must_use]
    pub const fn index(self) -> usize {
        self as usize
    }

    /// Returns the side at the other end.
    #[inline(always)]
    #[must_use]
    pub const fn peer(self) -> Self {
        match self {
            Self::Client => Self::Server,
            Self::Server => Self::Client,
        }
    }

    /// Returns the name that the RPC uses.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Client => "client",
            Self::Server => "server",
        }
    }
}

impl fmt::Display for Side {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

/// Error of a text that names no side.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UnknownSide;

impl fmt::Display for UnknownSide {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(
            "a side is \"client\" (bytes received by the client) or \"server\" (bytes received by the server)",
        )
    }
}

impl core::error::Error for UnknownSide {}

impl FromStr for Side {
    type Err = UnknownSide;

    fn from_str(text: &str) -> Result<Self, UnknownSide> {
        match text {
            "client" | "0" => Ok(Self::Client),
            "server" | "1" => Ok(Self::Server),
            _ => Err(UnknownSide),
        }
    }
}

#[cfg(feature = "serde")]
mod wire {
    use core::fmt;

    use serde::de::{Deserializer, Error, Unexpected, Visitor};
    use serde::{Deserialize, Serialize, Serializer};

    use super::Side;

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
}

#[cfg(feature = "schemars")]
impl schemars::JsonSchema for Side {
    fn schema_name() -> alloc::borrow::Cow<'static, str> {
        "Side".into()
    }

    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({
            "description": "A side of a connection, named after the receiver; 0 and 1 are read as its numbers.",
            "enum": ["client", "server", 0, 1],
        })
    }
}

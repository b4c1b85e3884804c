//! TCP states by the names of RFC 9293.

use std::borrow::Cow;
use std::fmt;
use std::str::FromStr;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::{Deserializer, Error, Unexpected, Visitor};
use serde::{Deserialize, Serialize, Serializer};

macro_rules! states {
    ($($(#[doc = $doc:literal])+ $variant:ident = $name:literal,)+) => {
        /// State of one end (RFC 9293, section 3.3.2). Read in any case, written as there.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum State {
            $($(#[doc = $doc])+ $variant,)+
        }

        impl State {
            /// All of them.
            pub const ALL: &[State] = &[$(State::$variant),+];

            /// The name RFC 9293 uses.
            #[must_use]
            pub fn name(self) -> &'static str {
                match self { $(State::$variant => $name,)+ }
            }
        }
    };
}

states! {
    /// Nothing seen yet, or all over.
    Closed = "CLOSED",
    /// Waiting for a SYN.
    Listen = "LISTEN",
    /// Sent a SYN.
    SynSent = "SYN-SENT",
    /// Got a SYN and answered.
    SynReceived = "SYN-RECEIVED",
    /// Open both ways.
    Established = "ESTABLISHED",
    /// Sent a FIN.
    FinWait1 = "FIN-WAIT-1",
    /// Its FIN is acknowledged.
    FinWait2 = "FIN-WAIT-2",
    /// Got the peer's FIN.
    CloseWait = "CLOSE-WAIT",
    /// Both sent FINs that crossed.
    Closing = "CLOSING",
    /// Got a FIN, sent its own.
    LastAck = "LAST-ACK",
    /// Waiting for stray segments to die.
    TimeWait = "TIME-WAIT",
}

impl fmt::Display for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

/// What was given is not a state.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("{}", Expected)]
pub struct NotAState;

impl FromStr for State {
    type Err = NotAState;

    fn from_str(text: &str) -> Result<Self, NotAState> {
        State::ALL
            .iter()
            .copied()
            .find(|state| state.name().eq_ignore_ascii_case(text))
            .ok_or(NotAState)
    }
}

impl Serialize for State {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.name())
    }
}

impl<'de> Deserialize<'de> for State {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_str(Expected)
    }
}

/// Reads a state, and says what one looks like.
struct Expected;

impl fmt::Display for Expected {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a TCP state:")?;
        for (index, state) in State::ALL.iter().enumerate() {
            write!(f, "{}{}", if index == 0 { " " } else { ", " }, state.name())?;
        }
        Ok(())
    }
}

impl Visitor<'_> for Expected {
    type Value = State;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<State, E> {
        text.parse()
            .map_err(|_| E::invalid_value(Unexpected::Str(text), &self))
    }
}

impl JsonSchema for State {
    fn schema_name() -> Cow<'static, str> {
        "State".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        let names: Vec<_> = State::ALL.iter().map(|state| state.name()).collect();
        json_schema!({ "description": "State of one end (RFC 9293), read in any case.", "enum": names })
    }
}

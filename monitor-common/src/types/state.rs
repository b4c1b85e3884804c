//! TCP states by the names of RFC 9293, and the reasons for the end of a connection.

use core::fmt;
use core::str::FromStr;

macro_rules! states {
    ($($(#[doc = $doc:literal])+ $(#[$attribute:ident])? $variant:ident = $name:literal,)+) => {
        /// State of one end (RFC 9293, section 3.3.2), as far as the packets show it. Read in any case.
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
        #[repr(u8)]
        pub enum TcpState {
            $($(#[doc = $doc])+ $(#[$attribute])? $variant,)+
        }

        impl TcpState {
            /// All states, in the order of their numbers.
            pub const ALL: [Self; 11] = [$(Self::$variant),+];

            /// Returns the name that RFC 9293 uses.
            #[must_use]
            pub const fn name(self) -> &'static str {
                match self { $(Self::$variant => $name,)+ }
            }
        }
    };
}

states! {
    /// Nothing seen yet, or the connection is over.
    #[default]
    Closed = "CLOSED",
    /// Waiting for a SYN.
    Listen = "LISTEN",
    /// Sent a SYN.
    SynSent = "SYN-SENT",
    /// Received a SYN and answered.
    SynReceived = "SYN-RECEIVED",
    /// Open in both directions.
    Established = "ESTABLISHED",
    /// Sent a FIN.
    FinWait1 = "FIN-WAIT-1",
    /// Sent a FIN, which is acknowledged.
    FinWait2 = "FIN-WAIT-2",
    /// Received the peer's FIN.
    CloseWait = "CLOSE-WAIT",
    /// Both sent FINs that crossed.
    Closing = "CLOSING",
    /// Received a FIN, then sent its own.
    LastAck = "LAST-ACK",
    /// Waiting until stray segments have left the network.
    TimeWait = "TIME-WAIT",
}

impl TcpState {
    /// Returns the state with a number; [`TcpState::Closed`] for a number that none has.
    #[inline]
    #[must_use]
    pub fn from_number(number: u8) -> Self {
        Self::ALL
            .get(usize::from(number))
            .copied()
            .unwrap_or_default()
    }
}

impl fmt::Display for TcpState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

/// Error of a text that names no TCP state.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UnknownState;

impl fmt::Display for UnknownState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a TCP state:")?;
        for (index, state) in TcpState::ALL.iter().enumerate() {
            write!(f, "{}{state}", if index == 0 { " " } else { ", " })?;
        }
        Ok(())
    }
}

impl core::error::Error for UnknownState {}

impl FromStr for TcpState {
    type Err = UnknownState;

    fn from_str(text: &str) -> Result<Self, UnknownState> {
        Self::ALL
            .iter()
            .copied()
            .find(|state| state.name().eq_ignore_ascii_case(text))
            .ok_or(UnknownState)
    }
}

/// Reason for the end of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(rename_all = "lowercase"))]
#[cfg_attr(feature = "schemars", derive(schemars::JsonSchema))]
#[cfg_attr(feature = "schemars", schemars(rename = "Closed"))]
#[repr(u8)]
pub enum CloseReason {
    /// Both FINs were seen and acknowledged.
    Fin = 1,
    /// A valid RST.
    Rst,
    /// No packet for the idle timeout.
    Timeout,
    /// A new connection uses the same addresses and ports.
    Reused,
    /// Its memory was needed.
    Evicted,
    /// Stopped by a client.
    Stopped,
    /// A reason that this version does not know. Only clients of a newer monitord read it.
    #[cfg_attr(feature = "serde", serde(other))]
    Other,
}

impl CloseReason {
    /// Reasons that monitord gives, in the order of their numbers.
    pub const ALL: &[Self] = &[
        Self::Fin,
        Self::Rst,
        Self::Timeout,
        Self::Reused,
        Self::Evicted,
        Self::Stopped,
    ];

    /// Returns the reason with a number; `None` for 0 and for a number that none has.
    #[must_use]
    pub fn from_number(number: u8) -> Option<Self> {
        Self::ALL
            .iter()
            .copied()
            .find(|reason| *reason as u8 == number)
    }

    /// Returns the name that the RPC uses.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Fin => "fin",
            Self::Rst => "rst",
            Self::Timeout => "timeout",
            Self::Reused => "reused",
            Self::Evicted => "evicted",
            Self::Stopped => "stopped",
            Self::Other => "other",
        }
    }
}

#[cfg(feature = "serde")]
mod wire {
    use core::fmt;

    use serde::de::{Deserializer, Error, Unexpected, Visitor};
    use serde::{Deserialize, Serialize, Serializer};

    use super::{TcpState, UnknownState};

    impl Serialize for TcpState {
        fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
            serializer.serialize_str(self.name())
        }
    }

    impl<'de> Deserialize<'de> for TcpState {
        fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
            deserializer.deserialize_str(StateVisitor)
        }
    }

    struct StateVisitor;

    impl Visitor<'_> for StateVisitor {
        type Value = TcpState;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            fmt::Display::fmt(&UnknownState, f)
        }

        fn visit_str<E: Error>(self, text: &str) -> Result<TcpState, E> {
            text.parse()
                .map_err(|_| E::invalid_value(Unexpected::Str(text), &self))
        }
    }
}

#[cfg(feature = "schemars")]
impl schemars::JsonSchema for TcpState {
    fn schema_name() -> alloc::borrow::Cow<'static, str> {
        "State".into()
    }

    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        let names = Self::ALL.map(Self::name);
        schemars::json_schema!({ "description": "State of one end (RFC 9293), read in any case.", "enum": names })
    }
}

//! `subscribe`, `unsubscribe`, `follow`, `wait`, and the notification `event`.

use std::borrow::Cow;
use std::net::SocketAddr;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Context, Encoding, PatternId};
use crate::Side;
use crate::number::{optional, seconds, whole};
use crate::state::State;

/// A kind of event that can be subscribed to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum EventKind {
    /// The first packet of a connection.
    Opened,
    /// Its handshake is complete (or, midstream, data was seen).
    Established,
    /// The in-order edge moved on over received bytes.
    Data,
    /// A hole was declared lost.
    Gap,
    /// Bytes of a hole declared lost came after all.
    Filled,
    /// Bytes that were there arrived again.
    Retransmit,
    /// Bytes that were there arrived again, and differed.
    Conflict,
    /// An end changed its state.
    State,
    /// The connection ended; it can still be read for a while.
    Closed,
    /// The connection's memory was needed: it is gone.
    Evicted,
}

/// `subscribe`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SubscribeParams {
    /// Which events; all but `data` and `retransmit` unless given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub events: Option<Vec<EventKind>>,
    /// On connections that this filter wants; not together with `sockid`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub filter: Option<String>,
    /// On this connection.
    #[serde(
        default,
        skip_serializing_if = "Option::is_none",
        deserialize_with = "optional"
    )]
    pub sockid: Option<u64>,
    /// Of events that belong to a side, those of this one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub side: Option<Side>,
    /// `data` events bring their bytes along.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub data: Option<DataWanted>,
    /// How those are sent.
    #[serde(default)]
    pub encoding: Encoding,
    /// Notes that may wait for the client, for each worker.
    #[serde(
        default,
        skip_serializing_if = "Option::is_none",
        deserialize_with = "optional"
    )]
    pub queue: Option<u64>,
}

/// How many bytes `data` events bring along.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct DataWanted {
    /// Of each event, at most.
    #[serde(deserialize_with = "whole")]
    pub max: u64,
}

/// `subscribe`, `follow`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Listening {
    /// The listener's name, for `unsubscribe`; its events carry it.
    pub sockid: u64,
}

/// `unsubscribe`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct UnsubscribeParams {
    /// The listener.
    #[serde(deserialize_with = "whole")]
    pub sockid: u64,
}

/// `unsubscribe`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Unsubscribed {}

/// `follow`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct FollowParams {
    /// Which connection.
    #[serde(deserialize_with = "whole")]
    pub sockid: u64,
    /// Whose received bytes; both sides' unless given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub side: Option<Side>,
    /// Where to start; at the lowest offset kept unless given.
    #[serde(
        default,
        skip_serializing_if = "Option::is_none",
        deserialize_with = "optional"
    )]
    pub off: Option<u64>,
    /// How the bytes are sent.
    #[serde(default)]
    pub encoding: Encoding,
}

/// `wait`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct WaitParams {
    /// Which connection.
    #[serde(deserialize_with = "whole")]
    pub sockid: u64,
    /// Whose received bytes.
    pub side: Side,
    /// The byte to wait for.
    #[serde(deserialize_with = "whole")]
    pub off: u64,
    /// Seconds, with a fraction, up to 3600; 30 unless given. 0: looks once.
    #[serde(
        default,
        skip_serializing_if = "Option::is_none",
        deserialize_with = "seconds"
    )]
    pub timeout: Option<f64>,
}

/// `wait`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Waited {
    /// As asked.
    pub off: u64,
    /// Bytes that are there from `off` on, up to a hole.
    pub available: u64,
    /// Lowest retained offset.
    pub base: u64,
    /// The in-order edge.
    pub next: u64,
    /// One past the highest byte received.
    pub end: u64,
    /// Offset of the FIN, once seen.
    pub fin: Option<u64>,
}

/// The parameters of the notification `event`. Only what applies is there.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct EventParams {
    /// Who is told.
    pub listener: u64,
    /// What happened: an [`EventKind`], or a word that only some listeners hear.
    pub event: Cow<'static, str>,
    /// When: the time of the packet.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub time: Option<f64>,
    /// On which connection.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sockid: Option<u64>,
    /// Who opened it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub client: Option<SocketAddr>,
    /// Who was called.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub server: Option<SocketAddr>,
    /// VLAN ids, outermost first.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub vlan: Option<Vec<u16>>,
    /// Its start was not seen.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub midstream: Option<bool>,
    /// Whose received bytes, or whose state.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub side: Option<Side>,
    /// Where.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub off: Option<u64>,
    /// How many bytes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub len: Option<u64>,
    /// Which pattern was found.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pattern: Option<PatternId>,
    /// The match begins further back: where is not known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cut: Option<bool>,
    /// Bytes around the match.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub context: Option<Context>,
    /// A conflict with bytes that the receiver had delivered already.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub late: Option<bool>,
    /// The new state.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub state: Option<State>,
    /// Why the connection, or what is followed of it, ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<Cow<'static, str>>,
    /// How many notes were lost.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub count: Option<u64>,
    /// Bytes that follow the line.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub raw: Option<u64>,
    /// The bytes in base64 (RFC 4648, section 4, padded).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub data: Option<String>,
}

impl EventKind {
    /// All of them.
    pub const ALL: &[EventKind] = &[
        Self::Opened,
        Self::Established,
        Self::Data,
        Self::Gap,
        Self::Filled,
        Self::Retransmit,
        Self::Conflict,
        Self::State,
        Self::Closed,
        Self::Evicted,
    ];

    /// The word on the wire.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Opened => "opened",
            Self::Established => "established",
            Self::Data => "data",
            Self::Gap => "gap",
            Self::Filled => "filled",
            Self::Retransmit => "retransmit",
            Self::Conflict => "conflict",
            Self::State => "state",
            Self::Closed => "closed",
            Self::Evicted => "evicted",
        }
    }
}

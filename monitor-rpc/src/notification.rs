//! Notification `event`: one type from the server that writes it to the clients that read it.
//!
//! [`Notification`] holds the fields that all events share, [`EventBody`] those of each event. Raw bytes after the line
//! are announced by `raw` in [`EventBody::Data`]; clients put them into `data`, where base64 would have been.

use std::borrow::Cow;
use std::net::SocketAddr;
use std::ops::Not;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use monitor_common::{CloseReason, Refusal, Side, TcpState};
use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde::de::{Deserializer, Error as _};
use serde::{Deserialize, Serialize, Serializer};

use crate::number::none;
use crate::types::PatternId;

/// Parameters of the notification `event`.
///
/// ```
/// use monitor_rpc::notification::{EventBody, Notification};
///
/// let line = r#"{"listener":5,"event":"gap","time":1.5,"sockid":9,"side":"server","off":7,"len":4}"#;
/// let notification: Notification = serde_json::from_str(line)?;
/// let EventBody::Gap(range) = notification.body else {
///     panic!("another event")
/// };
/// assert_eq!((range.off, range.len), (7, 4));
/// # Ok::<(), serde_json::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Notification {
    /// Subscription: the `sockid` that `subscribe`, `follow` or `watch` returned.
    pub listener: u64,
    /// Time of the packet, in seconds since the epoch.
    #[serde(default, skip_serializing_if = "none")]
    pub time: Option<f64>,
    /// Connection; absent if the event is about the subscription.
    #[serde(default, skip_serializing_if = "none")]
    pub sockid: Option<u64>,
    /// Event and its own fields.
    #[serde(flatten)]
    pub body: EventBody,
}

/// Event with its own fields. Sides are named after the receiver, offsets count from its first payload byte.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "event", rename_all = "lowercase")]
pub enum EventBody {
    /// The first packet of a connection.
    Opened {
        /// Address and port that opened the connection.
        client: SocketAddr,
        /// Address and port that accepted it.
        server: SocketAddr,
        /// VLAN ids, outermost first.
        vlan: Vec<u16>,
        /// True if its start was not seen.
        midstream: bool,
    },
    /// The handshake is complete, or data was seen midstream.
    Established,
    /// The in-order edge advanced over received bytes. From `follow`: the next bytes.
    Data {
        /// Received bytes.
        #[serde(flatten)]
        range: SideRange,
        /// Number of raw bytes that follow the line; may be less than `len`.
        #[serde(default, skip_serializing_if = "none")]
        raw: Option<u64>,
        /// Bytes that were requested and are still retained.
        #[serde(default, skip_serializing_if = "none")]
        data: Option<Base64>,
    },
    /// A hole was declared lost.
    Gap(SideRange),
    /// Bytes of a lost range arrived late.
    Filled(SideRange),
    /// Received bytes arrived again.
    Retransmit(SideRange),
    /// Received bytes arrived again with other contents.
    Conflict {
        /// Bytes that differ.
        #[serde(flatten)]
        range: SideRange,
        /// True if the receiver had delivered them already; otherwise its overlap policy selects the copy.
        late: bool,
    },
    /// The receiver discarded a segment.
    Refused {
        /// Receiving side.
        side: Side,
        /// Sequence number of the segment.
        seq: u32,
        /// Number of payload bytes.
        len: u32,
        /// Reason.
        reason: Refusal,
    },
    /// An end changed its TCP state.
    State {
        /// End.
        side: Side,
        /// New state.
        state: TcpState,
    },
    /// The connection ended; it stays readable for the linger time.
    Closed {
        /// Reason for the end.
        reason: CloseReason,
    },
    /// The connection was removed because its memory was needed.
    Evicted,
    /// A pattern was found (`watch`).
    Match {
        /// Bytes of the match.
        #[serde(flatten)]
        range: SideRange,
        /// The pattern's `id`, or its index in the list.
        pattern: PatternId,
        /// True if the match starts before `off`, at an unknown offset.
        #[serde(default, skip_serializing_if = "Not::not")]
        cut: bool,
        /// Bytes around the match, if they were requested and are still retained.
        #[serde(default, skip_serializing_if = "none")]
        context: Option<Context>,
    },
    /// Captured packets of one interface (`capture`).
    Packets {
        /// Interface; `None`: unknown.
        interface: Option<String>,
        /// Link type of pcap files: 1 (Ethernet) or 101 (IP).
        link: u16,
        /// Number of packets.
        count: u64,
        /// Number of raw bytes that follow the line: for each packet its time, its lengths, and its bytes.
        #[serde(default, skip_serializing_if = "none")]
        raw: Option<u64>,
        /// Those bytes, in the client.
        #[serde(default, skip_serializing_if = "none")]
        data: Option<Base64>,
    },
    /// The subscription was too slow: events (`count`), or bytes that were evicted before they were sent (`side`, `off`
    /// and `len`).
    Lost {
        /// Number of events.
        #[serde(default, skip_serializing_if = "none")]
        count: Option<u64>,
        /// Number of events `closed` and `evicted` among them, at most (`subscribe`).
        #[serde(default, skip_serializing_if = "none")]
        ends: Option<u64>,
        /// Side of the bytes.
        #[serde(default, skip_serializing_if = "none")]
        side: Option<Side>,
        /// Offset of the first byte.
        #[serde(default, skip_serializing_if = "none")]
        off: Option<u64>,
        /// Number of bytes.
        #[serde(default, skip_serializing_if = "none")]
        len: Option<u64>,
    },
    /// A followed side ended.
    End {
        /// Side.
        side: Side,
        /// `eof`, `closed`, `disabled` or `gone`.
        reason: Cow<'static, str>,
    },
    /// The connection to the daemon broke, and the client library subscribed again: events in between are missing. Never
    /// on the wire.
    #[serde(skip)]
    Interrupted,
    /// An event that this version does not know.
    #[serde(other)]
    Other,
}

impl EventBody {
    /// Returns the event's name on the wire.
    #[must_use]
    pub fn name(&self) -> &'static str {
        match self {
            Self::Opened { .. } => "opened",
            Self::Established => "established",
            Self::Data { .. } => "data",
            Self::Gap(_) => "gap",
            Self::Filled(_) => "filled",
            Self::Retransmit(_) => "retransmit",
            Self::Conflict { .. } => "conflict",
            Self::Refused { .. } => "refused",
            Self::State { .. } => "state",
            Self::Closed { .. } => "closed",
            Self::Evicted => "evicted",
            Self::Match { .. } => "match",
            Self::Packets { .. } => "packets",
            Self::Lost { .. } => "lost",
            Self::End { .. } => "end",
            Self::Interrupted => "interrupted",
            Self::Other => "other",
        }
    }

    /// Returns the side that it is about.
    #[must_use]
    pub fn side(&self) -> Option<Side> {
        match self {
            Self::State { side, .. } | Self::Refused { side, .. } | Self::End { side, .. } => {
                Some(*side)
            }
            Self::Lost { side, .. } => *side,
            _ => self.range().map(|range| range.side),
        }
    }

    /// Returns the bytes that it is about.
    #[must_use]
    pub fn range(&self) -> Option<SideRange> {
        match *self {
            Self::Data { range, .. }
            | Self::Conflict { range, .. }
            | Self::Match { range, .. }
            | Self::Gap(range)
            | Self::Filled(range)
            | Self::Retransmit(range) => Some(range),
            Self::Lost { side, off, len, .. } => Some(SideRange {
                side: side?,
                off: off?,
                len: len?,
            }),
            _ => None,
        }
    }

    /// Returns the number of raw bytes that follow the line.
    #[must_use]
    pub fn raw(&self) -> u64 {
        match self {
            Self::Data { raw, .. } | Self::Packets { raw, .. } => raw.unwrap_or(0),
            _ => 0,
        }
    }
}

/// Range of bytes of one side.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct SideRange {
    /// Side that received the bytes.
    pub side: Side,
    /// Offset of the first byte.
    pub off: u64,
    /// Number of bytes.
    pub len: u64,
}

/// Bytes around a match, and the match among them.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Context {
    /// Offset of the first byte.
    pub off: u64,
    /// Bytes.
    pub data: Base64,
}

/// Bytes that JSON holds in base64 (RFC 4648, section 4, padded).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Base64(pub Vec<u8>);

impl Serialize for Base64 {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&STANDARD.encode(&self.0))
    }
}

impl<'de> Deserialize<'de> for Base64 {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = Cow::<str>::deserialize(deserializer)?;
        STANDARD
            .decode(text.as_ref())
            .map(Self)
            .map_err(D::Error::custom)
    }
}

/// The schema of a string.
impl JsonSchema for Base64 {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        String::schema_name()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        String::json_schema(generator)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn events_are_written_as_they_are_read() {
        let lines = [
            json!({ "listener": 1, "time": 1.5, "sockid": 2, "event": "opened", "client": "10.0.0.1:5",
                "server": "[::1]:80", "vlan": [7], "midstream": false }),
            json!({ "listener": 1, "sockid": 2, "event": "established" }),
            json!({ "listener": 1, "sockid": 2, "event": "data", "side": "server", "off": 7, "len": 4, "raw": 3 }),
            json!({ "listener": 1, "sockid": 2, "event": "data", "side": "server", "off": 7, "len": 4, "data": "YXhi" }),
            json!({ "listener": 1, "sockid": 2, "event": "conflict", "side": "client", "off": 7, "len": 4, "late": true }),
            json!({ "listener": 1, "sockid": 2, "event": "state", "side": "client", "state": "FIN-WAIT-1" }),
            json!({ "listener": 1, "sockid": 2, "event": "closed", "reason": "rst" }),
            json!({ "listener": 1, "sockid": 2, "event": "evicted" }),
            json!({ "listener": 1, "sockid": 2, "event": "match", "side": "client", "off": 7, "len": 1, "pattern": "x",
                "cut": true, "context": { "off": 6, "data": "YXhi" } }),
            json!({ "listener": 1, "event": "lost", "count": 3 }),
            json!({ "listener": 1, "sockid": 2, "event": "end", "side": "client", "reason": "eof" }),
        ];
        for line in lines {
            let read: Notification = serde_json::from_value(line.clone()).unwrap();
            assert_eq!(read.body.name(), line["event"]);
            assert_eq!(serde_json::to_value(&read).unwrap(), line);
        }
    }

    #[test]
    fn unknown_events_and_fields_are_ignored() {
        let line = json!({ "listener": 1, "event": "born", "why": [] });
        let read: Notification = serde_json::from_value(line).unwrap();
        assert_eq!(read.body, EventBody::Other);
    }
}

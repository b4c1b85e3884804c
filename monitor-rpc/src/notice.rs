//! What listeners are told.

use std::net::SocketAddr;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::de::{Deserializer, Error as _};
use serde::{Deserialize, Serialize};

use crate::Side;
use crate::socket::Closed;
use crate::state::State;

/// One thing that a listener was told.
#[derive(Clone, Debug, PartialEq, Deserialize)]
pub struct Notice {
    /// The listener: what `subscribe`, `follow` or `watch` returned.
    pub listener: u64,
    /// When, by the packets' clock: seconds since the epoch.
    pub time: Option<f64>,
    /// On which connection; `None` when it is about the listener.
    pub sockid: Option<u64>,
    /// What.
    #[serde(flatten)]
    pub what: What,
}

/// What happened. Sides are named after the receiver, offsets count from its first payload byte.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(tag = "event", rename_all = "lowercase")]
pub enum What {
    /// First packet of a connection.
    Opened {
        /// Who opened it.
        client: SocketAddr,
        /// Who was called.
        server: SocketAddr,
        /// VLAN ids, outermost first.
        vlan: Vec<u16>,
        /// Its start was not seen.
        midstream: bool,
    },
    /// The handshake is complete, or data was seen.
    Established,
    /// The in-order edge moved on over received bytes. From `follow`: the next bytes.
    Data {
        /// Whose received bytes.
        side: Side,
        /// Of the first.
        off: u64,
        /// How many.
        len: u64,
        /// The bytes, as many as were asked for and are still there; none unless asked for.
        #[serde(skip)]
        bytes: Vec<u8>,
    },
    /// A hole was declared lost.
    Gap(Range),
    /// Bytes of such a hole came after all.
    Filled(Range),
    /// Bytes arrived again.
    Retransmit(Range),
    /// Bytes arrived again, and differed.
    Conflict {
        /// Where.
        #[serde(flatten)]
        range: Range,
        /// The receiver had them already; otherwise its overlap policy decided which copy is read.
        late: bool,
    },
    /// An end changed its state.
    State {
        /// Which end.
        side: Side,
        /// Its new state.
        state: State,
    },
    /// The connection is over; it can be read for a while.
    Closed {
        /// Why.
        reason: Closed,
    },
    /// The connection is gone: its memory was needed.
    Evicted,
    /// A pattern was found (`watch`).
    Match {
        /// Where.
        #[serde(flatten)]
        range: Range,
        /// Which: its `id`, or its place in the list.
        pattern: serde_json::Value,
        /// What stands around it, if that was asked for and is still there.
        #[serde(default)]
        context: Option<Surroundings>,
    },
    /// What the listener was too slow for: notes (`count`), or bytes that were evicted before they could be sent
    /// (`side`, `off` and `len`).
    Lost {
        /// Notes.
        count: Option<u64>,
        /// Whose received bytes.
        side: Option<Side>,
        /// Of the first.
        off: Option<u64>,
        /// How many bytes.
        len: Option<u64>,
    },
    /// A side that is followed is over.
    End {
        /// Which one.
        side: Side,
        /// `eof`, `closed` or `gone`.
        reason: String,
    },
    /// The connection to the daemon broke, and the listener was made anew: what happened in between is not told. Comes
    /// from the client, not over the wire.
    #[serde(skip)]
    Interrupted,
    /// Something that this version does not know.
    #[serde(other)]
    Other,
}

/// Some bytes of one side.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Range {
    /// Whose received bytes.
    pub side: Side,
    /// Of the first.
    pub off: u64,
    /// How many.
    pub len: u64,
}

/// Bytes around a match, and the match among them.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct Surroundings {
    /// Of the first.
    pub off: u64,
    /// The bytes.
    #[serde(rename = "data", deserialize_with = "base64")]
    pub bytes: Vec<u8>,
}

fn base64<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<u8>, D::Error> {
    STANDARD
        .decode(String::deserialize(deserializer)?)
        .map_err(D::Error::custom)
}

/// What `subscribe`, `follow` and `watch` return.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
pub struct Listener {
    /// Its name. It dies with its connection, so the client that was given [`crate::Notices`] has no need of it.
    pub sockid: u64,
    /// `watch`: how many patterns it looks for.
    #[serde(default)]
    pub patterns: Option<u64>,
}

//! Kinds of events.

/// Kind of an event on a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(rename_all = "lowercase"))]
#[cfg_attr(feature = "schemars", derive(schemars::JsonSchema))]
#[repr(u8)]
pub enum EventKind {
    /// The first packet of a connection.
    Opened,
    /// The handshake is complete, or data was seen midstream.
    Established,
    /// The in-order edge advanced over received bytes.
    Data,
    /// A hole was declared lost.
    Gap,
    /// Bytes of a lost range arrived late.
    Filled,
    /// Received bytes arrived again.
    Retransmit,
    /// Received bytes arrived again with other contents.
    Conflict,
    /// A receiver discarded a segment.
    Refused,
    /// An end changed its TCP state.
    State,
    /// The connection ended; it stays readable for the linger time.
    Closed,
    /// The connection was removed because its memory was needed.
    Evicted,
}

impl EventKind {
    /// All kinds, in the order of their numbers.
    pub const ALL: &[Self] = &[
        Self::Opened,
        Self::Established,
        Self::Data,
        Self::Gap,
        Self::Filled,
        Self::Retransmit,
        Self::Conflict,
        Self::Refused,
        Self::State,
        Self::Closed,
        Self::Evicted,
    ];

    /// Returns the name that the RPC uses.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Opened => "opened",
            Self::Established => "established",
            Self::Data => "data",
            Self::Gap => "gap",
            Self::Filled => "filled",
            Self::Retransmit => "retransmit",
            Self::Conflict => "conflict",
            Self::Refused => "refused",
            Self::State => "state",
            Self::Closed => "closed",
            Self::Evicted => "evicted",
        }
    }
}

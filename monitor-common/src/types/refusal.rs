//! Reasons for which a receiver discards a segment.

/// Reason for which a receiver discards a segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(rename_all = "snake_case"))]
#[cfg_attr(feature = "schemars", derive(schemars::JsonSchema))]
#[repr(u8)]
pub enum Refusal {
    /// No ACK flag on a synchronized connection (RFC 9293, 3.10.7.4, fifth step).
    NoAck,
    /// Acknowledges data that its receiver never sent (RFC 5961, 5).
    AckUnsent,
    /// Acknowledges less than any delayed segment of this connection could (RFC 5961, 5).
    AckTooOld,
    /// Timestamp older than the latest accepted one (PAWS; RFC 7323, 5).
    Timestamp,
    /// Ends beyond the receive window.
    Window,
    /// SYN within a synchronized connection that the peer didn't confirm (RFC 5961, 4).
    Syn,
    /// RST within the window, but not at its left edge (RFC 5961, 3).
    Rst,
    /// FIN beyond a hole, whose number belongs to data or follows another FIN.
    Fin,
    /// Data in a SYN that the peer didn't acknowledge.
    SynData,
    /// No SYN, while the receiver waits for the answer to its own (RFC 9293, 3.10.7.3).
    Unsynchronized,
}

impl Refusal {
    /// All reasons, in the order of their numbers.
    pub const ALL: &[Self] = &[
        Self::NoAck,
        Self::AckUnsent,
        Self::AckTooOld,
        Self::Timestamp,
        Self::Window,
        Self::Syn,
        Self::Rst,
        Self::Fin,
        Self::SynData,
        Self::Unsynchronized,
    ];

    /// Returns the name that the RPC uses.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::NoAck => "no_ack",
            Self::AckUnsent => "ack_unsent",
            Self::AckTooOld => "ack_too_old",
            Self::Timestamp => "timestamp",
            Self::Window => "window",
            Self::Syn => "syn",
            Self::Rst => "rst",
            Self::Fin => "fin",
            Self::SynData => "syn_data",
            Self::Unsynchronized => "unsynchronized",
        }
    }
}

//! Reasons for which a receiver discards a segment.

/// Reason for which a receiver discards a segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
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

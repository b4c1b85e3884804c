//! Bits of the fields of a record that hold flags.

/// Bits of [`Hot::flags`](super::record::Hot::flags).
pub mod flag {
    /// No SYN was seen.
    pub const MIDSTREAM: u8 = 1;
    /// The handshake is complete, or data was seen midstream.
    pub const ESTABLISHED: u8 = 2;
    /// Buffering of the client's side is switched off; shifted left by one for the server's.
    pub const DISABLED_CLIENT: u8 = 4;
    /// The client's side was stopped; shifted left by one for the server's.
    pub const STOPPED_CLIENT: u8 = 16;
    /// Segments of the connection are held aside (HeldSegments in the engine).
    pub const HELD: u8 = 64;
    /// A RST within the window, but not at its edge, was the last segment.
    pub const RST_PENDING: u8 = 128;
}

/// Bits of [`Sequences::flags`](super::side::Sequences::flags).
pub mod side_flag {
    /// `start` is known: offset 0 is fixed.
    pub const STARTED: u8 = 1;
    /// The sender's SYN, or the peer's SYN-ACK, was seen: `start` is ISN + 1.
    pub const ISN: u8 = 2;
    /// `acked` is known.
    pub const ACKED: u8 = 4;
    /// Bytes were the last of the connection, a tick ago at most ([`crate::store::marks`]).
    pub const CONTINUES: u8 = 8;
    /// The SYN of this side's sender itself was seen.
    pub const SYN: u8 = 16;
    /// The receiver acknowledged the FIN.
    pub const FIN_ACKED: u8 = 32;
    /// A hole waits for its loss delay to pass.
    pub const LOSS_PENDING: u8 = 64;
    /// The FIN was sent before its sender had received the peer's.
    pub const CROSSED: u8 = 128;
}

/// Bits of the options of an end.
pub mod option {
    /// A segment of this end was captured.
    pub const SEEN: u8 = 16;
    /// This end's SYN offered timestamps (RFC 7323, 3).
    pub const TIMESTAMPS: u8 = 32;
    /// This end's SYN permitted selective acknowledgments (RFC 2018, 2).
    pub const SACK: u8 = 64;
    /// This end received a FIN.
    pub const FIN: u8 = 128;
}

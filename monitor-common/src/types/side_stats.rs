//! Statistics of one side.

use super::OverlapPolicy;

/// Statistics of one side of a connection. Offsets count from the first payload byte and never wrap.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "schemars", derive(schemars::JsonSchema))]
#[cfg_attr(feature = "schemars", schemars(rename = "SideInfo"))]
pub struct SideStats {
    /// Lowest retained offset.
    pub base: u64,
    /// In-order edge: every byte below it was received or declared lost.
    pub next: u64,
    /// Highest offset received, plus 1.
    pub end: u64,
    /// Offset of the FIN; absent until it is seen.
    pub fin: Option<u64>,
    /// Initial sequence number of the sender; absent if neither its SYN nor the peer's SYN-ACK was seen.
    pub isn: Option<u32>,
    /// Bytes retained.
    pub retained: u64,
    /// Holes declared lost.
    pub gaps: u64,
    /// Bytes that arrived again.
    pub retransmitted: u64,
    /// Bytes that arrived again with other contents.
    pub conflicts: u64,
    /// False once buffering of this side is switched off.
    pub enabled: bool,
    /// Most bytes retained, the newest ones.
    pub window: u64,
    /// Policy that selects the bytes where segments overlap and differ.
    pub overlap: OverlapPolicy,
}

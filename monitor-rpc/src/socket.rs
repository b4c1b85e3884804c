//! A connection as the RPC shows it.

use std::net::SocketAddr;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::Side;
use crate::state::State;

/// A connection.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Socket {
    /// Its name, below 2^53, never used again for another connection.
    pub sockid: u64,
    /// Who opened it.
    pub client: SocketAddr,
    /// Who was called.
    pub server: SocketAddr,
    /// VLAN ids, outermost first.
    pub vlan: Vec<u16>,
    /// State of each end.
    pub state: States,
    /// First packet, seconds since the epoch.
    pub opened: f64,
    /// Last packet, seconds since the epoch.
    pub last: f64,
    /// Why it is over; `None` while it lives.
    pub closed: Option<Closed>,
    /// No SYN was seen: offset 0 is the first byte captured.
    pub midstream: bool,
    /// The worker that owns it.
    pub worker: u16,
    /// What each end received.
    pub sides: Sides,
}

/// State of each end.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct States {
    /// Of the client.
    pub client: State,
    /// Of the server.
    pub server: State,
}

/// What each end received.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Sides {
    /// What the client received.
    pub client: SideInfo,
    /// What the server received.
    pub server: SideInfo,
}

impl Sides {
    /// One of the two.
    #[must_use]
    pub fn get(&self, side: Side) -> &SideInfo {
        match side {
            Side::Client => &self.client,
            Side::Server => &self.server,
        }
    }
}

/// One side of a connection. Offsets count from the first payload byte and never wrap.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct SideInfo {
    /// Lowest retained offset.
    pub base: u64,
    /// The in-order edge: every byte below it was received or declared lost.
    pub next: u64,
    /// One past the highest byte received.
    pub end: u64,
    /// Offset of the FIN, once seen.
    pub fin: Option<u64>,
    /// Initial sequence number of this side's sender, if it was seen.
    pub isn: Option<u32>,
    /// Bytes held.
    pub retained: u64,
    /// Holes declared lost.
    pub gaps: u64,
    /// Bytes that arrived again.
    pub retransmitted: u64,
    /// Bytes that arrived again and differed.
    pub conflicts: u64,
    /// False once buffering of this side was switched off.
    pub enabled: bool,
    /// Bytes that are kept at most, the newest ones.
    pub window: u64,
    /// Whose bytes win where segments overlap and differ.
    pub overlap: Overlap,
}

/// Whose bytes win where segments overlap and differ.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Overlap {
    /// Those that Linux takes.
    #[default]
    Linux,
    /// The first copy to arrive.
    First,
    /// The last copy to arrive, even of bytes already in order.
    Last,
    /// The copy whose segment starts further left; of two that start together, the first.
    Bsd,
}

/// Why a connection ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Closed {
    /// Both FINs were seen and acknowledged.
    Fin,
    /// A believable RST.
    Rst,
    /// No packet for the idle timeout.
    Timeout,
    /// A new connection took the same addresses and ports.
    Reused,
    /// Its memory was needed.
    Evicted,
    /// A client had it stopped.
    Stopped,
    /// A reason that this version does not know.
    #[serde(other)]
    Other,
}

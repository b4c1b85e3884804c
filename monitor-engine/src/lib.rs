//! TCP reassembly into buffers that are addressed by stream offset, with readers that never disturb it.
//!
//! Bytes and a time go in ([`Packet`]); facts come out ([`Event`], [`Reader`], [`Counters`]). No I/O, no threads, no clock
//! of its own: time is the packets' time, so a replay is deterministic.
//!
//! One [`Engine`] belongs to one worker thread. Any number of [`Reader`]s, on any thread, look at its connections and copy
//! their bytes while it runs. They take no lock, and the engine never waits for them.

mod acceptance;
pub mod config;
pub mod counters;
mod decode;
mod defrag;
mod engine;
pub mod event;
mod flow;
#[cfg(all(test, feature = "loom"))]
mod interleavings;
pub mod packet;
mod payload;
mod reassembly;
mod seq;
mod state;
mod store;
mod tunnels;

pub use config::{EngineConfig, FlowConfig, FlowFilter, TcpConfig, TcpPolicy, VerifyChecksums};
pub use counters::{Counter, Counters};
pub use engine::{ControlError, Engine, EngineError, Handoff, Rule, Shunt, SideSettings};
pub use event::{Event, Sink};
pub use monitor_common::{
    ByteRange, CloseReason, EventKind, LinkType, OverlapPolicy, Prefix, Refusal, Side, SideStats,
    SockId, TcpState, TunnelKind, TunnelKinds,
};
pub use monitor_reader::{
    Connection, EndReason, Extents, Next, NextKind, NoData, Peek, PeekError, Reader, Reset, Tunnel,
    Turn, Turns, view,
};
pub use packet::{Checksum, Packet};

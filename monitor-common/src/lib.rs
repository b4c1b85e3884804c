//! Shared parts of the BPF programs, the engine, the daemon and the clients, compiled for all of them: the vocabulary
//! ([`types`]), the header readers ([`wire`]), the steering decision ([`steer`]) and the layout of the BPF maps ([`abi`]).
//!
//! **Invariant:** `no_std`, no allocation (except for the schemas of [`types`]), no dependency on either side. The code
//! that the verifier accepts is the code that the property tests and the fuzzers ran.
#![cfg_attr(not(test), no_std)]

#[cfg(feature = "schemars")]
extern crate alloc;

pub mod abi;
pub mod steer;
pub mod types;
pub mod wire;

pub use types::{
    ByteRange, CloseReason, EventKind, LinkType, OverlapPolicy, Prefix, PrefixError, Refusal, Side,
    SideStats, SockId, TcpState, TunnelKind, TunnelKinds, UnknownSide, UnknownState,
};

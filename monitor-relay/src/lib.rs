//! Relay of one host's monitor: metrics for Prometheus, and a fleet of hosts over NATS.
//!
//! A client of monitord's socket like any other, with the role of a reader. It runs as a process of its own, so that the
//! daemon speaks no HTTP, opens no IP socket and holds no key.
//!
//! **Invariant:** the relay holds no state that the daemon needs; it can end at any time.

pub mod config;
#[cfg(feature = "fleet")]
pub mod fleet;
#[cfg(feature = "metrics")]
pub mod metrics;
pub mod status;

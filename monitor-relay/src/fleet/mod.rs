//! Fleet: the monitors of many hosts, asked and read through a NATS server.
//!
//! Every host has a relay with its name. A request goes to one host by its subject, or to all hosts; the relay passes it to
//! its daemon and sends the reply. The relay publishes events as they happen, and records of connections at least once.
//!
//! ```text
//! service ─ pool (connections to the daemon)
//! events ───── daemon's events, to core messages
//! records ──── daemon's ended connections, to a file (journal, spool); publisher ─ the file to a stream
//! hosts ────── heartbeat, and the claim to the host's name
//! client ───── the other end, for programs that ask
//! ```
//!
//! docs/fleet.md describes subjects, records and failures.

pub mod access;
pub mod client;
mod events;
pub mod hosts;
mod journal;
mod pool;
mod publisher;
mod records;
mod run;
mod service;
mod spool;
pub mod subjects;

pub use run::{FleetError, run};

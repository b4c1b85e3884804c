//! Modules of monitord. Data goes one way: `capture` → `worker` (an engine each) → the engine's store ← `rpc`. Events go
//! the same way, through `events`; commands of clients go back to a worker through `control`.
//!
//! **Invariant:** `rpc` reads through [`monitor_engine::Reader`] and [`status`]; nothing in it can make a worker wait.

pub mod capture;
pub mod config;
pub mod control;
pub mod events;
pub mod filter;
pub mod live;
pub mod packets;
pub mod rpc;
pub mod scan;
pub mod service;
pub mod stats;
pub mod status;
pub mod tls;
pub mod util;
pub mod worker;

//! monitord's rooms. Data goes one way: `capture` → `worker` (an engine each) → the engine's store ← `rpc`. What happens
//! goes the same way, through `events`; what clients ask of a worker goes back to it through `control`.
//!
//! **Architecture invariant:** `rpc` reads through [`monitor_engine::Reader`] and [`status`]; nothing in it can make
//! a worker wait.

pub mod capture;
pub mod config;
pub mod control;
pub mod events;
pub mod filter;
pub mod live;
pub mod rpc;
pub mod scan;
pub mod service;
pub mod status;
pub mod util;
pub mod worker;

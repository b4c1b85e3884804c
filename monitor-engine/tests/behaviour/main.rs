//! What the engine does with whatever is on the wire, one test for each thing that can happen.
#![allow(missing_docs, clippy::unwrap_used, clippy::panic, reason = "tests")]

#[path = "../common/mod.rs"]
mod common;

mod begin;
mod budget;
mod decode;
mod determinism;
mod forged;
mod fragments;
mod holes;
mod next_from;
mod offsets;
mod peers;
mod reconfigure;
mod resets;
mod signals;
mod states;
mod steering;
mod timers;
mod twin;

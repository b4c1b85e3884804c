//! Behaviour of the engine, one test for each case on the wire.
#![allow(missing_docs, clippy::unwrap_used, clippy::panic, reason = "tests")]

#[path = "../common/mod.rs"]
mod common;

mod acceptance;
mod begin;
mod budget;
mod configure;
mod decode;
mod determinism;
mod endings;
mod forged;
mod fragments;
mod holes;
mod interfaces;
mod next_from;
mod offsets;
mod peers;
mod reconfigure;
mod reference;
mod refused;
mod resets;
mod signals;
mod states;
mod stop;
mod timers;
mod tunnels;
mod turns;

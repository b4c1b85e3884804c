//! The functions, as `mos_api.h` and `cpu.h` declare them; their comments are the headers'.

// Each function has the contract that the header states: its pointers are valid for their types and lengths. `memory`
// dereferences them; each block below relies on that contract.
#![allow(
    clippy::missing_safety_doc,
    reason = "the promise is the same for all: the header's head states it"
)]

pub mod cpu;
pub mod monitor;
pub mod packets;
pub mod process;
pub mod store;
pub mod streams;

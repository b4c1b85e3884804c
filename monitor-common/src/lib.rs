//! What the BPF programs and user space share, written once and compiled for both sides:
//! the header readers ([`wire`]), the steering decision ([`steer`]) and the layout of the maps ([`abi`]).
//!
//! **Architecture invariant:** `no_std`, no allocation, no dependency on either side. The code the verifier
//! accepts is the code that the property tests and the fuzzers ran.
#![cfg_attr(not(test), no_std)]

pub mod abi;
pub mod steer;
pub mod wire;

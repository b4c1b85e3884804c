//! Tests of the BPF programs in the running kernel: verdicts, delivery, shunted flows, errors.
//!
//! Every test runs in an unnamed network namespace of its own.
#![expect(clippy::unwrap_used, reason = "tests")]

mod devices;
mod errors;
mod netns;
mod packet;
#[path = "../../../monitor-common/tests/packets/mod.rs"]
mod packets;
mod shunts;
mod verdicts;
mod vlan;

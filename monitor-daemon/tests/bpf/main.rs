//! The BPF programs in the real kernel: what they decide, what they deliver, what they leave alone.
//!
//! Every test runs in a network namespace of its own that has no name and ends with it.
#![expect(clippy::unwrap_used, reason = "tests")]

mod devices;
mod errors;
mod netns;
#[path = "../../../monitor-common/tests/packets/mod.rs"]
mod packets;
mod shunts;
mod verdicts;
mod vlan;

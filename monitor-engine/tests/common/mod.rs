//! Shared parts of the engine's tests and fuzz targets: frames from a description, an engine to send them to, and the
//! reference model that the engine is compared with.
#![allow(
    dead_code,
    reason = "each test that includes this module uses its own part of it"
)]
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test fails by panicking"
)]
#![allow(
    clippy::needless_pass_by_value,
    reason = "comparisons read better without references"
)]

pub mod flow;
pub mod frame;
pub mod lab;
pub mod memory;
pub mod model;
pub mod script;

#[allow(unused_imports, reason = "as above")]
pub use flow::Flow;
#[allow(unused_imports, reason = "as above")]
pub use lab::Lab;

/// Nanoseconds in a millisecond.
pub const MS: u64 = 1_000_000;
/// Nanoseconds in a second.
pub const S: u64 = 1000 * MS;

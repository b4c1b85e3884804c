//! What the end-to-end tests share.
//!
//! [`wiregen`] makes captures with known answers; it needs nothing of the program, so that the engine's own tests use
//! it too. The rest runs the real daemon among real servers and clients in network namespaces.

#![expect(clippy::panic, reason = "everything here is part of a test, which fails by panicking")]

pub mod skip;
pub mod wiregen;

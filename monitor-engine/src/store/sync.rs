//! The atomics that the store is built on, in one place, so that a model checker can take their place.

pub use std::sync::atomic::Ordering::{Acquire, Relaxed, Release};
pub use std::sync::atomic::{AtomicU8, AtomicU32, AtomicU64, fence};

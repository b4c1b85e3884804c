//! Atomics of the store, in one file, so that a model checker can replace them.

pub use std::sync::atomic::Ordering::{Acquire, Relaxed, Release};

#[cfg(feature = "loom")]
pub use loom::sync::atomic::{AtomicU8, AtomicU32, AtomicU64, fence};
#[cfg(not(feature = "loom"))]
pub use std::sync::atomic::{AtomicU8, AtomicU32, AtomicU64, fence};

/// Backs off after `tries` failed attempts.
#[cfg(not(feature = "loom"))]
pub fn pause(tries: u32) {
    if tries.is_multiple_of(64) {
        // The writer may have been descheduled in the middle of its few nanoseconds.
        std::thread::yield_now();
    } else {
        std::hint::spin_loop();
    }
}

/// Lets the writer run.
#[cfg(feature = "loom")]
pub fn pause(_: u32) {
    loom::thread::yield_now();
}

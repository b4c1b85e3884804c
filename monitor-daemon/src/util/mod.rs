//! Helpers without knowledge of the daemon.

pub mod chain;
pub mod clock;
pub mod notifier;
pub mod stderr;

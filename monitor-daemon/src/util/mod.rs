//! Helpers without knowledge of the daemon.

pub mod capabilities;
pub mod clock;
pub mod interfaces;
pub mod notifier;
pub mod stderr;
pub mod systemd;

pub use monitor_rpc::chain;

//! What happens on connections, for whoever listens.
//!
//! Each worker's engine hands its events to a [`Publisher`], on the worker's thread.

mod publisher;

pub use publisher::Publisher;

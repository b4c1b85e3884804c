//! The running kernel's TCP beside the monitor, on the same segments.
//!
//! In a namespace of its own, a socket of the kernel talks to a scripted end behind a TUN device. Scripts mix honest and
//! forged segments; the daemon captures the device. Afterwards the streams that the daemon serves must be those that the
//! application has read. [`Lab`] runs scripts in batches, [`Difference`] describes a disagreement.

mod compare;
mod difference;
mod handshake;
mod kernel;
mod lab;
mod packet;
mod peer;
mod script;
mod tun;
mod versions;

pub use compare::Role;
pub use difference::Difference;
pub use lab::Lab;
pub use script::Kinds;

//! A small generator of TCP traffic with known answers.
//!
//! A [`Flow`] is a list of [`Segment`]s that a test may drop, double, swap and change; [`Layers`] puts the headers of
//! some network in front of them; a [`Capture`] writes them as a pcap or pcapng file of any flavour.
//!
//! ```
//! use monitor_tests::wiregen::{Capture, End, Flow, Layers};
//!
//! let mut flow = Flow::new("10.0.0.1:40000", "10.0.0.2:80");
//! flow.open().send(End::Client, b"hello").close();
//! let capture = Capture::of(&Layers::ethernet(), &flow);
//! assert_eq!(flow.received_by(End::Server), b"hello");
//! assert!(!capture.pcap().is_empty());
//! ```

mod capture;
mod flow;
mod layers;
mod random;

pub use capture::{Block, Capture, Frame, PcapFlavour, PcapNg};
pub use flow::{End, Flow, Segment, flags};
pub use layers::{Layers, LinkLayer};
pub use random::Random;

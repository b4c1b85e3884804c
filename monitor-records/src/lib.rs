//! Records of connections: one for each connection that ended, and interim ones for long connections.
//!
//! [`Record`] is the type, [`community_id`] the name of a connection that other tools compute as well. [`Tracker`] makes
//! records from events and listings; it does no I/O, so the log and the relay share it.
//!
//! ```no_run
//! use std::time::Duration;
//! use monitor_records::{Source, Tracker};
//!
//! let source = Source { host: "web1".to_owned(), instance: 7, mode: "tap".to_owned() };
//! let mut tracker = Tracker::new(source, Duration::from_secs(300));
//! # let sockets: Vec<monitor_rpc::socket::Socket> = Vec::new();
//! for socket in &sockets {
//!     if let Some(record) = tracker.ended(socket) {
//!         println!("{} {}", record.community_id, record.sides.client.bytes);
//!         tracker.written(record.sockid, record.part);
//!     }
//! }
//! ```

mod community_id;
mod details;
mod record;
mod settling;
mod tracker;

pub use community_id::community_id;
pub use record::{Lost, LostReason, Record, RecordSide, RecordSides, Source, VERSION};
pub use settling::Settling;
pub use tracker::{Request, Tracker};

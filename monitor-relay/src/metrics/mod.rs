//! Metrics: counters of the daemon in the formats that Prometheus reads.
//!
//! ```text
//! http ─ scrape (asks the daemon) ─ families (names and values) ─ encode
//!                                     └─ help (docs/rpc.md)
//! ```
//!
//! The names follow from those of `stats`, so that a counter of a newer daemon appears without a change here. Labels are
//! workers, interfaces, methods and reasons: nothing that grows with traffic.

mod encode;
mod families;
mod help;
mod http;
mod scrape;

pub use encode::{Format, encode};
pub use families::{Families, Family, Kind};
pub use http::{ListenError, Listener};
pub use scrape::{Scrape, Scraper};

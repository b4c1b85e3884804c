//! Vocabulary of the program: one type for each concept, used by the engine, the daemon, the protocol and its clients.
//!
//! Features: `serde` reads and writes the types as the RPC spells them, `schemars` describes that for its document.
//! The BPF programs are built without both.

mod event_kind;
mod link_type;
mod overlap;
mod prefix;
mod range;
mod refusal;
mod side;
mod side_stats;
mod sock_id;
mod state;
mod tunnel_kind;

pub use event_kind::EventKind;
pub use link_type::LinkType;
pub use overlap::OverlapPolicy;
pub use prefix::{Prefix, PrefixError};
pub use range::ByteRange;
pub use refusal::Refusal;
pub use side::{Side, UnknownSide};
pub use side_stats::SideStats;
pub use sock_id::SockId;
pub use state::{CloseReason, TcpState, UnknownState};
pub use tunnel_kind::{TunnelKind, TunnelKinds};

//! Parameters and results of the methods, a file for each group of methods. An optional parameter that is `None` is left
//! out.

mod attach;
mod capture;
mod config;
mod control;
mod discover;
mod info;
mod list;
mod read;
mod subscribe;
mod turns;
mod watch;

pub use crate::notification::{Base64, Context, EventBody, Notification, SideRange};
pub use crate::socket::{Fins, Reset, Sides, Socket, States, Tls, Tunnel};
pub use attach::*;
pub use capture::*;
pub use config::*;
pub use control::*;
pub use discover::*;
pub use info::*;
pub use list::*;
pub use monitor_common::{CloseReason, EventKind, OverlapPolicy, SideStats, TcpState};
pub use read::*;
pub use subscribe::*;
pub use turns::*;
pub use watch::*;

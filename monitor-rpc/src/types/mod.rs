//! Parameters and results of every method, a file for each kind of method. Optional parameters are left out when they
//! are `None`.

mod config;
mod discover;
mod events;
mod list;
mod look;
mod read;
mod steer;
mod watch;

pub use crate::socket::{Closed, Overlap, SideInfo, Sides, Socket, States};
pub use crate::state::State;
pub use config::*;
pub use discover::*;
pub use events::*;
pub use list::*;
pub use look::*;
pub use read::*;
pub use steer::*;
pub use watch::*;

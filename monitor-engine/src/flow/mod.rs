//! Flows: keys, the table that finds their connections, and the lists that order connections for eviction.

mod key;
mod lists;
mod table;

pub use key::FlowKey;
pub use lists::{Class, Lists};
pub use table::{SlotHint, Table};

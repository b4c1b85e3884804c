//! Which connection a segment belongs to, and in which order connections are let go.

mod key;
mod lists;
mod table;

pub use key::FlowKey;
pub use lists::{Class, Lists};
pub use table::{SlotHint, Table};

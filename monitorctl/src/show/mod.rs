//! Formatting of values as text, without I/O of its own.

pub mod colour;
pub mod event;
pub mod format;
pub mod socket;
pub mod table;
pub mod units;

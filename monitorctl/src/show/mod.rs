//! What verbs print with: values to text, nothing else.

pub mod colour;
pub mod format;
pub mod note;
pub mod socket;
pub mod table;
pub mod units;

//! Store: memory for records and stream bytes, with one writer, any number of readers, and no lock.
//!
//! Its layout, and the rules that make reads without a lock sound, are those of [`monitor_reader::store`]. Here are the
//! parts that only the writer needs: allocation, and changes of trees, sets and rings.

pub mod blocks;
pub mod marks;
pub mod range_set;

pub use monitor_reader::store::{Release, arena, cell, fence, header, received, record};

//! Arriving segment: its parts, and its place in the stream.

use crate::ByteRange;

/// Part of an arriving segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Part {
    pub bytes: ByteRange,
    /// All of its bytes were received before; otherwise none was.
    pub received: bool,
}

/// Offset of a payload's first byte: converts stream offsets to distances from the payload's start.
#[derive(Clone, Copy)]
pub struct Shift(pub i64);

impl Shift {
    /// Returns the distance of a stream offset from the payload's start.
    pub fn distance(self, off: u64) -> usize {
        (off as i64 - self.0) as usize
    }
}

//! Ranges of stream offsets.

use core::fmt;

/// Half-open range of stream offsets, `start..end`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ByteRange {
    /// First offset.
    pub start: u64,
    /// Last offset, plus 1.
    pub end: u64,
}

impl ByteRange {
    /// Creates the range `start..end`.
    #[inline(always)]
    #[must_use]
    pub const fn new(start: u64, end: u64) -> Self {
        Self { start, end }
    }

    /// Returns the number of bytes; 0 if the end is before the start.
    #[inline(always)]
    #[must_use]
    pub const fn len(self) -> u64 {
        self.end.saturating_sub(self.start)
    }

    /// Returns whether no byte is in it.
    #[inline(always)]
    #[must_use]
    pub const fn is_empty(self) -> bool {
        self.start >= self.end
    }

    /// Returns whether an offset is in it.
    #[inline(always)]
    #[must_use]
    pub const fn contains(self, off: u64) -> bool {
        self.start <= off && off < self.end
    }

    /// Returns the part that is in `other` as well. It is empty if the two do not overlap.
    #[inline(always)]
    #[must_use]
    pub fn intersection(self, other: Self) -> Self {
        Self {
            start: self.start.max(other.start),
            end: self.end.min(other.end),
        }
    }
}

impl fmt::Display for ByteRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}..{}", self.start, self.end)
    }
}

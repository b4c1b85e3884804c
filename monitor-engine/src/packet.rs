//! What a capture hands to the engine.

use crate::LinkType;

/// One captured frame. It may lie in several pieces (AF_XDP multi-buffer: a 64 KiB GSO packet spans many chunks);
/// every header lies in the first.
#[derive(Clone, Copy, Debug)]
pub struct Packet<'a> {
    /// Nanoseconds since the Unix epoch. Never runs the engine's clock backwards: an earlier time counts as now.
    pub time: u64,
    /// What the first byte belongs to.
    pub link: LinkType,
    /// The first, usually only, piece.
    pub data: &'a [u8],
    /// The pieces after it, in order.
    pub more: &'a [&'a [u8]],
}

impl Packet<'_> {
    /// Bytes in all pieces.
    #[must_use]
    #[inline]
    pub fn len(&self) -> usize {
        self.data.len() + self.more.iter().map(|piece| piece.len()).sum::<usize>()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

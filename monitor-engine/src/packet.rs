//! Packets, as a capture delivers them to the engine.

use crate::LinkType;

/// Captured frame, possibly in several pieces (AF_XDP multi-buffer: a 64 KiB GSO packet spans many chunks). All headers
/// are in the first piece.
#[derive(Clone, Copy, Debug)]
pub struct Packet<'a> {
    /// Capture time, nanoseconds since the Unix epoch. An earlier time than the engine's counts as the engine's.
    pub time: u64,
    /// Number of the interface where it was captured; 0: unknown.
    pub interface: u16,
    /// First header.
    pub link: LinkType,
    /// First piece, usually the only one.
    pub data: &'a [u8],
    /// Pieces after it, in order.
    pub more: &'a [&'a [u8]],
    /// Number of bytes after the last piece that the capture left out (snap length).
    pub cut: u32,
    /// State of the checksums, as far as the capture knows it.
    pub checksum: Checksum,
}

/// State of a packet's checksums at the point of capture.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Checksum {
    /// The capture has no information: the configuration decides.
    #[default]
    Unknown,
    /// Verified by the card or the kernel, or sent by this host.
    Valid,
    /// Not filled in yet: the sender is this host, or a virtual machine or namespace on it.
    Unfinished,
    /// Complete, and not verified yet: received from outside.
    Verify,
}

impl Packet<'_> {
    /// Returns the number of bytes in all pieces.
    #[must_use]
    #[inline]
    pub fn len(&self) -> usize {
        self.data.len() + self.more.iter().map(|piece| piece.len()).sum::<usize>()
    }

    /// Returns whether there is no byte.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

//! Records of a capture file, independent of its format.

/// Longest record that is accepted. The limit of libpcap for a packet is 256 KiB.
pub(super) const MAX_RECORD: usize = 16 << 20;

/// Result of parsing the bytes at the current position.
pub(super) enum Step<'a> {
    /// A packet, and the length of its record.
    Frame(Frame<'a>, usize),
    /// A packet of an interface that was not described, and the length of its record.
    UnknownInterface(usize),
    /// A number of bytes without a packet, which need not have been read yet.
    Skip(u64),
    /// The record is incomplete: more bytes are needed.
    Need,
    /// The bytes contradict the format: reading cannot continue.
    Malformed(&'static str),
}

/// Captured frame as the file describes it.
pub(super) struct Frame<'a> {
    /// Nanoseconds since the epoch, if the record has a time.
    pub time: Option<u64>,
    pub link_type: u16,
    /// Number of its interface, if the file describes interfaces.
    pub interface: Option<u16>,
    pub data: &'a [u8],
}

//! Packets in the raw bytes of an event `packets`.

/// Captured packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CapturedPacket<'a> {
    /// Capture time, nanoseconds since the epoch.
    pub time: u64,
    /// Number of bytes that the packet had.
    pub length: u32,
    /// Captured bytes, at most that number.
    pub bytes: &'a [u8],
}

/// Iterator over the packets of an event.
///
/// ```
/// use monitor_client::Packets;
///
/// let raw = [7, 0, 0, 0, 0, 0, 0, 0, 2, 0, 0, 0, 9, 0, 0, 0, b'a', b'b'];
/// let packet = Packets::new(&raw).next().unwrap();
/// assert_eq!((packet.time, packet.length, packet.bytes), (7, 9, &b"ab"[..]));
/// ```
#[derive(Clone, Copy, Debug)]
pub struct Packets<'a> {
    rest: &'a [u8],
}

impl<'a> Packets<'a> {
    /// Starts at the first packet of an event's bytes.
    #[must_use]
    pub fn new(bytes: &'a [u8]) -> Self {
        Self { rest: bytes }
    }
}

impl<'a> Iterator for Packets<'a> {
    type Item = CapturedPacket<'a>;

    fn next(&mut self) -> Option<Self::Item> {
        let (time, rest) = self.rest.split_first_chunk()?;
        let (captured, rest) = rest.split_first_chunk()?;
        let (length, rest) = rest.split_first_chunk()?;
        let captured = u32::from_le_bytes(*captured) as usize;
        let (bytes, rest) = rest.split_at_checked(captured)?;
        self.rest = rest;
        Some(CapturedPacket {
            time: u64::from_le_bytes(*time),
            length: u32::from_le_bytes(*length),
            bytes,
        })
    }
}

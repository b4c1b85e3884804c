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
    /// Number of bytes after `data` that the record leaves out (snap length).
    pub cut: u32,
}

/// Returns the number of bytes of a packet that its record leaves out. An original length above [`MAX_RECORD`] isn't one.
#[inline]
pub(super) fn cut(original: u32, captured: usize) -> u32 {
    let original = Some(original as usize).filter(|original| *original <= MAX_RECORD);
    original.map_or(0, |original| original.saturating_sub(captured) as u32)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::capture::replay::format::Format;

    /// Returns the number of bytes that the packet of a file leaves out.
    fn cut_of(words: &[u32], payload: &[u8], rest: &[u32]) -> u32 {
        let bytes = |words: &[u32]| -> Vec<u8> {
            words.iter().flat_map(|word| word.to_le_bytes()).collect()
        };
        let file = [&bytes(words), payload, &bytes(rest)].concat();
        let mut format = Format::recognize(*file.first_chunk().unwrap()).unwrap();
        let mut at = 0;
        loop {
            match format.step(&file[at..]) {
                Step::Skip(length) => at += length as usize,
                Step::Frame(frame, _) => {
                    assert_eq!(frame.data, payload);
                    return frame.cut;
                }
                _ => panic!("no packet at {at}"),
            }
        }
    }

    #[test]
    fn the_bytes_that_a_snap_length_cut_off_are_known() {
        for (original, expected) in [(1500, 1492), (8, 0), (7, 0), (u32::MAX, 0)] {
            let pcap = [0xa1b2_c3d4, 0x0004_0002, 0, 0, 8, 1, 0, 0, 8, original];
            assert_eq!(cut_of(&pcap, b"8 bytes!", &[]), expected, "{original}");
            let section = [0x0a0d_0d0a, 28, 0x1a2b_3c4d, 1, !0, !0, 28];
            let interface = [1, 20, 1, 8, 20];
            let enhanced = [6, 40, 0, 0, 0, 8, original];
            let file = [&section[..], &interface, &enhanced].concat();
            assert_eq!(cut_of(&file, b"8 bytes!", &[40]), expected, "{original}");
        }
        let section = [0x0a0d_0d0a, 28, 0x1a2b_3c4d, 1, !0, !0, 28];
        let file = [&section[..], &[1, 20, 1, 8, 20], &[3, 24, 1500]].concat();
        assert_eq!(cut_of(&file, b"8 bytes!", &[24]), 1492);
    }
}

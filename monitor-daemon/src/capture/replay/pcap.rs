//! Parser of the pcap format (draft-ietf-opsawg-pcap): a file header, then a header before every packet. Microseconds
//! or nanoseconds, either byte order.

use super::record::{self, Frame, MAX_RECORD, Step};

const HEADER: usize = 24;
const RECORD: usize = 16;

/// Contents of the file header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Pcap {
    big_endian: bool,
    /// Nanoseconds in one unit of a time stamp's fraction.
    fraction: u64,
    link_type: u16,
    header_read: bool,
}

impl Pcap {
    /// Returns a parser if a file that starts with these bytes has this format.
    pub(super) fn recognize(start: [u8; 4]) -> Option<Self> {
        let (big_endian, fraction) = match start {
            [0xd4, 0xc3, 0xb2, 0xa1] => (false, 1000),
            [0xa1, 0xb2, 0xc3, 0xd4] => (true, 1000),
            [0x4d, 0x3c, 0xb2, 0xa1] => (false, 1),
            [0xa1, 0xb2, 0x3c, 0x4d] => (true, 1),
            _ => return None,
        };
        Some(Self {
            big_endian,
            fraction,
            link_type: 0,
            header_read: false,
        })
    }

    pub(super) fn is_big_endian(self) -> bool {
        self.big_endian
    }

    #[inline]
    pub(super) fn step<'a>(&mut self, bytes: &'a [u8]) -> Step<'a> {
        if !self.header_read {
            return self.header(bytes);
        }
        let Some(&record) = bytes.first_chunk::<RECORD>() else {
            return Step::Need;
        };
        let field =
            |at: usize| self.u32([record[at], record[at + 1], record[at + 2], record[at + 3]]);
        let captured = field(8) as usize;
        if captured > MAX_RECORD {
            return Step::Malformed("a packet claims more than 16 MiB");
        }
        let Some(data) = bytes.get(RECORD..RECORD + captured) else {
            return Step::Need;
        };
        let time = u64::from(field(0)) * 1_000_000_000 + u64::from(field(4)) * self.fraction;
        Step::Frame(
            Frame {
                time: Some(time),
                interface: None,
                link_type: self.link_type,
                data,
                cut: record::cut(field(12), captured),
            },
            RECORD + captured,
        )
    }

    fn header<'a>(&mut self, bytes: &'a [u8]) -> Step<'a> {
        let Some(header) = bytes.first_chunk::<HEADER>() else {
            return Step::Need;
        };
        // The upper half indicates frame check sequences, which the IP length excludes.
        self.link_type =
            (self.u32([header[20], header[21], header[22], header[23]]) & 0xffff) as u16;
        self.header_read = true;
        Step::Skip(HEADER as u64)
    }

    #[inline]
    fn u32(self, bytes: [u8; 4]) -> u32 {
        if self.big_endian {
            u32::from_be_bytes(bytes)
        } else {
            u32::from_le_bytes(bytes)
        }
    }
}

//! Parser of the pcapng format (draft-ietf-opsawg-pcapng): sections with a byte order and interfaces, which have a link
//! type and a clock.

mod clock;

use super::record::{self, Frame, MAX_RECORD, Step};
use crate::util::interfaces;
use clock::Clock;

const SECTION_HEADER: u32 = 0x0a0d_0d0a;
const INTERFACE_DESCRIPTION: u32 = 1;
const OBSOLETE_PACKET: u32 = 2;
const SIMPLE_PACKET: u32 = 3;
const ENHANCED_PACKET: u32 = 6;

const OPTION_NAME: u16 = 2;
const OPTION_TSRESOL: u16 = 9;
const OPTION_TSOFFSET: u16 = 14;

/// Bytes of block type, length, and the repeated length at the end.
const FRAMING: usize = 12;
/// Largest number of interfaces: a file of descriptions must not exhaust memory.
const MAX_INTERFACES: usize = 1 << 16;
/// Longest name of an interface that is shown, bytes. Linux has 15.
const LONGEST_NAME: usize = 64;

/// State of the current section.
#[derive(Clone, Debug, Default)]
pub(super) struct PcapNg {
    big_endian: bool,
    interfaces: Vec<Interface>,
}

#[derive(Clone, Debug)]
struct Interface {
    link_type: u16,
    /// Longest captured packet, bytes; 0: unlimited.
    snap_len: u32,
    clock: Clock,
    /// Its number, from its name.
    number: u16,
}

impl PcapNg {
    /// Returns a parser if a file that starts with these bytes has this format.
    pub(super) fn recognize(start: [u8; 4]) -> Option<Self> {
        // The type of the section header block is a palindrome.
        (start == SECTION_HEADER.to_be_bytes()).then(Self::default)
    }

    pub(super) fn is_big_endian(&self) -> bool {
        self.big_endian
    }

    #[inline]
    pub(super) fn step<'a>(&mut self, bytes: &'a [u8]) -> Step<'a> {
        let (Some(kind), Some(length)) = (self.u32(bytes, 0), self.u32(bytes, 4)) else {
            return Step::Need;
        };
        if kind == SECTION_HEADER {
            return self.section(bytes);
        }
        // Some programs pad a block but don't count the padding. Wireshark rounds the length up as well.
        let length = (length as usize).next_multiple_of(4);
        if length < FRAMING {
            return Step::Malformed("a block has an impossible length");
        }
        if !matches!(
            kind,
            INTERFACE_DESCRIPTION | OBSOLETE_PACKET | SIMPLE_PACKET | ENHANCED_PACKET
        ) {
            return Step::Skip(length as u64);
        }
        if length > MAX_RECORD {
            return Step::Malformed("a block claims more than 16 MiB");
        }
        let Some(block) = bytes.get(..length) else {
            return Step::Need;
        };
        let body = &block[8..length - 4];
        match kind {
            INTERFACE_DESCRIPTION => self.interface(body, length),
            SIMPLE_PACKET => self.simple(body, length),
            kind => self.packet(kind, body, length),
        }
    }

    /// Parses a section header block, which ends the validity of all interfaces.
    fn section<'a>(&mut self, bytes: &'a [u8]) -> Step<'a> {
        let Some(&magic) = bytes.get(8..).and_then(<[u8]>::first_chunk::<4>) else {
            return Step::Need;
        };
        self.big_endian = match magic {
            [0x1a, 0x2b, 0x3c, 0x4d] => true,
            [0x4d, 0x3c, 0x2b, 0x1a] => false,
            _ => return Step::Malformed("a section header without its byte-order magic"),
        };
        self.interfaces.clear();
        match self.u32(bytes, 4) {
            Some(length) if length >= 28 && length.is_multiple_of(4) => {
                Step::Skip(u64::from(length))
            }
            _ => Step::Malformed("a section header has an impossible length"),
        }
    }

    fn interface<'a>(&mut self, body: &'a [u8], length: usize) -> Step<'a> {
        let (Some(link_type), Some(snap_len)) = (self.u16(body, 0), self.u32(body, 4)) else {
            return Step::Malformed("an interface description is too short");
        };
        if self.interfaces.len() == MAX_INTERFACES {
            return Step::Malformed("more than 65536 interfaces");
        }
        let (clock, name) = self.options(&body[8..]);
        let name = name.unwrap_or_else(|| format!("interface {}", self.interfaces.len()));
        self.interfaces.push(Interface {
            link_type,
            snap_len,
            clock,
            number: interfaces::number(&name),
        });
        Step::Skip(length as u64)
    }

    /// Returns the clock and the name that an interface's options describe.
    fn options(&self, mut options: &[u8]) -> (Clock, Option<String>) {
        let (mut resolution, mut offset, mut name) = (None, 0, None);
        while let (Some(code @ 1..), Some(len)) = (self.u16(options, 0), self.u16(options, 2)) {
            let Some(value) = options.get(4..4 + usize::from(len)) else {
                break;
            };
            match (code, value) {
                (OPTION_TSRESOL, &[power]) => resolution = Some(power),
                (OPTION_NAME, value) if !value.is_empty() => {
                    let shown = &value[..value.len().min(LONGEST_NAME)];
                    name = Some(String::from_utf8_lossy(shown).into_owned());
                }
                (OPTION_TSOFFSET, value) => offset = self.i64(value).unwrap_or(0),
                _ => {}
            }
            let Some(rest) = options.get(4 + usize::from(len).next_multiple_of(4)..) else {
                break;
            };
            options = rest;
        }
        (Clock::new(resolution, offset), name)
    }

    /// Parses an enhanced packet block, or an obsolete packet block, which has a 16-bit interface and a drop count.
    #[inline]
    fn packet<'a>(&self, kind: u32, body: &'a [u8], length: usize) -> Step<'a> {
        let Some(header) = body.first_chunk::<20>() else {
            return Step::Malformed("a packet block is too short");
        };
        let field =
            |at: usize| self.order([header[at], header[at + 1], header[at + 2], header[at + 3]]);
        let index = match kind {
            ENHANCED_PACKET => field(0) as usize,
            _ => usize::from(self.order16([header[0], header[1]])),
        };
        let Some(data) = body
            .get(20..)
            .and_then(|rest| rest.get(..field(12) as usize))
        else {
            return Step::Malformed("a packet is longer than its block");
        };
        let Some(interface) = self.interfaces.get(index) else {
            return Step::UnknownInterface(length);
        };
        let units = u64::from(field(4)) << 32 | u64::from(field(8));
        let time = Some(interface.clock.nanoseconds(units));
        Step::Frame(
            Frame {
                time,
                link_type: interface.link_type,
                interface: Some(interface.number),
                data,
                cut: record::cut(field(16), data.len()),
            },
            length,
        )
    }

    /// Parses a simple packet block: interface 0, no time, and a captured length limited by the snap length.
    fn simple<'a>(&self, body: &'a [u8], length: usize) -> Step<'a> {
        let Some(original) = self.u32(body, 0) else {
            return Step::Malformed("a simple packet block is too short");
        };
        let Some(interface) = self.interfaces.first() else {
            return Step::UnknownInterface(length);
        };
        let snap_len = if interface.snap_len == 0 {
            u32::MAX
        } else {
            interface.snap_len
        };
        let Some(data) = body[4..].get(..original.min(snap_len) as usize) else {
            return Step::Malformed("a packet is longer than its block");
        };
        Step::Frame(
            Frame {
                time: None,
                link_type: interface.link_type,
                interface: Some(interface.number),
                data,
                cut: record::cut(original, data.len()),
            },
            length,
        )
    }

    #[inline]
    fn u32(&self, bytes: &[u8], at: usize) -> Option<u32> {
        bytes
            .get(at..)?
            .first_chunk()
            .map(|field| self.order(*field))
    }

    fn u16(&self, bytes: &[u8], at: usize) -> Option<u16> {
        bytes
            .get(at..)?
            .first_chunk()
            .map(|field| self.order16(*field))
    }

    fn i64(&self, bytes: &[u8]) -> Option<i64> {
        let field = *bytes.first_chunk()?;
        Some(if self.big_endian {
            i64::from_be_bytes(field)
        } else {
            i64::from_le_bytes(field)
        })
    }

    #[inline]
    fn order(&self, field: [u8; 4]) -> u32 {
        if self.big_endian {
            u32::from_be_bytes(field)
        } else {
            u32::from_le_bytes(field)
        }
    }

    #[inline]
    fn order16(&self, field: [u8; 2]) -> u16 {
        if self.big_endian {
            u16::from_be_bytes(field)
        } else {
            u16::from_le_bytes(field)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_block_whose_length_omits_the_padding_is_read_with_the_padding() {
        let mut pcapng = PcapNg {
            big_endian: false,
            interfaces: vec![Interface {
                link_type: 1,
                snap_len: 0,
                clock: Clock::new(None, 0),
                number: 1,
            }],
        };
        let words = [ENHANCED_PACKET, 37, 0, 0, 7, 5, 5];
        let mut bytes: Vec<u8> = words.iter().flat_map(|word| word.to_le_bytes()).collect();
        bytes.extend(b"bytes\0\0\0");
        bytes.extend(37_u32.to_le_bytes());
        bytes.extend(b"next");
        let Step::Frame(frame, length) = pcapng.step(&bytes) else {
            panic!("it is a packet");
        };
        assert_eq!((frame.data, length), (&b"bytes"[..], 40));
    }
}

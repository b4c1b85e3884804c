//! IP packets with one TCP segment: built for the device, read from it.

use std::fmt;
use std::net::{IpAddr, SocketAddr};

use crate::wiregen::flags;

/// A segment to send.
#[derive(Clone, Debug)]
pub struct Outgoing<'a> {
    /// Sequence number.
    pub seq: u32,
    /// Acknowledgment number.
    pub ack: u32,
    /// Control bits.
    pub flags: u8,
    /// Window field, not scaled.
    pub window: u16,
    /// Options, a multiple of 4 bytes.
    pub options: &'a [u8],
    /// Data.
    pub payload: &'a [u8],
    /// The checksum is wrong.
    pub bad_checksum: bool,
}

impl Outgoing<'_> {
    /// Returns the IP packet that carries the segment.
    #[must_use]
    pub fn packet(&self, source: SocketAddr, destination: SocketAddr) -> Vec<u8> {
        let len = 20 + self.options.len() + self.payload.len();
        let mut tcp = Vec::with_capacity(len);
        tcp.extend(source.port().to_be_bytes());
        tcp.extend(destination.port().to_be_bytes());
        tcp.extend(self.seq.to_be_bytes());
        tcp.extend(self.ack.to_be_bytes());
        tcp.push((((20 + self.options.len()) / 4) << 4) as u8);
        tcp.push(self.flags);
        tcp.extend(self.window.to_be_bytes());
        tcp.extend([0; 4]);
        tcp.extend(self.options);
        tcp.extend(self.payload);
        let mut pseudo = Vec::with_capacity(40);
        let mut ip = Vec::with_capacity(40 + len);
        match (source.ip(), destination.ip()) {
            (IpAddr::V4(source), IpAddr::V4(destination)) => {
                ip.extend([0x45, 0]);
                ip.extend(((20 + len) as u16).to_be_bytes());
                ip.extend([0, 0, 0x40, 0, 64, 6, 0, 0]);
                ip.extend(source.octets());
                ip.extend(destination.octets());
                let sum = checksum(&[&ip]);
                ip[10..12].copy_from_slice(&sum.to_be_bytes());
                pseudo.extend(source.octets());
                pseudo.extend(destination.octets());
            }
            (IpAddr::V6(source), IpAddr::V6(destination)) => {
                ip.extend([0x60, 0, 0, 0]);
                ip.extend((len as u16).to_be_bytes());
                ip.extend([6, 64]);
                ip.extend(source.octets());
                ip.extend(destination.octets());
                pseudo.extend(source.octets());
                pseudo.extend(destination.octets());
            }
            families => panic!("{families:?} differ in family"),
        }
        pseudo.extend((len as u32).to_be_bytes());
        pseudo.extend([0, 0, 0, 6]);
        let mut sum = checksum(&[&pseudo, &tcp]);
        if self.bad_checksum {
            sum = if sum == 0x1234 { 0x4321 } else { 0x1234 };
        }
        tcp[16..18].copy_from_slice(&sum.to_be_bytes());
        ip.extend(tcp);
        ip
    }
}

/// Internet checksum (RFC 1071) of parts of even length, but for the last.
fn checksum(parts: &[&[u8]]) -> u16 {
    let mut sum = 0_u32;
    for part in parts {
        for pair in part.chunks(2) {
            sum += u32::from(u16::from_be_bytes([
                pair[0],
                pair.get(1).copied().unwrap_or(0),
            ]));
        }
    }
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    !(sum as u16)
}

/// A segment that the kernel sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Incoming {
    /// Port of the kernel's end.
    pub source: u16,
    /// Port of the script's end.
    pub destination: u16,
    /// Sequence number.
    pub seq: u32,
    /// Acknowledgment number.
    pub ack: u32,
    /// Control bits.
    pub flags: u8,
    /// Window field, not scaled.
    pub window: u16,
    /// Timestamp value (RFC 7323).
    pub timestamp: Option<u32>,
    /// Window scale (RFC 7323).
    pub scale: Option<u8>,
    /// Permits selective acknowledgments (RFC 2018).
    pub sack: bool,
    /// Bytes of data.
    pub len: usize,
}

impl Incoming {
    /// Reads an IP packet. Returns nothing for other protocols than TCP.
    #[must_use]
    pub fn read(packet: &[u8]) -> Option<Self> {
        let at = match packet.first()? >> 4 {
            4 if packet[9] == 6 => usize::from(packet[0] & 15) * 4,
            6 if packet[6] == 6 => 40,
            _ => return None,
        };
        let tcp = packet.get(at..)?;
        let word = |at: usize| u32::from_be_bytes([tcp[at], tcp[at + 1], tcp[at + 2], tcp[at + 3]]);
        let half = |at: usize| u16::from_be_bytes([tcp[at], tcp[at + 1]]);
        let header = usize::from(tcp[12] >> 4) * 4;
        let mut segment = Self {
            source: half(0),
            destination: half(2),
            seq: word(4),
            ack: word(8),
            flags: tcp[13],
            window: half(14),
            timestamp: None,
            scale: None,
            sack: false,
            len: tcp.len() - header,
        };
        let mut options = &tcp[20..header];
        while let [kind, rest @ ..] = options {
            match (kind, rest) {
                (0, _) => break,
                (1, _) => {
                    options = rest;
                    continue;
                }
                (3, [_, scale, ..]) => segment.scale = Some(*scale),
                (4, _) => segment.sack = true,
                (8, [_, a, b, c, d, ..]) => {
                    segment.timestamp = Some(u32::from_be_bytes([*a, *b, *c, *d]));
                }
                _ => {}
            }
            options = options.get(usize::from(*rest.first()?).max(1)..)?;
        }
        Some(segment)
    }

    /// Sequence number after the segment.
    #[must_use]
    pub fn end(&self) -> u32 {
        let control = (self.flags & flags::SYN != 0) as u32 + (self.flags & flags::FIN != 0) as u32;
        self.seq.wrapping_add(self.len as u32 + control)
    }
}

/// Names of control bits, as in `SA`.
pub struct Bits(pub u8);

impl fmt::Display for Bits {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (bit, name) in ["F", "S", "R", "P", "A", "U"].iter().enumerate() {
            if self.0 & (1 << bit) != 0 {
                f.write_str(name)?;
            }
        }
        Ok(())
    }
}

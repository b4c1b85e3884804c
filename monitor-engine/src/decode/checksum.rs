//! The Internet checksum (RFC 1071) of a TCP segment and of its IPv4 header.

use monitor_common::wire::{Datagram, PROTOCOL_TCP};

use crate::Packet;
use crate::payload::Payload;

/// Whether the IPv4 header and the TCP segment, captured whole, carry the right checksums.
pub fn good(packet: &Packet<'_>, datagram: &Datagram) -> bool {
    let header = &packet.data[datagram.header..datagram.payload];
    if datagram.version == 4 && fold(sum(header)) != 0xffff {
        return false;
    }
    let len = datagram.end - datagram.payload;
    let (src, dst) = (datagram.src.octets(), datagram.dst.octets());
    // IPv4 addresses fill the last four bytes; the prefix that maps them into IPv6 is not part of the sum.
    let from = if datagram.version == 4 { 12 } else { 0 };
    let mut total = sum(&src[from..]) + sum(&dst[from..]) + u64::from(PROTOCOL_TCP) + len as u64;
    let mut odd = false;
    let segment = Payload::new(&packet.data[datagram.payload..], packet.more, len);
    segment.each(0, len, |_, slice| {
        let part = u64::from(fold(sum(slice)));
        // A piece that starts at an odd distance has its bytes in the other halves of the words.
        total += if odd { u64::from((part as u16).swap_bytes()) } else { part };
        odd ^= slice.len() % 2 == 1;
        true
    });
    fold(total) == 0xffff
}

/// Sum of the big-endian 16-bit words, up to folding.
fn sum(bytes: &[u8]) -> u64 {
    let mut words = bytes.chunks_exact(4);
    let mut total: u64 =
        words.by_ref().map(|w| u64::from(u32::from_be_bytes([w[0], w[1], w[2], w[3]]))).sum();
    let mut rest = [0; 4];
    rest[..words.remainder().len()].copy_from_slice(words.remainder());
    total += u64::from(u32::from_be_bytes(rest));
    total
}

fn fold(mut total: u64) -> u16 {
    while total > 0xffff {
        total = (total & 0xffff) + (total >> 16);
    }
    total as u16
}

//! Internet checksum (RFC 1071) of IPv4 headers and TCP segments.
//!
//! Words are added in this machine's byte order: the result of a check does not depend on it (RFC 1071, 2 (B)).

use monitor_common::wire::{Address, Datagram, PROTOCOL_TCP};

use crate::Packet;
use crate::payload::Payload;

/// Words of 32 bits that are added in parallel, in vector registers.
const LANES: usize = 8;

/// Bytes that are added before a lane of 32 bits could overflow.
const PART: usize = 64 << 10;

/// Returns the checksum field of a header with a zero there, in network order.
pub fn of_header(header: &[u8]) -> [u8; 2] {
    (!fold(sum(header))).to_ne_bytes()
}

/// Returns whether the IPv4 header and the TCP segment, completely captured, have the right checksums.
pub fn good(packet: &Packet<'_>, datagram: &Datagram) -> bool {
    let header = &packet.data[datagram.header..datagram.payload];
    if datagram.version == 4 && fold(sum(header)) != 0xffff {
        return false;
    }
    let len = datagram.end - datagram.payload;
    let mut total = address(&datagram.src) + address(&datagram.dst);
    total += number(u32::from(PROTOCOL_TCP)) + number(len as u32);
    let mut odd = false;
    let segment = Payload::new(&packet.data[datagram.payload..], packet.more, len);
    segment.each(0, len, |_, slice| {
        let part = fold(sum(slice));
        // A piece at an odd distance has its bytes in the other halves of the words.
        total += u64::from(if odd { part.swap_bytes() } else { part });
        odd ^= slice.len() % 2 == 1;
        true
    });
    fold(total) == 0xffff
}

/// Returns the sum of an address. The prefix that maps an IPv4 address into IPv6 adds 0xffff, which is zero.
fn address(address: &Address) -> u64 {
    let (high, low) = address.words();
    [high >> 32, high, low >> 32, low]
        .map(|word| number(word as u32))
        .iter()
        .sum()
}

/// Returns the sum of a 32-bit number as it is sent.
fn number(number: u32) -> u64 {
    u64::from(number.to_be())
}

/// Returns the sum of the 16-bit words, not yet folded.
///
/// Both halves of 32-bit words are added separately: masks and shifts cost less than widening to 64 bits.
#[inline]
fn sum(bytes: &[u8]) -> u64 {
    let word = |bytes: &[u8]| u32::from_ne_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]);
    let mut total = 0;
    for part in bytes.chunks(PART) {
        let (mut low, mut high) = ([0_u32; LANES], [0_u32; LANES]);
        let mut blocks = part.chunks_exact(4 * LANES);
        for block in blocks.by_ref() {
            for (lane, bytes) in block.chunks_exact(4).enumerate() {
                low[lane] += word(bytes) & 0xffff;
                high[lane] += word(bytes) >> 16;
            }
        }
        total += low
            .iter()
            .chain(&high)
            .map(|&lane| u64::from(lane))
            .sum::<u64>();
        let mut words = blocks.remainder().chunks_exact(4);
        total += words
            .by_ref()
            .map(|bytes| u64::from(word(bytes)))
            .sum::<u64>();
        let mut rest = [0; 4];
        rest[..words.remainder().len()].copy_from_slice(words.remainder());
        total += u64::from(word(&rest));
    }
    total
}

fn fold(mut total: u64) -> u16 {
    while total > 0xffff {
        total = (total & 0xffff) + (total >> 16);
    }
    total as u16
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Computes the sum as RFC 1071 describes it.
    fn reference(bytes: &[u8]) -> u16 {
        let word =
            |pair: &[u8]| u64::from(u16::from_be_bytes([pair[0], *pair.get(1).unwrap_or(&0)]));
        fold(bytes.chunks(2).map(word).sum())
    }

    #[test]
    fn sums_of_every_length_equal_those_word_by_word() {
        let bytes: Vec<u8> = (0..400_u32).map(|i| (i * 37 + i / 7) as u8).collect();
        for len in 0..bytes.len() {
            assert_eq!(
                fold(sum(&bytes[..len])).to_be(),
                reference(&bytes[..len]),
                "length {len}"
            );
        }
    }

    #[test]
    fn lanes_do_not_overflow() {
        let bytes = vec![0xff; 4 << 20];
        assert_eq!(sum(&bytes), (bytes.len() as u64 / 4) * 2 * 0xffff);
        assert_eq!(fold(sum(&bytes)), 0xffff);
    }

    #[test]
    fn a_mapped_address_has_the_sum_of_its_ipv4_address() {
        let (octets, mapped) = ([10, 200, 0, 255], Address::v4([10, 200, 0, 255]));
        assert_eq!(fold(address(&mapped)), fold(sum(&octets)));
    }
}

//! The Internet checksum (RFC 1071) of both headers and the payload.

use super::frame::Frame;

/// Bytes that are added up side by side, in registers that hold several words.
const LANES: usize = 8;

pub fn good(frame: &Frame<'_>) -> bool {
    let (ip, tcp) = frame.packet.split_at(frame.tcp);
    // The pseudo header: both addresses, the protocol, the length, here in this machine's byte order as the rest.
    let pseudo = sum(&ip[12..20]) + u64::from((6 + tcp.len() as u16).to_be());
    fold(sum(ip)) == 0xffff && fold(pseudo + sum(tcp)) == 0xffff
}

/// Sum of the 16-bit words up to folding. In which byte order they are added makes no difference to whether it is right.
#[inline]
fn sum(bytes: &[u8]) -> u64 {
    let word =
        |bytes: &[u8]| u64::from(u32::from_ne_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]));
    let mut lanes = [0_u64; LANES];
    let mut blocks = bytes.chunks_exact(LANES * 4);
    for block in blocks.by_ref() {
        for (lane, bytes) in lanes.iter_mut().zip(block.chunks_exact(4)) {
            *lane += word(bytes);
        }
    }
    let mut words = blocks.remainder().chunks_exact(4);
    let mut total: u64 = lanes.iter().sum::<u64>() + words.by_ref().map(word).sum::<u64>();
    let mut rest = [0; 4];
    rest[..words.remainder().len()].copy_from_slice(words.remainder());
    total += word(&rest);
    total
}

fn fold(mut sum: u64) -> u16 {
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    sum as u16
}

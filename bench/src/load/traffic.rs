//! Endless connections: data from the clients, acknowledgments from the server.

use monitor_tests::wiregen::flags::{ACK, SYN};
use monitor_tests::wiregen::{Capture, End, Flow, Layers};

use crate::sys::bpf::Template;
use crate::sys::xdp::Sender;

const FLOWS: usize = 64;
/// Of the first client.
const PORT: u16 = 40_000;
const ETHERNET: usize = 14;
const TCP: usize = ETHERNET + 20;
const HEADERS: usize = TCP + 20;
/// The smallest frame that goes over a wire.
const LEAST: usize = 60;
/// Frames of a flow that can be on their way at once; the last of them is an acknowledgment.
const EACH: usize = Sender::FRAMES / FLOWS;

/// The frames of all flows in turns, every one with the right checksum.
pub struct Traffic {
    payload: usize,
    /// By frame: the sum of all words but those of the number that changes, and that number.
    sums: Vec<(u64, u32)>,
}

impl Traffic {
    pub fn new(bytes: usize) -> Self {
        Self {
            payload: bytes.max(HEADERS + 1) - HEADERS,
            sums: vec![(0, 0); Sender::FRAMES],
        }
    }

    /// The frame with this number before it is sent for the first time.
    pub fn frame(&mut self, number: usize) -> Vec<u8> {
        let (flow, index) = (number % FLOWS, number / FLOWS);
        let acknowledgment = index == EACH - 1;
        let payload = if acknowledgment { 0 } else { self.payload };
        let client = ([10, 9, 1, flow as u8], PORT + flow as u16);
        let server = ([10, 9, 2, 1], 443_u16);
        let (source, destination) = if acknowledgment {
            (server, client)
        } else {
            (client, server)
        };
        let mut frame = vec![2, 0, 0, 0, 0, 2, 2, 0, 0, 0, 0, 1, 8, 0];
        frame.extend([0x45, 0]);
        frame.extend(((HEADERS - ETHERNET + payload) as u16).to_be_bytes());
        frame.extend([0, 0, 0x40, 0, 64, 6, 0, 0]);
        frame.extend(source.0);
        frame.extend(destination.0);
        let ip = !fold(sum(&frame[ETHERNET..]));
        frame[ETHERNET + 10..ETHERNET + 12].copy_from_slice(&ip.to_be_bytes());
        frame.extend(source.1.to_be_bytes());
        frame.extend(destination.1.to_be_bytes());
        frame.extend([0; 8]);
        frame.extend([0x50, ACK, 0xff, 0xff, 0, 0, 0, 0]);
        frame.resize(HEADERS + payload, 0x55);
        let pseudo = 6 + (20 + payload) as u64;
        self.sums[number] = (
            pseudo + sum(&frame[ETHERNET + 12..]),
            (index * self.payload) as u32,
        );
        frame.resize(frame.len().max(LEAST), 0);
        frame
    }

    /// Returns the template from which a program in the kernel makes the data of all connections.
    pub fn template(bytes: usize) -> Template {
        let mut traffic = Self::new(bytes);
        let frame = traffic.frame(0);
        // Data of the first connection, with sequence number 0.
        let (sum, _) = traffic.sums[0];
        Template {
            frame,
            sum: (sum - u64::from(PORT)) as u32,
            port: PORT,
            flows: FLOWS as u16,
            payload: traffic.payload as u16,
        }
    }

    /// Updates a frame before it is sent: the sequence number of data, or the acknowledgment
    /// number.
    pub fn next(&mut self, number: usize, frame: &mut [u8]) {
        let (sum, now) = &mut self.sums[number];
        let at = if number / FLOWS == EACH - 1 {
            TCP + 8
        } else {
            TCP + 4
        };
        frame[at..at + 4].copy_from_slice(&now.to_be_bytes());
        let checksum = !fold(*sum + u64::from(*now));
        frame[TCP + 16..TCP + 18].copy_from_slice(&checksum.to_be_bytes());
        *now = now.wrapping_add(((EACH - 1) * self.payload) as u32);
    }
}

/// Returns the SYNs of the connections that are made from [`Traffic::template`].
pub fn syns() -> impl Iterator<Item = Capture> {
    (0..FLOWS as u16).map(|number| {
        let mut flow = Flow::new(&format!("10.9.1.0:{}", PORT + number), "10.9.2.1:443");
        // Sequence number 0 is that of the first byte.
        flow.isn(u32::MAX, 0).segment(End::Client, SYN, &[]);
        Capture::of(&Layers::ethernet(), &flow)
    })
}

/// RFC 1071, up to folding; the length is even or the last byte counts as the upper half of a word.
fn sum(bytes: &[u8]) -> u64 {
    bytes
        .chunks(2)
        .map(|pair| u64::from(u16::from_be_bytes([pair[0], *pair.get(1).unwrap_or(&0)])))
        .sum()
}

fn fold(mut sum: u64) -> u16 {
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    sum as u16
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_frame_has_its_place_and_the_right_checksum() {
        let mut traffic = Traffic::new(64);
        let mut frames: Vec<Vec<u8>> = (0..Sender::FRAMES)
            .map(|number| traffic.frame(number))
            .collect();
        let mut next = [0_u32; FLOWS];
        for _ in 0..3 {
            for (number, frame) in frames.iter_mut().enumerate() {
                traffic.next(number, frame);
                let len = usize::from(u16::from_be_bytes([frame[16], frame[17]])) - 20;
                let pseudo = sum(&frame[26..34]) + 6 + len as u64;
                assert_eq!(fold(pseudo + sum(&frame[TCP..TCP + len])), 0xffff);
                let acknowledges = number / FLOWS == EACH - 1;
                let at = if acknowledges { TCP + 8 } else { TCP + 4 };
                let seen = u32::from_be_bytes(frame[at..at + 4].try_into().unwrap());
                assert_eq!(seen, next[number % FLOWS], "{number}");
                next[number % FLOWS] += if acknowledges { 0 } else { 10 };
            }
        }
    }

    /// Fills in a frame like the program in the kernel.
    #[test]
    fn a_template_has_the_sum_of_the_constant_words() {
        let Template {
            mut frame,
            sum: rest,
            port,
            payload,
            ..
        } = Traffic::template(64);
        for (flow, seq) in [(0, 0_u32), (63, 0xfffe_fffd)] {
            let port = port + flow;
            frame[TCP..TCP + 2].copy_from_slice(&port.to_be_bytes());
            frame[TCP + 4..TCP + 8].copy_from_slice(&seq.to_be_bytes());
            let checksum = !fold(u64::from(
                rest + u32::from(port) + (seq >> 16) + (seq & 0xffff),
            ));
            frame[TCP + 16..TCP + 18].copy_from_slice(&checksum.to_be_bytes());
            let len = 20 + usize::from(payload);
            let pseudo = sum(&frame[26..34]) + 6 + len as u64;
            assert_eq!(fold(pseudo + sum(&frame[TCP..TCP + len])), 0xffff);
        }
    }
}

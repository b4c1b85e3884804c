//! A capture file that is being written: Ethernet, IPv4, TCP, every checksum right.

use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::path::Path;

use monitor_tests::wiregen::flags::{ACK, SYN};

use super::flow::{Flow, Segment};

const ETHERNET: usize = 14;
const IP: usize = 20;
const TCP: usize = 20;
/// Overhead of a frame on the wire: preamble, checksum, gap.
const AROUND: u64 = 24;

/// Writes segments as frames that come at 10 Gbit/s.
pub struct Writer {
    out: BufWriter<File>,
    /// Nanoseconds since the epoch.
    time: u64,
    number: u16,
    frame: Vec<u8>,
}

impl Writer {
    /// A new file.
    pub fn create(path: &Path) -> io::Result<Self> {
        let mut out = BufWriter::with_capacity(1 << 20, File::create(path)?);
        out.write_all(&0xa1b2_c3d4_u32.to_le_bytes())?;
        for half in [2_u16, 4] {
            out.write_all(&half.to_le_bytes())?;
        }
        for word in [0_u32, 0, 262_144, 1] {
            out.write_all(&word.to_le_bytes())?;
        }
        Ok(Self {
            out,
            time: 1_700_000_000_000_000_000,
            number: 0,
            frame: Vec::new(),
        })
    }

    /// Writes the next frame.
    pub fn write(&mut self, flow: &Flow, segment: Segment) -> io::Result<()> {
        self.compose(flow, segment);
        let len = self.frame.len() as u32;
        let (seconds, rest) = (self.time / 1_000_000_000, self.time % 1_000_000_000);
        for word in [seconds as u32, (rest / 1000) as u32, len, len] {
            self.out.write_all(&word.to_le_bytes())?;
        }
        self.out.write_all(&self.frame)?;
        self.time += (u64::from(len) + AROUND) * 8 / 10;
        Ok(())
    }

    /// The file is complete.
    pub fn finish(mut self) -> io::Result<()> {
        self.out.flush()
    }

    fn compose(&mut self, flow: &Flow, segment: Segment) {
        let from = usize::from(segment.from);
        let to = 1 - from;
        let options = options(segment.flags, (self.time / 1_000_000) as u32 & 0x7fff_ffff);
        let header = ETHERNET + IP + TCP + options.len();
        let total = header + usize::from(segment.len);
        let frame = &mut self.frame;
        frame.clear();
        frame.extend([
            2,
            0,
            0,
            0,
            0,
            to as u8 + 1,
            2,
            0,
            0,
            0,
            0,
            from as u8 + 1,
            8,
            0,
        ]);
        frame.extend([0x45, 0]);
        frame.extend(((total - ETHERNET) as u16).to_be_bytes());
        self.number = self.number.wrapping_add(1);
        frame.extend(self.number.to_be_bytes());
        frame.extend([0x40, 0, 64, 6, 0, 0]);
        frame.extend(flow.addresses[from].to_be_bytes());
        frame.extend(flow.addresses[to].to_be_bytes());
        frame.extend(flow.ports[from].to_be_bytes());
        frame.extend(flow.ports[to].to_be_bytes());
        frame.extend(flow.isn[from].wrapping_add(segment.seq).to_be_bytes());
        let ack = if segment.flags & ACK == 0 {
            0
        } else {
            flow.isn[to].wrapping_add(segment.ack)
        };
        frame.extend(ack.to_be_bytes());
        frame.extend([(((TCP + options.len()) / 4) << 4) as u8, segment.flags]);
        frame.extend(65_000_u16.to_be_bytes());
        frame.extend([0; 4]);
        frame.extend(options);
        frame.resize(total, 0);
        if segment.len > 0 {
            flow.content[from].fill(u64::from(segment.seq) - 1, &mut frame[header..]);
        }
        let ip = checksum(0, &frame[ETHERNET..ETHERNET + IP]);
        frame[ETHERNET + 10..ETHERNET + 12].copy_from_slice(&ip.to_be_bytes());
        // The pseudo header: both addresses, the protocol, the length.
        let pseudo = 6 + (total - ETHERNET - IP) as u64;
        let tcp = checksum(pseudo, &frame[ETHERNET + 12..]);
        frame[ETHERNET + IP + 16..ETHERNET + IP + 18].copy_from_slice(&tcp.to_be_bytes());
    }
}

/// Returns Linux's TCP options: time stamps always; MSS, SACK and window scale in a SYN.
fn options(flags: u8, now: u32) -> Vec<u8> {
    let syn = flags & SYN != 0;
    let mut options = if syn {
        vec![2, 4, 0x05, 0xb4, 4, 2]
    } else {
        vec![1, 1]
    };
    options.extend([8, 10]);
    options.extend(now.to_be_bytes());
    options.extend(if flags & ACK == 0 { 0 } else { now }.to_be_bytes());
    if syn {
        options.extend([1, 3, 3, 7]);
    }
    options
}

/// RFC 1071. Words of 32 bits: their halves are added up when the sum is folded.
fn checksum(start: u64, bytes: &[u8]) -> u16 {
    let mut words = bytes.chunks_exact(4);
    let mut sum = start;
    for word in words.by_ref() {
        sum += u64::from(u32::from_be_bytes([word[0], word[1], word[2], word[3]]));
    }
    let mut rest = [0; 4];
    rest[..words.remainder().len()].copy_from_slice(words.remainder());
    sum += u64::from(u32::from_be_bytes(rest));
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    !(sum as u16)
}

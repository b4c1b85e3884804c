//! Frames made from a description of one TCP segment.

use std::net::{IpAddr, SocketAddr};

pub const FIN: u8 = 1;
pub const SYN: u8 = 2;
pub const RST: u8 = 4;
pub const PSH: u8 = 8;
pub const ACK: u8 = 16;
pub const URG: u8 = 32;

/// Description of a TCP segment.
#[derive(Clone, Debug)]
pub struct Segment {
    pub src: SocketAddr,
    pub dst: SocketAddr,
    pub seq: u32,
    pub ack: u32,
    pub flags: u8,
    pub window: u16,
    pub urgent: u16,
    /// Window scale option.
    pub scale: Option<u8>,
    /// Value of the timestamps option.
    pub timestamp: Option<u32>,
    /// Block of a selective acknowledgment.
    pub sacked: Option<[u32; 2]>,
    /// Permission of selective acknowledgments.
    pub sack: bool,
    pub payload: Vec<u8>,
}

impl Segment {
    /// A segment without payload, its window wide open.
    pub fn new(src: SocketAddr, dst: SocketAddr, seq: u32, flags: u8) -> Self {
        Self {
            src,
            dst,
            seq,
            ack: 0,
            flags,
            window: 65535,
            urgent: 0,
            scale: None,
            timestamp: None,
            sacked: None,
            sack: false,
            payload: Vec::new(),
        }
    }

    /// The segment alone, with the right checksum.
    fn tcp(&self) -> Vec<u8> {
        let mut tcp = Vec::with_capacity(24 + self.payload.len());
        tcp.extend(self.src.port().to_be_bytes());
        tcp.extend(self.dst.port().to_be_bytes());
        tcp.extend(self.seq.to_be_bytes());
        tcp.extend(self.ack.to_be_bytes());
        let mut options = Vec::new();
        if let Some(shift) = self.scale {
            options.extend([3, 3, shift, 1]);
        }
        if let Some(value) = self.timestamp {
            options.extend([1, 1, 8, 10]);
            options.extend(value.to_be_bytes());
            options.extend([0; 4]);
        }
        if self.sack {
            options.extend([1, 1, 4, 2]);
        }
        if let Some([left, right]) = self.sacked {
            options.extend([1, 1, 5, 10]);
            options.extend(left.to_be_bytes());
            options.extend(right.to_be_bytes());
        }
        tcp.push(((5 + options.len() / 4) << 4) as u8);
        tcp.push(self.flags);
        tcp.extend(self.window.to_be_bytes());
        tcp.extend([0, 0]);
        tcp.extend(self.urgent.to_be_bytes());
        tcp.extend(&options);
        tcp.extend(&self.payload);
        let mut pseudo = Vec::new();
        for ip in [self.src.ip(), self.dst.ip()] {
            match ip {
                IpAddr::V4(ip) => pseudo.extend(ip.octets()),
                IpAddr::V6(ip) => pseudo.extend(ip.octets()),
            }
        }
        pseudo.extend([0, 0, 0, 6]);
        pseudo.extend((tcp.len() as u32).to_be_bytes());
        pseudo.extend(&tcp);
        let sum = checksum(&pseudo);
        tcp[16..18].copy_from_slice(&sum.to_be_bytes());
        tcp
    }

    /// The IP packet.
    pub fn ip(&self) -> Vec<u8> {
        let tcp = self.tcp();
        match (self.src.ip(), self.dst.ip()) {
            (IpAddr::V4(src), IpAddr::V4(dst)) => {
                let mut ip = vec![0x45, 0];
                ip.extend(u16::try_from(20 + tcp.len()).unwrap_or(0).to_be_bytes());
                ip.extend([0, 0, 0x40, 0, 64, 6, 0, 0]);
                ip.extend(src.octets());
                ip.extend(dst.octets());
                let sum = checksum(&ip);
                ip[10..12].copy_from_slice(&sum.to_be_bytes());
                ip.extend(tcp);
                ip
            }
            (IpAddr::V6(src), IpAddr::V6(dst)) => {
                let mut ip = vec![0x60, 0, 0, 0];
                ip.extend(u16::try_from(tcp.len()).unwrap_or(0).to_be_bytes());
                ip.extend([6, 64]);
                ip.extend(src.octets());
                ip.extend(dst.octets());
                ip.extend(tcp);
                ip
            }
            _ => panic!("one address of each version"),
        }
    }

    /// The Ethernet frame, with tags (outermost first) and padding as a card adds it.
    pub fn ethernet(&self, tags: &[u16], padding: usize) -> Vec<u8> {
        ethernet(&self.ip(), tags, padding)
    }
}

/// An IP packet in an Ethernet frame.
pub fn ethernet(ip: &[u8], tags: &[u16], padding: usize) -> Vec<u8> {
    let mut frame = vec![2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2];
    for (index, tag) in tags.iter().enumerate() {
        frame.extend(if index + 1 < tags.len() {
            [0x88, 0xa8]
        } else {
            [0x81, 0x00]
        });
        frame.extend(tag.to_be_bytes());
    }
    frame.extend(if ip[0] >> 4 == 4 {
        [0x08, 0x00]
    } else {
        [0x86, 0xdd]
    });
    frame.extend(ip);
    frame.extend(std::iter::repeat_n(0xee, padding));
    frame
}

/// Description of a fragment: its bytes of the IP payload, and the more-fragments flag.
#[derive(Clone, Copy, Debug)]
pub struct Part {
    pub start: usize,
    pub end: usize,
    pub more: bool,
}

/// Cuts an IP payload of `len` bytes into parts of `size`.
pub fn parts(len: usize, size: usize) -> Vec<Part> {
    (0..len)
        .step_by(size)
        .map(|start| Part {
            start,
            end: (start + size).min(len),
            more: start + size < len,
        })
        .collect()
}

/// Returns a fragment of an IP packet.
pub fn fragment(ip: &[u8], id: u32, part: Part) -> Vec<u8> {
    if ip[0] >> 4 == 4 {
        fragment_v4(ip, id, part)
    } else {
        fragment_v6(ip, id, part)
    }
}

/// All fragments of an IP packet, in order.
pub fn fragments(ip: &[u8], id: u32, size: usize) -> Vec<Vec<u8>> {
    let header = if ip[0] >> 4 == 4 { 20 } else { 40 };
    parts(ip.len() - header, size)
        .into_iter()
        .map(|part| fragment(ip, id, part))
        .collect()
}

fn fragment_v4(ip: &[u8], id: u32, part: Part) -> Vec<u8> {
    let mut out = ip[..20].to_vec();
    let total = 20 + part.end - part.start;
    out[2..4].copy_from_slice(&(total as u16).to_be_bytes());
    out[4..6].copy_from_slice(&(id as u16).to_be_bytes());
    let field = (part.start / 8) as u16 | if part.more { 0x2000 } else { 0 };
    out[6..8].copy_from_slice(&field.to_be_bytes());
    out[10..12].fill(0);
    let sum = checksum(&out);
    out[10..12].copy_from_slice(&sum.to_be_bytes());
    out.extend(&ip[20 + part.start..20 + part.end]);
    out
}

fn fragment_v6(ip: &[u8], id: u32, part: Part) -> Vec<u8> {
    let mut out = ip[..40].to_vec();
    out[4..6].copy_from_slice(&((8 + part.end - part.start) as u16).to_be_bytes());
    out[6] = 44;
    let field = part.start as u16 | u16::from(part.more);
    out.extend([ip[6], 0]);
    out.extend(field.to_be_bytes());
    out.extend(id.to_be_bytes());
    out.extend(&ip[40 + part.start..40 + part.end]);
    out
}

fn checksum(bytes: &[u8]) -> u16 {
    let word = |w: &[u8]| u32::from(w[0]) << 8 | u32::from(*w.get(1).unwrap_or(&0));
    let mut sum: u32 = bytes.chunks(2).map(word).sum();
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    !(sum as u16)
}

//! Many small packets of many connections, made quickly.

/// IPv4 and TCP headers without options.
const HEADERS: usize = 40;

/// Sender.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    Client,
    Server,
}

/// Packets one after another, from their IP headers on.
#[derive(Default)]
pub struct Packets {
    bytes: Vec<u8>,
    ends: Vec<usize>,
}

impl Packets {
    pub fn clear(&mut self) {
        self.bytes.clear();
        self.ends.clear();
    }

    pub fn len(&self) -> usize {
        self.ends.len()
    }

    /// A segment of the connection with this number; all start at sequence number 0. Checksums are left out.
    pub fn push(&mut self, flow: u64, from: End, flags: u8, [seq, ack]: [u32; 2], payload: usize) {
        // 16 ports of each of 2^24 addresses.
        let client = (
            0x0a00_0000 | (flow >> 4) as u32 & 0x00ff_ffff,
            40_000 + (flow & 15) as u16,
        );
        let server = (0xc0a8_0001_u32, 443_u16);
        let (source, destination) = if from == End::Client {
            (client, server)
        } else {
            (server, client)
        };
        let bytes = &mut self.bytes;
        bytes.extend([0x45, 0]);
        bytes.extend(((HEADERS + payload) as u16).to_be_bytes());
        bytes.extend([0, 0, 0x40, 0, 64, 6, 0, 0]);
        bytes.extend(source.0.to_be_bytes());
        bytes.extend(destination.0.to_be_bytes());
        bytes.extend(source.1.to_be_bytes());
        bytes.extend(destination.1.to_be_bytes());
        bytes.extend(seq.to_be_bytes());
        bytes.extend(ack.to_be_bytes());
        bytes.extend([0x50, flags, 0xff, 0xff, 0, 0, 0, 0]);
        bytes.resize(bytes.len() + payload, 0x55);
        self.ends.push(bytes.len());
    }

    pub fn frames(&self) -> impl Iterator<Item = &[u8]> {
        let starts = std::iter::once(0).chain(self.ends.iter().copied());
        starts
            .zip(&self.ends)
            .map(|(start, end)| &self.bytes[start..*end])
    }
}

//! Connection as a queue of segments, and the faults of their path.

use std::collections::{BTreeMap, VecDeque};
use std::net::{Ipv4Addr, SocketAddrV4};

use monitor_tests::wiregen::Random;
use monitor_tests::wiregen::flags::{ACK, FIN, PSH, SYN};

use super::content::Content;

/// Payload of a full segment: Ethernet, with time stamps.
pub const FULL: u32 = 1448;

/// Segment, relative to its connection.
#[derive(Clone, Copy, Debug)]
pub struct Segment {
    /// Sender: 0 the client, 1 the server.
    pub from: u8,
    /// TCP flags of the header.
    pub flags: u8,
    /// Payload bytes.
    pub len: u16,
    /// Distance from the sender's initial sequence number.
    pub seq: u32,
    /// Distance from the receiver's initial sequence number.
    pub ack: u32,
}

/// Connection with its unsent data. The client is first in each array.
#[derive(Debug)]
pub struct Flow {
    /// IPv4 addresses.
    pub addresses: [u32; 2],
    /// Ports.
    pub ports: [u16; 2],
    /// Initial sequence numbers.
    pub isn: [u32; 2],
    /// Content of each sender.
    pub content: [Content; 2],
    /// Length of each sender's stream.
    pub len: [u32; 2],
    /// Segments that never reached the capture, although the receiver acknowledged them: offset and length.
    pub lost: [Vec<(u32, u32)>; 2],
    /// Unsent segments, in the order of the capture.
    pub segments: VecDeque<Segment>,
}

/// Faults of the path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Path {
    /// Nothing.
    Clean,
    /// 2 % come 1 to 5 segments late, 0.5 % were lost before the capture and come again 64 segments later, 1 % come
    /// twice, 0.5 % are sent again as segments that overlap with their neighbours.
    Messy,
    /// 0.5 % never come, 2 % come 1 to 5 segments late.
    Gappy,
}

impl Flow {
    /// The flow with this number; nothing is to be sent yet.
    pub fn new(number: u64, seed: u64, len: [u32; 2]) -> Self {
        let key = mix(seed ^ (number << 20));
        Self {
            addresses: [
                0x0a00_0000 | (1 + (number / 50_000) as u32) << 16 | ((number % 250) as u32 + 1),
                0xc0a8_0000 | ((number % 16) as u32 + 1),
            ],
            ports: [10_000 + (number % 50_000) as u16, 9999],
            isn: [mix(key ^ 1) as u32, mix(key ^ 2) as u32],
            content: [Content(key ^ 0x1111), Content(key ^ 0x2222)],
            len,
            lost: [Vec::new(), Vec::new()],
            segments: VecDeque::new(),
        }
    }

    /// The three-way handshake.
    pub fn open(&mut self) {
        self.push(0, SYN, 0, 0, 0);
        self.push(1, SYN | ACK, 0, 0, 1);
        self.push(0, ACK, 1, 0, 1);
    }

    /// Both ends close, `first` first.
    pub fn close(&mut self, first: u8) {
        let second = 1 - first;
        let end = |from: u8| self.len[usize::from(from)] + 1;
        let (a, b) = (end(first), end(second));
        self.push(first, FIN | ACK, a, 0, b);
        self.push(second, FIN | ACK, b, 0, a + 1);
        self.push(first, ACK, a + 1, 0, b + 1);
    }

    /// All that `from` sends, after its peer has sent `peer` bytes; the peer acknowledges every second segment.
    pub fn send(&mut self, from: u8, peer: u32, path: Path, random: &mut Random) {
        let len = self.len[usize::from(from)];
        let count = len.div_ceil(FULL);
        let mut wire = Wire {
            from,
            peer,
            len,
            next: 0,
            waiting: BTreeMap::new(),
            unacknowledged: 0,
        };
        // When it is due, offset, length.
        let mut late: Vec<(u32, u32, u32)> = Vec::new();
        for index in 0..count {
            let off = index * FULL;
            let size = FULL.min(len - off);
            let luck = if path == Path::Clean {
                1000
            } else {
                random.below(1000)
            };
            match (path, luck) {
                (Path::Messy, 0..5) => late.push((index + 64, off, size)),
                (Path::Gappy, 0..5) => {
                    self.lost[usize::from(from)].push((off, size));
                    wire.receive(&mut self.segments, off, size);
                }
                (_, 0..25) => late.push((index + between(random, 1, 5), off, size)),
                _ => wire.carry(&mut self.segments, off, size),
            }
            if path == Path::Messy {
                let lost = if luck < 5 { 64 } else { 0 };
                if random.below(100) == 0 {
                    late.push((index + between(random, 6, 30) + lost, off, size));
                }
                if index > 2 && index + 2 < count && random.below(1000) < 5 {
                    // From inside this segment into the next one, or from up to 700 bytes further down.
                    let start = off + between(random, 100, 1400);
                    if random.below(2) == 0 {
                        wire.carry(&mut self.segments, start, FULL);
                    } else {
                        late.push((index + between(random, 2, 20), start - 700, FULL));
                    }
                }
            }
            late.retain(|&(due, off, size)| {
                let wait = due > index + 1;
                if !wait {
                    wire.carry(&mut self.segments, off, size);
                }
                wait
            });
        }
        late.sort_unstable();
        for (_, off, size) in late {
            wire.carry(&mut self.segments, off, size);
        }
        self.push(1 - from, ACK, peer + 1, 0, len + 1);
    }

    /// Both ends, as `address:port`.
    pub fn ends(&self) -> [SocketAddrV4; 2] {
        [0, 1]
            .map(|end| SocketAddrV4::new(Ipv4Addr::from_bits(self.addresses[end]), self.ports[end]))
    }

    /// Returns the captured part of a sender's stream: ranges of bytes, offset and length.
    pub fn captured(&self, sender: usize) -> Vec<[u64; 2]> {
        let mut runs = Vec::new();
        let mut from = 0;
        let end = (self.len[sender], 0);
        for &(off, len) in self.lost[sender].iter().chain([&end]) {
            if off > from {
                runs.push([u64::from(from), u64::from(off - from)]);
            }
            from = off + len;
        }
        runs
    }

    fn push(&mut self, from: u8, flags: u8, seq: u32, len: u16, ack: u32) {
        self.segments.push_back(Segment {
            from,
            flags,
            len,
            seq,
            ack,
        });
    }
}

/// A sender's data on the path, and the receiver's state.
struct Wire {
    from: u8,
    peer: u32,
    len: u32,
    /// The receiver's in-order edge.
    next: u32,
    /// Ranges received ahead of a lost one: offset and length.
    waiting: BTreeMap<u32, u32>,
    unacknowledged: u32,
}

impl Wire {
    /// Captured, and received.
    fn carry(&mut self, segments: &mut VecDeque<Segment>, off: u32, len: u32) {
        let push = if off + len == self.len { PSH } else { 0 };
        let (seq, ack) = (off + 1, self.peer + 1);
        segments.push_back(Segment {
            from: self.from,
            flags: ACK | push,
            len: len as u16,
            seq,
            ack,
        });
        self.receive(segments, off, len);
    }

    /// Received: every second segment is acknowledged.
    fn receive(&mut self, segments: &mut VecDeque<Segment>, off: u32, len: u32) {
        let waiting = self.waiting.entry(off).or_default();
        *waiting = len.max(*waiting);
        while let Some((&off, &len)) = self.waiting.first_key_value()
            && off <= self.next
        {
            self.next = self.next.max(off + len);
            self.waiting.pop_first();
        }
        self.unacknowledged += 1;
        if self.unacknowledged == 2 {
            self.unacknowledged = 0;
            let (seq, ack) = (self.peer + 1, self.next + 1);
            segments.push_back(Segment {
                from: 1 - self.from,
                flags: ACK,
                len: 0,
                seq,
                ack,
            });
        }
    }
}

/// A number from `least` to `most`.
pub fn between(random: &mut Random, least: u32, most: u32) -> u32 {
    least + random.below((most - least + 1) as usize) as u32
}

fn mix(number: u64) -> u64 {
    Random::new(number).number()
}

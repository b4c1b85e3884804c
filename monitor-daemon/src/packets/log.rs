//! Packet log of a worker: the latest packets, in a ring of words.
//!
//! A record is a header of four words, and the bytes of the packet in words. The writer raises `tail` past the records
//! that it is about to overwrite, then writes, then raises `head`. A reader copies a record between them and looks at
//! `tail` again: if it has passed the record, the copy is discarded.
//!
//! **Invariant:** one thread writes. `tail` and `head` are positions between records, counted in words.

use std::sync::atomic::Ordering::{Acquire, Relaxed, Release};
use std::sync::atomic::{AtomicU64, fence};

use monitor_engine::{LinkType, Packet};

/// Words before a packet's bytes: number, time, lengths, interface and link type.
const HEADER: u64 = 4;
const WORD: usize = size_of::<u64>();

/// Latest packets of one worker.
#[derive(Debug)]
pub struct PacketLog {
    words: Box<[AtomicU64]>,
    /// Position of the oldest record.
    tail: AtomicU64,
    /// Position after the newest record.
    head: AtomicU64,
    /// Number of the next packet.
    next: AtomicU64,
}

/// Packet of a log, without its bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LogPacket {
    /// Number among the packets of its log.
    pub number: u64,
    /// Capture time, nanoseconds since the epoch.
    pub time: u64,
    /// Number of bytes in the log.
    pub captured: u32,
    /// Number of bytes of the packet.
    pub length: u32,
    /// Number of its interface; 0: unknown.
    pub interface: u16,
    /// First header.
    pub link: LinkType,
}

/// Result of a read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogRead {
    /// Packet; its bytes were appended to the buffer.
    Packet(LogPacket),
    /// Not written yet.
    Empty,
    /// The packet was overwritten: the position is that of the oldest one now.
    Overwritten,
}

impl PacketLog {
    /// Creates an empty log of `bytes` bytes.
    #[must_use]
    pub fn new(bytes: usize) -> Self {
        let words = (bytes / WORD).max(1 << 15).next_power_of_two();
        Self {
            words: (0..words).map(|_| AtomicU64::new(0)).collect(),
            tail: AtomicU64::new(0),
            head: AtomicU64::new(0),
            next: AtomicU64::new(0),
        }
    }

    /// Returns the position after the newest packet.
    #[must_use]
    pub fn head(&self) -> u64 {
        self.head.load(Acquire)
    }

    /// Returns the number of packets ever written, and the position after the last of them, for a reader that starts now.
    #[must_use]
    pub fn start(&self) -> (u64, u64) {
        loop {
            let head = self.head.load(Acquire);
            let next = self.next.load(Acquire);
            if self.head.load(Acquire) == head {
                return (next, head);
            }
        }
    }

    /// Appends packets. For the worker.
    pub fn push(&self, packets: &[Packet<'_>]) {
        for packet in packets {
            self.push_one(packet);
        }
    }

    fn push_one(&self, packet: &Packet<'_>) {
        let most = self.words.len() as u64 / 2;
        let captured = (packet.len() as u64).min(most * WORD as u64);
        let head = self.head.load(Relaxed);
        let end = head + record(captured);
        self.make_room(end);
        let number = self.next.load(Relaxed);
        let length = packet.len() as u64 + u64::from(packet.cut);
        let header = [
            number,
            packet.time,
            captured | length << 32,
            u64::from(packet.interface) | u64::from(link_number(packet.link)) << 16,
        ];
        let mut at = head;
        for word in header {
            self.word(at).store(word, Relaxed);
            at += 1;
        }
        self.write(at, packet, captured as usize);
        self.next.store(number + 1, Release);
        self.head.store(end, Release);
    }

    /// Writes bytes of a packet, which may be in several pieces.
    fn write(&self, from: u64, packet: &Packet<'_>, captured: usize) {
        let mut at = from;
        let mut left = captured;
        let (mut rest, mut filled) = ([0; WORD], 0);
        for piece in std::iter::once(&packet.data).chain(packet.more) {
            let mut piece = &piece[..piece.len().min(left)];
            left -= piece.len();
            // A word that the piece before it began.
            if filled > 0 {
                let more = piece.len().min(WORD - filled);
                rest[filled..filled + more].copy_from_slice(&piece[..more]);
                filled += more;
                piece = &piece[more..];
                if filled < WORD {
                    continue;
                }
                self.word(at).store(u64::from_le_bytes(rest), Relaxed);
                at += 1;
            }
            let (words, tail) = piece.as_chunks::<WORD>();
            for word in words {
                self.word(at).store(u64::from_le_bytes(*word), Relaxed);
                at += 1;
            }
            rest[..tail.len()].copy_from_slice(tail);
            filled = tail.len();
        }
        if filled > 0 {
            rest[filled..].fill(0);
            self.word(at).store(u64::from_le_bytes(rest), Relaxed);
        }
    }

    /// Removes the oldest records as far as one that ends at `end` needs their place.
    fn make_room(&self, end: u64) {
        let first = self.tail.load(Relaxed);
        let mut tail = first;
        while end - tail > self.words.len() as u64 {
            tail += record(self.word(tail + 2).load(Relaxed) & u64::from(u32::MAX));
        }
        if tail != first {
            self.tail.store(tail, Relaxed);
            // Readers that see one of the new words also see the new tail.
            fence(Release);
        }
    }

    /// Reads the packet at a position, which is advanced, and appends at most `snaplen` of its bytes to `to`.
    pub fn read(&self, at: &mut u64, snaplen: u32, to: &mut Vec<u8>) -> LogRead {
        if *at >= self.head() {
            return LogRead::Empty;
        }
        let [number, time, lengths, origin] =
            [0, 1, 2, 3].map(|index| self.word(*at + index).load(Relaxed));
        let captured = lengths as u32;
        let start = to.len();
        // A torn length is bounded by the ring.
        if u64::from(captured) <= self.words.len() as u64 * WORD as u64 {
            let wanted = captured.min(snaplen) as usize;
            for index in 0..wanted.div_ceil(WORD) as u64 {
                let word = self.word(*at + HEADER + index).load(Relaxed);
                to.extend(word.to_le_bytes());
            }
            to.truncate(start + wanted);
        }
        // The copy comes before the second look.
        fence(Acquire);
        let tail = self.tail.load(Relaxed);
        if tail > *at {
            to.truncate(start);
            *at = tail;
            return LogRead::Overwritten;
        }
        *at += record(u64::from(captured));
        LogRead::Packet(LogPacket {
            number,
            time,
            captured,
            length: (lengths >> 32) as u32,
            interface: origin as u16,
            link: link_of((origin >> 16) as u8),
        })
    }

    fn word(&self, at: u64) -> &AtomicU64 {
        // The number of words is a power of two.
        &self.words[at as usize & (self.words.len() - 1)]
    }
}

/// Returns the words of a record with `captured` bytes.
fn record(captured: u64) -> u64 {
    HEADER + captured.div_ceil(WORD as u64)
}

/// Live captures have Ethernet or IP.
fn link_number(link: LinkType) -> u8 {
    u8::from(link == LinkType::Ip)
}

fn link_of(number: u8) -> LinkType {
    if number == 0 {
        LinkType::Ethernet
    } else {
        LinkType::Ip
    }
}

#[cfg(test)]
mod tests {
    use monitor_engine::Checksum;

    use super::*;

    fn packet<'a>(time: u64, data: &'a [u8], more: &'a [&'a [u8]]) -> Packet<'a> {
        Packet {
            time,
            interface: 3,
            link: LinkType::Ip,
            data,
            more,
            cut: 0,
            checksum: Checksum::Unknown,
        }
    }

    #[test]
    fn packets_in_pieces_are_read_as_one() {
        let log = PacketLog::new(1 << 18);
        let bytes: Vec<u8> = (0..100).collect();
        let (mut at, mut read) = (0, Vec::new());
        for cut in 0..40 {
            let more: [&[u8]; 2] = [&bytes[cut..cut + 3], &bytes[cut + 3..]];
            log.push(&[packet(7, &bytes[..cut], &more)]);
            read.clear();
            let expected = LogPacket {
                number: cut as u64,
                time: 7,
                captured: 100,
                length: 100,
                interface: 3,
                link: LinkType::Ip,
            };
            assert_eq!(log.read(&mut at, 50, &mut read), LogRead::Packet(expected));
            assert_eq!(read, bytes[..50], "cut at {cut}");
        }
        assert_eq!(log.read(&mut at, 50, &mut read), LogRead::Empty);
        assert_eq!(log.start(), (40, at));
    }

    #[test]
    fn an_overtaken_reader_notices_and_every_other_read_is_whole() {
        const PACKETS: u64 = 400_000;
        let log = PacketLog::new(0);
        let length = |number: u64| (number % 301) as usize;
        let (mut at, mut bytes) = (0, Vec::new());
        let (mut read, mut expected, mut overtaken) = (0, 0, 0);
        std::thread::scope(|scope| {
            scope.spawn(|| {
                for number in 0..PACKETS {
                    log.push(&[packet(number, &[number as u8; 301][..length(number)], &[])]);
                }
            });
            while expected < PACKETS {
                bytes.clear();
                match log.read(&mut at, u32::MAX, &mut bytes) {
                    LogRead::Packet(packet) => {
                        assert_eq!(packet.number, packet.time);
                        assert!(packet.number >= expected);
                        assert_eq!(bytes, vec![packet.number as u8; length(packet.number)]);
                        (expected, read) = (packet.number + 1, read + 1);
                    }
                    LogRead::Empty => std::thread::yield_now(),
                    LogRead::Overwritten => overtaken += 1,
                }
            }
        });
        assert!(
            read > 0 && (read == PACKETS || overtaken > 0),
            "{read} {overtaken}"
        );
    }
}

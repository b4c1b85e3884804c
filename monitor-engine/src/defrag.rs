//! IP fragments put together, in bounded memory and time.
//!
//! RFC 791 (IPv4) and RFC 8200, 4.5 (IPv6). A datagram with overlapping fragments is dropped whole (RFC 5722; Linux
//! does the same for IPv4); an exact copy of a fragment is ignored. Datagrams that never complete go after
//! [`FragmentConfig::timeout`], or oldest first when their memory is needed.

use std::collections::{HashMap, VecDeque};

use monitor_common::wire::Address;

use crate::decode::Fragment;
use crate::{Counters, FragmentConfig, LinkType};

/// Largest IP datagram.
const MAX_DATAGRAM: usize = 65535;
/// What one waiting datagram costs besides its bytes.
const OVERHEAD: usize = 512;

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Key {
    src: Address,
    dst: Address,
    vlans: (u16, u16, u8),
    id: u32,
    /// IPv4 tells datagrams of different protocols apart; IPv6 knows the protocol from the first fragment only.
    protocol: u8,
    version: u8,
}

/// A datagram in the making.
#[derive(Debug)]
struct Waiting {
    deadline: u64,
    link: LinkType,
    /// Everything before the fragments' payload, from the first fragment: link and IP headers.
    head: Vec<u8>,
    /// Where the IP header starts in it.
    ip: usize,
    payload: Vec<u8>,
    /// Ranges that are there, by arrival.
    there: Vec<(u16, u16)>,
    total: Option<usize>,
    /// Fragments overlapped: everything under this key is dropped until the timeout.
    spoilt: bool,
}

/// A datagram that is whole again.
#[derive(Debug)]
pub struct Reassembled {
    /// How to read it.
    pub link: LinkType,
    /// A frame as if it had never been fragmented.
    pub data: Vec<u8>,
}

/// The datagrams in the making of one worker.
#[derive(Debug)]
pub struct Defrag {
    waiting: HashMap<Key, Waiting>,
    /// By age. A key may stand here for a datagram that is done: its deadline tells.
    order: VecDeque<(u64, Key)>,
    used: usize,
    budget: usize,
    limits: FragmentConfig,
}

impl Defrag {
    /// Keeps within `budget` bytes.
    pub fn new(budget: usize, limits: FragmentConfig) -> Self {
        Self {
            waiting: HashMap::new(),
            order: VecDeque::new(),
            used: 0,
            budget,
            limits,
        }
    }

    /// Other limits, for datagrams to come.
    pub fn limit(&mut self, limits: FragmentConfig) {
        self.limits = limits;
    }

    /// Takes a fragment; returns the datagram if that was the last one missing.
    pub fn add(
        &mut self,
        piece: &Fragment<'_>,
        now: u64,
        counters: &Counters,
    ) -> Option<Reassembled> {
        self.expire(now, counters);
        let Some((start, bytes)) = payload(piece) else {
            counters.fragments_dropped.add(1);
            return None;
        };
        let key = key(piece);
        self.make_room(
            bytes.len() + piece.datagram.payload + OVERHEAD,
            &key,
            counters,
        );
        let order = &mut self.order;
        let used = &mut self.used;
        let entry = self.waiting.entry(key).or_insert_with(|| {
            let deadline = now.saturating_add(self.limits.timeout);
            order.push_back((deadline, key));
            *used += OVERHEAD;
            Waiting::new(deadline)
        });
        let before = entry.bytes();
        let accepted = entry.add(piece, start, &bytes, self.limits.max);
        self.used = self.used + entry.bytes() - before;
        if !accepted {
            counters.fragments_dropped.add(1);
            return None;
        }
        if !entry.complete() {
            return None;
        }
        let whole = self.waiting.remove(&key)?;
        self.used -= whole.bytes() + OVERHEAD;
        counters.reassembled.add(1);
        Some(whole.finish())
    }

    /// Drops what has waited too long.
    pub fn expire(&mut self, now: u64, counters: &Counters) {
        while let Some(&(deadline, key)) = self.order.front() {
            let current = self
                .waiting
                .get(&key)
                .is_some_and(|waiting| waiting.deadline == deadline);
            if current && deadline > now {
                return;
            }
            self.order.pop_front();
            if current {
                self.drop_one(&key, counters);
            }
        }
    }

    /// Bytes held.
    pub fn used(&self) -> usize {
        self.used
    }

    fn make_room(&mut self, len: usize, keep: &Key, counters: &Counters) {
        let mut kept = None;
        while self.used + len > self.budget || self.order.len() * OVERHEAD > self.budget {
            let Some((deadline, key)) = self.order.pop_front() else {
                break;
            };
            if key == *keep {
                kept = Some((deadline, key));
            } else if self
                .waiting
                .get(&key)
                .is_some_and(|waiting| waiting.deadline == deadline)
            {
                self.drop_one(&key, counters);
            }
        }
        if let Some(kept) = kept {
            self.order.push_front(kept);
        }
    }

    fn drop_one(&mut self, key: &Key, counters: &Counters) {
        if let Some(waiting) = self.waiting.remove(key) {
            self.used -= waiting.bytes() + OVERHEAD;
            counters.fragments_dropped.add(waiting.there.len() as u64);
        }
    }
}

fn key(piece: &Fragment<'_>) -> Key {
    let datagram = &piece.datagram;
    Key {
        src: datagram.src,
        dst: datagram.dst,
        vlans: (piece.vlans.ids[0], piece.vlans.ids[1], piece.vlans.count),
        id: piece.fragment.id,
        protocol: if datagram.version == 4 {
            datagram.protocol
        } else {
            0
        },
        version: datagram.version,
    }
}

/// The fragment's offset and bytes; `None` if it is cut short, empty, or not what a fragment may be.
fn payload(piece: &Fragment<'_>) -> Option<(usize, Vec<u8>)> {
    let datagram = &piece.datagram;
    let start = usize::from(piece.fragment.offset);
    let len = datagram.end.checked_sub(datagram.payload)?;
    let mut bytes = Vec::with_capacity(len.min(MAX_DATAGRAM));
    bytes.extend_from_slice(piece.packet.data.get(datagram.payload..)?);
    for more in piece.packet.more {
        bytes.extend_from_slice(more);
    }
    bytes.truncate(len);
    let whole = bytes.len() == len && len > 0 && start + len <= MAX_DATAGRAM;
    let eighths = !piece.fragment.more || len.is_multiple_of(8);
    (whole && eighths).then_some((start, bytes))
}

impl Waiting {
    fn new(deadline: u64) -> Self {
        Self {
            deadline,
            link: LinkType::Ip,
            head: Vec::new(),
            ip: 0,
            payload: Vec::new(),
            there: Vec::new(),
            total: None,
            spoilt: false,
        }
    }

    fn bytes(&self) -> usize {
        self.head.capacity()
            + self.payload.capacity()
            + self.there.capacity() * size_of::<(u16, u16)>()
    }

    fn add(&mut self, piece: &Fragment<'_>, start: usize, bytes: &[u8], most: usize) -> bool {
        let end = start + bytes.len();
        let range = (start as u16, end as u16);
        if self.spoilt || self.there.len() >= most {
            return false;
        }
        if self.there.contains(&range) {
            return false;
        }
        let last = !piece.fragment.more;
        let beyond = self
            .total
            .is_some_and(|total| end > total || (last && end != total));
        let cut = last && self.there.iter().any(|there| usize::from(there.1) > end);
        if beyond
            || cut
            || self
                .there
                .iter()
                .any(|there| there.0 < range.1 && range.0 < there.1)
        {
            self.spoil();
            return false;
        }
        if last {
            self.total = Some(end);
        }
        if start == 0 {
            self.take_head(piece);
        }
        if self.payload.len() < end {
            self.payload.reserve_exact(end - self.payload.len());
            self.payload.resize(end, 0);
        }
        self.payload[start..end].copy_from_slice(bytes);
        self.there.push(range);
        true
    }

    fn spoil(&mut self) {
        self.spoilt = true;
        self.payload = Vec::new();
        self.head = Vec::new();
    }

    fn take_head(&mut self, piece: &Fragment<'_>) {
        /// The fragment extension header (RFC 8200, 4.5).
        const FRAGMENT_HEADER: usize = 8;
        let datagram = &piece.datagram;
        self.link = piece.packet.link;
        self.ip = datagram.header;
        self.head = piece.packet.data[..datagram.payload].to_vec();
        if datagram.version == 6 {
            let fragment_at = datagram.payload - FRAGMENT_HEADER;
            unlink_fragment_header(&mut self.head, self.ip, fragment_at);
        }
    }

    fn complete(&self) -> bool {
        let sum: usize = self
            .there
            .iter()
            .map(|there| usize::from(there.1 - there.0))
            .sum();
        self.total == Some(sum)
    }

    fn finish(self) -> Reassembled {
        let mut data = self.head;
        let header = data.len() - self.ip;
        let ip = &mut data[self.ip..];
        if ip[0] >> 4 == 4 {
            // More than 65535 together with the header: 0, which means "to the end".
            let total = u16::try_from(header + self.payload.len()).unwrap_or(0);
            ip[2..4].copy_from_slice(&total.to_be_bytes());
            ip[6..8].fill(0);
            ip[10..12].fill(0);
            let checksum = header_checksum(ip);
            ip[10..12].copy_from_slice(&checksum.to_be_bytes());
        } else {
            const IPV6_HEADER: usize = 40;
            let total = u16::try_from(header - IPV6_HEADER + self.payload.len()).unwrap_or(0);
            ip[4..6].copy_from_slice(&total.to_be_bytes());
        }
        data.extend_from_slice(&self.payload);
        Reassembled {
            link: self.link,
            data,
        }
    }
}

/// Cuts the fragment header at the end of `head` off, and points whoever pointed to it at what follows it.
fn unlink_fragment_header(head: &mut Vec<u8>, ip: usize, fragment_at: usize) {
    const FRAGMENT: u8 = 44;
    const AUTHENTICATION: u8 = 51;
    const FIXED: usize = 40;
    let next = head[fragment_at];
    let mut pointer = ip + 6;
    let mut at = ip + FIXED;
    while head[pointer] != FRAGMENT && at + 1 < fragment_at {
        let len = usize::from(head[at + 1]);
        let len = if head[pointer] == AUTHENTICATION {
            (len + 2) * 4
        } else {
            (len + 1) * 8
        };
        pointer = at;
        at += len;
    }
    head[pointer] = next;
    head.truncate(fragment_at);
}

fn header_checksum(header: &[u8]) -> u16 {
    let mut sum: u32 = header
        .chunks(2)
        .map(|w| u32::from(u16::from_be_bytes([w[0], *w.get(1).unwrap_or(&0)])))
        .sum();
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    !(sum as u16)
}

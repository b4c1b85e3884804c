//! Reassembly of IP fragments in bounded memory and time (RFC 791; RFC 8200, 4.5).
//!
//! A datagram with overlapping fragments is dropped completely (RFC 5722; Linux does the same for IPv4); an exact copy of a
//! fragment is ignored. Incomplete datagrams are dropped after [`TIMEOUT`], or oldest first when their memory is needed.

use std::collections::{HashMap, VecDeque};

use monitor_common::wire::Address;

use crate::decode::Fragment;
use crate::decode::checksum;
use crate::{Counters, LinkType};

/// Time that a datagram may take, nanoseconds: as Linux has it (net.ipv4.ipfrag_time).
const TIMEOUT: u64 = 30_000_000_000;
/// Most fragments of one datagram; more are dropped. 64 KiB over the smallest MTU of IPv6 are 53. In IPv4 they could be
/// 1366, but no such datagram occurs, and each fragment makes the next one slower.
const MAX_FRAGMENTS: usize = 128;
/// Largest IP datagram.
const MAX_DATAGRAM: usize = 65535;
/// Cost of an incomplete datagram besides its bytes.
const OVERHEAD: usize = 512;

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Key {
    src: Address,
    dst: Address,
    vlans: (u16, u16, u8),
    /// Link field with the number of the tunnel; 0: none.
    tunnel: u32,
    id: u32,
    /// Only in IPv4. In IPv6, only the first fragment has the protocol.
    protocol: u8,
    version: u8,
}

/// Incomplete datagram.
#[derive(Debug)]
struct Datagram {
    deadline: u64,
    link: LinkType,
    /// Link and IP headers of the first fragment: everything before its payload.
    head: Vec<u8>,
    /// Offset of the IP header in it.
    ip: usize,
    payload: Vec<u8>,
    /// Received ranges, by arrival.
    received: Vec<(u16, u16)>,
    total: Option<usize>,
    /// Fragments overlapped: everything with this key is dropped until the timeout.
    poisoned: bool,
}

/// Reassembled datagram.
#[derive(Debug)]
pub struct Reassembled {
    /// First header of `data`.
    pub link: LinkType,
    /// The frame as if it had never been fragmented.
    pub data: Vec<u8>,
}

/// Incomplete datagrams of one worker.
#[derive(Debug)]
pub struct Defrag {
    waiting: HashMap<Key, Datagram>,
    /// By age. The key of a datagram that is complete may still be here: its deadline differs.
    order: VecDeque<(u64, Key)>,
    used: usize,
    budget: usize,
}

impl Defrag {
    /// Creates a reassembler that uses at most `budget` bytes.
    pub fn new(budget: usize) -> Self {
        Self {
            waiting: HashMap::new(),
            order: VecDeque::new(),
            used: 0,
            budget,
        }
    }

    /// Adds a fragment. Returns the datagram if it is complete.
    pub fn add(
        &mut self,
        fragment: &Fragment<'_>,
        now: u64,
        counters: &Counters,
    ) -> Option<Reassembled> {
        self.expire(now, counters);
        let Some((start, bytes)) = payload(fragment) else {
            counters.fragments_dropped.add(1);
            return None;
        };
        let key = key(fragment);
        // The datagram of this fragment is not among those that make room for it.
        self.make_room(
            bytes.len() + fragment.datagram.payload + OVERHEAD,
            &key,
            counters,
        );
        let order = &mut self.order;
        let used = &mut self.used;
        let entry = self.waiting.entry(key).or_insert_with(|| {
            let deadline = now.saturating_add(TIMEOUT);
            order.push_back((deadline, key));
            *used += OVERHEAD;
            Datagram::new(deadline)
        });
        // The buffers grow by other amounts than the fragment's length: their capacity is counted.
        let before = entry.bytes();
        let accepted = entry.add(fragment, start, &bytes);
        self.used = self.used + entry.bytes() - before;
        if !accepted {
            counters.fragments_dropped.add(1);
            return None;
        }
        if !entry.complete() {
            return None;
        }
        // Its place in `order` stays until its deadline: a search there would cost more.
        let datagram = self.waiting.remove(&key)?;
        self.used -= datagram.bytes() + OVERHEAD;
        counters.reassembled.add(1);
        Some(datagram.finish())
    }

    /// Drops the datagrams past their deadline.
    pub fn expire(&mut self, now: u64, counters: &Counters) {
        while let Some(&(deadline, key)) = self.order.front() {
            let current = self
                .waiting
                .get(&key)
                .is_some_and(|waiting| waiting.deadline == deadline);
            // All later ones are younger.
            if current && deadline > now {
                return;
            }
            self.order.pop_front();
            if current {
                self.drop_one(&key, counters);
            }
        }
    }

    /// Returns the bytes in use.
    pub fn used(&self) -> usize {
        self.used
    }

    /// Returns the link fields of incomplete datagrams in tunnels.
    pub fn links(&self) -> impl Iterator<Item = u32> + '_ {
        self.waiting.keys().map(|key| key.tunnel)
    }

    /// Drops the oldest datagrams, but not the one with the key `keep`, until `len` bytes are free.
    fn make_room(&mut self, len: usize, keep: &Key, counters: &Counters) {
        let mut kept = None;
        // Complete datagrams leave entries in `order`: these count as well, or a fast sender could grow it.
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
            counters
                .fragments_dropped
                .add(waiting.received.len() as u64);
        }
    }
}

fn key(fragment: &Fragment<'_>) -> Key {
    let datagram = &fragment.datagram;
    Key {
        src: datagram.src,
        dst: datagram.dst,
        vlans: (
            fragment.vlans.ids[0],
            fragment.vlans.ids[1],
            fragment.vlans.count,
        ),
        tunnel: fragment.tunnel,
        id: fragment.fragment.id,
        protocol: if datagram.version == 4 {
            datagram.protocol
        } else {
            0
        },
        version: datagram.version,
    }
}

/// Returns the fragment's offset and bytes; `None` if it is truncated, empty, or not a valid fragment.
fn payload(fragment: &Fragment<'_>) -> Option<(usize, Vec<u8>)> {
    let datagram = &fragment.datagram;
    let start = usize::from(fragment.fragment.offset);
    let len = datagram.end.checked_sub(datagram.payload)?;
    let mut bytes = Vec::with_capacity(len.min(MAX_DATAGRAM));
    bytes.extend_from_slice(fragment.packet.data.get(datagram.payload..)?);
    for more in fragment.packet.more {
        bytes.extend_from_slice(more);
    }
    // Ethernet pads short frames.
    bytes.truncate(len);
    let whole = bytes.len() == len && len > 0 && start + len <= MAX_DATAGRAM;
    // Only the last fragment may have a length that is no multiple of 8 (RFC 791; RFC 8200, 4.5).
    let eighths = !fragment.fragment.more || len.is_multiple_of(8);
    (whole && eighths).then_some((start, bytes))
}

impl Datagram {
    fn new(deadline: u64) -> Self {
        Self {
            deadline,
            link: LinkType::Ip,
            head: Vec::new(),
            ip: 0,
            payload: Vec::new(),
            received: Vec::new(),
            total: None,
            poisoned: false,
        }
    }

    fn bytes(&self) -> usize {
        self.head.capacity()
            + self.payload.capacity()
            + self.received.capacity() * size_of::<(u16, u16)>()
    }

    fn add(&mut self, fragment: &Fragment<'_>, start: usize, bytes: &[u8]) -> bool {
        let end = start + bytes.len();
        let range = (start as u16, end as u16);
        if self.poisoned || self.received.len() >= MAX_FRAGMENTS {
            return false;
        }
        // A duplicate is harmless; any other overlap discards the datagram (RFC 5722).
        if self.received.contains(&range) {
            return false;
        }
        let last = !fragment.fragment.more;
        let beyond = self
            .total
            .is_some_and(|total| end > total || (last && end != total));
        let cut = last && self.received.iter().any(|range| usize::from(range.1) > end);
        if beyond
            || cut
            || self
                .received
                .iter()
                .any(|other| other.0 < range.1 && range.0 < other.1)
        {
            self.poison();
            return false;
        }
        if last {
            self.total = Some(end);
        }
        // The headers of the datagram are those of its first fragment.
        if start == 0 {
            self.take_head(fragment);
        }
        if self.payload.len() < end {
            // Exact: doubling would take more than the budget has counted.
            self.payload.reserve_exact(end - self.payload.len());
            self.payload.resize(end, 0);
        }
        self.payload[start..end].copy_from_slice(bytes);
        self.received.push(range);
        true
    }

    fn poison(&mut self) {
        // The entry remains and refuses the rest of the datagram until its deadline.
        self.poisoned = true;
        self.payload = Vec::new();
        self.head = Vec::new();
    }

    fn take_head(&mut self, fragment: &Fragment<'_>) {
        /// The fragment extension header (RFC 8200, 4.5).
        const FRAGMENT_HEADER: usize = 8;
        let datagram = &fragment.datagram;
        self.link = fragment.packet.link;
        self.ip = datagram.header;
        self.head = fragment.packet.data[..datagram.payload].to_vec();
        for carrier in fragment.carriers.into_iter().flatten() {
            clear_length(&mut self.head, carrier);
        }
        if datagram.version == 6 {
            let fragment_at = datagram.payload - FRAGMENT_HEADER;
            unlink_fragment_header(&mut self.head, self.ip, fragment_at);
        }
    }

    fn complete(&self) -> bool {
        // Ranges don't overlap, so their sum suffices.
        let sum: usize = self
            .received
            .iter()
            .map(|range| usize::from(range.1 - range.0))
            .sum();
        self.total == Some(sum)
    }

    fn finish(self) -> Reassembled {
        let mut data = self.head;
        let header = data.len() - self.ip;
        let ip = &mut data[self.ip..];
        if ip[0] >> 4 == 4 {
            // More than 65535 with the header: 0, which means to the end of the capture.
            let total = u16::try_from(header + self.payload.len()).unwrap_or(0);
            ip[2..4].copy_from_slice(&total.to_be_bytes());
            ip[6..8].fill(0);
            ip[10..12].fill(0);
            let checksum = checksum::of_header(ip);
            ip[10..12].copy_from_slice(&checksum);
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

/// Sets the length of the IP datagram at `ip`, which carries a fragment, to 0: it reaches to the end of the frame, which
/// will hold more than the fragment.
fn clear_length(head: &mut [u8], ip: usize) {
    let field = match head.get(ip) {
        Some(first) if first >> 4 == 4 => ip + 2,
        _ => ip + 4,
    };
    if let Some(length) = head.get_mut(field..field + 2) {
        length.fill(0);
    }
}

/// Removes the fragment header at the end of `head`, and points the header before it to the one behind it.
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

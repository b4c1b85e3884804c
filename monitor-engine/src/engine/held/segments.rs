//! List of held segments.

use std::collections::VecDeque;

use monitor_common::Refusal;
use monitor_common::wire::{Tcp, flags};

use crate::decode::{Segment, SynOptions};
use crate::engine::conn::Conn;
use crate::flow::FlowKey;
use crate::payload::Payload;
use crate::store::record::{NO_FIN, SideRecord};
use crate::{Side, SockId};

/// Bytes that a held segment takes beside its payload.
pub const OVERHEAD: usize = size_of::<Held>();

/// All held segments of a worker, oldest first.
#[derive(Debug)]
pub struct HeldSegments {
    pub list: VecDeque<Held>,
    pub bytes: usize,
    /// Share of the budget, bytes.
    pub limit: usize,
    /// A held segment is being applied: it must not be held again.
    pub is_applying: bool,
}

/// Held segment, with the facts that the decision needs.
#[derive(Debug)]
pub struct Held {
    pub id: SockId,
    pub slot: u32,
    pub generation: u32,
    pub sender: Side,
    pub reason: Refusal,
    /// The receiver has sent something since.
    pub answered: bool,
    /// The receiver's highest block of a selective acknowledgment ends with it.
    pub selected: bool,
    pub time: u64,
    pub interface: u16,
    pub key: FlowKey,
    pub hash: u64,
    pub tcp: Tcp,
    pub options: SynOptions,
    pub timestamp: Option<u32>,
    pub wire_len: usize,
    pub payload: Vec<u8>,
}

impl HeldSegments {
    /// Creates an empty list that may take `limit` bytes.
    pub fn new(limit: usize) -> Self {
        Self {
            list: VecDeque::new(),
            bytes: 0,
            limit,
            is_applying: false,
        }
    }

    /// Returns the bytes in use.
    pub fn used(&self) -> usize {
        self.bytes
    }

    pub fn push(&mut self, held: Held) {
        self.bytes += held.bytes();
        self.list.push_back(held);
    }

    pub fn remove(&mut self, index: usize) -> Option<Held> {
        let held = self.list.remove(index)?;
        self.bytes -= held.bytes();
        Some(held)
    }

    pub fn has_any(&self, conn: Conn<'_>) -> bool {
        self.list.iter().any(|held| held.belongs_to(conn))
    }
}

impl Held {
    pub fn new(
        conn: Conn<'_>,
        sender: Side,
        segment: &Segment<'_>,
        reason: Refusal,
        time: u64,
    ) -> Self {
        let mut payload = Vec::with_capacity(segment.payload.len());
        segment.payload.each(0, segment.payload.len(), |_, bytes| {
            payload.extend_from_slice(bytes);
            true
        });
        Self {
            id: conn.id,
            slot: conn.slot,
            generation: conn.record.generation.get(),
            sender,
            reason,
            answered: false,
            selected: false,
            time,
            interface: segment.interface,
            key: segment.key,
            hash: segment.hash,
            tcp: segment.tcp,
            options: segment.options,
            timestamp: segment.timestamp,
            wire_len: segment.wire_len,
            payload,
        }
    }

    pub fn bytes(&self) -> usize {
        OVERHEAD + self.payload.capacity()
    }

    pub fn belongs_to(&self, conn: Conn<'_>) -> bool {
        self.slot == conn.slot && self.generation == conn.record.generation.get()
    }

    pub fn segment(&self) -> Segment<'_> {
        Segment {
            time: self.time,
            interface: self.interface,
            key: self.key,
            hash: self.hash,
            tcp: self.tcp,
            options: self.options,
            timestamp: self.timestamp,
            sacked: None,
            payload: Payload::new(&self.payload, &[], self.payload.len()),
            wire_len: self.wire_len,
        }
    }

    /// Sequence number after the segment.
    pub fn end(&self) -> u32 {
        let fin = u32::from(self.tcp.flags & flags::FIN != 0);
        self.tcp.seq.wrapping_add(self.wire_len as u32 + fin)
    }
}

/// Returns whether a sequence number is beyond all bytes that a side has received, and beyond its FIN.
pub(super) fn is_beyond_received(fwd: SideRecord<'_>, number: u32) -> bool {
    let fin = fwd.fin();
    let fin_end = if fin == NO_FIN { 0 } else { fin + 1 };
    fwd.offset(number) > fwd.end().max(fin_end) as i64
}

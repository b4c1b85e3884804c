//! Batches of packets: decoded first, then applied one by one.
//!
//! A batch is walked several times, so that the memory each packet needs is on its way into the cache while the others
//! are decoded: packets, then entries of the flow table, then records and their neighbours, then the blocks that the
//! payload goes to.

use std::slice;
use std::sync::Arc;

use monitor_common::Refusal;
use monitor_common::abi;
use monitor_common::steer::worker;
use monitor_common::wire::{PROTOCOL_TCP, flags, is_extension_header};

use super::conn::Conn;
use super::open::Succession;
use super::{Engine, Handoff, timeouts};
use crate::decode::{Frame, Segment};
use crate::flow::{Class, SlotHint, Table};
use crate::store::arena::{Arena, prefetch_bytes};
use crate::store::blocks::prefetch_destination;
use crate::store::marks::prefetch_newest;
use crate::store::record::{Record, flag};
use crate::tunnels::MAX_DEPTH;
use crate::{Packet, Side, Sink};

/// Packets that are decoded together, before the first of them is applied.
const BATCH: usize = 32;

/// Prefetch distance of packets: number of packets between the prefetch of one and its decoding.
const PACKETS_AHEAD: usize = 3;

/// Prefetch distance of blocks, in payload bytes: early enough to have arrived, late enough to be still in the
/// first-level cache.
const BYTES_AHEAD: usize = 6 << 10;

impl<S: Sink> Engine<S> {
    /// Follows a batch of packets, in order. Never fails: packets that cannot be followed are counted.
    pub fn process(&mut self, packets: &[Packet<'_>]) {
        let arena = Arc::clone(&self.arena);
        // Live packets were written by another processor; those of a file were read by this thread a moment ago.
        let mut to_prefetch = if self.config.only_own {
            [].iter()
        } else {
            packets.iter()
        };
        for packet in to_prefetch.by_ref().take(PACKETS_AHEAD) {
            prefetch_bytes(packet.data);
        }
        // Filled for each batch, as far as it has packets.
        let mut segments = [Segment::default(); BATCH];
        for batch in packets.chunks(BATCH) {
            self.process_batch(&arena, batch, &mut to_prefetch, &mut segments);
        }
        self.finish_call();
    }

    /// Decodes all packets of a batch, then applies them. Prefetches the next of `to_prefetch` with each.
    #[inline(always)]
    fn process_batch<'a>(
        &mut self,
        arena: &Arena,
        packets: &[Packet<'a>],
        to_prefetch: &mut slice::Iter<'_, Packet<'_>>,
        segments: &mut [Segment<'a>; BATCH],
    ) {
        if self.decoder.lacks_tunnels(self.now) {
            self.free_tunnels();
        }
        let mut frames = [Frame::Nothing; BATCH];
        let mut bytes = 0;
        for ((packet, frame), segment) in packets.iter().zip(&mut frames).zip(&mut *segments) {
            if let Some(later) = to_prefetch.next() {
                prefetch_bytes(later.data);
            }
            bytes += packet.len();
            *frame = self.decoder.frame(packet, &self.counters, segment);
            if *frame == Frame::Segment {
                self.table.prefetch(Table::tag(segment.hash));
            }
        }
        self.counters.packets.add(packets.len() as u64);
        self.counters.bytes.add(bytes as u64);

        // The table's entries have arrived: look the slots up, prefetch their records.
        let frames = &frames[..packets.len().min(BATCH)];
        let segments = &segments[..frames.len()];
        let mut hints = [SlotHint::default(); BATCH];
        for ((frame, segment), hint) in frames.iter().zip(segments).zip(&mut hints) {
            if *frame == Frame::Segment {
                *hint = self.table.hint(Table::tag(segment.hash));
                if let Some(slot) = self.table.resolve(*hint) {
                    arena.prefetch_record(slot, segment.payload.len() > 0);
                    if segment.tcp.flags & (flags::FIN | flags::RST) != 0 {
                        arena.prefetch_cold(slot);
                    }
                }
            }
        }
        // The records have arrived: prefetch the neighbours in their lists.
        for (segment, hint) in segments.iter().zip(hints) {
            if let Some(slot) = self.table.resolve(hint) {
                let now = timeouts::millis(segment.time.max(self.now));
                let ends = segment.tcp.flags & flags::FIN != 0;
                self.lists.prefetch(arena, slot, now, ends);
            }
        }

        let steered = !self.config.only_own;
        let mut later = segments.iter().zip(hints);
        let mut ahead = 0;
        for (((frame, packet), segment), hint) in
            frames.iter().zip(packets).zip(segments).zip(hints)
        {
            while ahead < BYTES_AHEAD
                && let Some((segment, hint)) = later.next()
            {
                self.prefetch_blocks(arena, segment, hint);
                ahead += segment.payload.len();
            }
            ahead -= segment.payload.len();
            match frame {
                Frame::Segment => self.on_segment(arena, segment, hint, steered),
                Frame::Fragment => self.on_fragment(arena, packet, MAX_DEPTH),
                Frame::Nothing => {}
            }
        }
    }

    /// Prefetches the blocks that a segment's bytes will go to.
    #[inline(always)]
    fn prefetch_blocks(&self, arena: &Arena, segment: &Segment<'_>, hint: SlotHint) {
        if segment.payload.len() > 0
            && let Some(record) = self.table.resolve(hint).and_then(|slot| arena.record(slot))
            && let Some(from_client) = segment.key.matches(record)
        {
            let receiver = sender(from_client).peer();
            let side = record.side(receiver);
            let window = self.window(record, receiver);
            if let Ok(off) = u64::try_from(side.offset(segment.tcp.seq)) {
                prefetch_destination(arena, side, off, segment.payload.len(), window);
            }
            if !side.continues() || record.is_another_tick(segment.time) {
                prefetch_newest(arena, side);
            }
        }
    }

    /// Frees the numbers of tunnels that no connection and no fragment has.
    #[cold]
    #[inline(never)]
    fn free_tunnels(&mut self) {
        let arena = Arc::clone(&self.arena);
        let mut in_use: Vec<u32> = self.defrag.links().filter_map(abi::tunnel).collect();
        for class in [
            Class::HalfOpen,
            Class::Unverified,
            Class::EstablishedIdle,
            Class::Active,
            Class::Closed,
        ] {
            let records = self.members(class).into_iter();
            let records = records.filter_map(|slot| arena.record(slot));
            in_use.extend(records.filter_map(|record| abi::tunnel(record.link.get())));
        }
        self.decoder.free_tunnels(self.now, in_use.into_iter());
    }

    /// Adds a fragment; applies the datagram if it is complete. `depth`: number of datagrams with fragments of their own
    /// that may be inside.
    fn on_fragment(&mut self, arena: &Arena, packet: &Packet<'_>, depth: usize) {
        let Some(fragment) = self.decoder.fragment(packet, &self.counters) else {
            return;
        };
        let protocol = fragment.datagram.protocol;
        // Behind an IPv6 extension header there may be TCP, which only the whole datagram shows.
        let hidden = fragment.datagram.version == 6 && is_extension_header(protocol);
        if protocol != PROTOCOL_TCP && !hidden && !self.decoder.may_carry(protocol) {
            self.counters.not_tcp.add(1);
            return;
        }
        self.tick(packet.time);
        let Some(datagram) = self.defrag.add(&fragment, self.now, &self.counters) else {
            return;
        };
        let packet = Packet {
            time: packet.time,
            interface: packet.interface,
            link: datagram.link,
            data: &datagram.data,
            more: &[],
            cut: 0,
            checksum: crate::Checksum::Unknown,
        };
        self.counters.packets.add(1);
        self.counters.bytes.add(packet.len() as u64);
        let mut segment = Segment::default();
        match self.decoder.frame(&packet, &self.counters, &mut segment) {
            Frame::Segment => {}
            // A tunnel's datagram was fragmented, and the one that it carries as well.
            Frame::Fragment if depth > 0 => return self.on_fragment(arena, &packet, depth - 1),
            Frame::Fragment | Frame::Nothing => return,
        }
        let owner = self.owner(&segment);
        if owner == self.config.worker || self.config.only_own {
            self.on_reassembled(arena, &segment);
        } else {
            let Packet {
                time,
                interface,
                link,
                ..
            } = packet;
            self.handoffs.push(Handoff {
                worker: owner,
                time,
                interface,
                link,
                data: datagram.data.clone(),
            });
        }
    }

    /// Applies the segment of a reassembled datagram, out of the packet path's line.
    #[cold]
    #[inline(never)]
    fn on_reassembled(&mut self, arena: &Arena, segment: &Segment<'_>) {
        let steered = !self.config.only_own && segment.key.is_tunneled();
        self.on_segment(arena, segment, SlotHint::default(), steered);
    }

    /// Advances the time and runs the timeouts that are due, before the packet with this time is applied. So the fate of
    /// a connection depends on the packets alone, and not on how they are batched or shared among workers.
    #[inline(always)]
    pub(super) fn tick(&mut self, time: u64) {
        self.now = self.now.max(time);
        self.sink.time(self.now);
        if self.now >= self.wake {
            self.expire();
        }
    }

    /// Returns the worker that a segment belongs to. The capture steers by the ends of a tunnel, not by those of the
    /// connection in it, and fragments by the same.
    fn owner(&self, segment: &Segment<'_>) -> u16 {
        if !self.config.only_own && segment.key.is_tunneled() {
            return self.config.worker;
        }
        worker(segment.hash, u32::from(self.config.workers)) as u16
    }

    /// Finds or opens the connection of a segment and applies the segment to it. `steered`: the packet was sent to this
    /// worker because its flow belongs here.
    #[inline(always)]
    fn on_segment(&mut self, arena: &Arena, segment: &Segment<'_>, hint: SlotHint, steered: bool) {
        self.tick(segment.time);
        if !steered && self.owner(segment) != self.config.worker {
            self.counters.other_worker.add(1);
            return;
        }
        let hinted = self
            .table
            .resolve(hint)
            .and_then(|slot| self.match_slot(arena, segment, slot));
        match hinted {
            Some((conn, from_client))
                if self.bound.is_empty() && self.continues(conn.record, segment) =>
            {
                self.follow(conn, sender(from_client), segment);
            }
            _ => self.on_turn(arena, segment),
        }
    }

    /// Returns whether a segment of a connection cannot end it by its time, nor begin another one.
    #[inline(always)]
    fn continues(&self, record: Record<'_>, segment: &Segment<'_>) -> bool {
        segment.tcp.flags & flags::SYN == 0
            && record.flags.get() & flag::HELD == 0
            && record.closed.get() == 0
            && !self.may_be_overdue(record)
    }

    /// Finds or opens the connection of a segment that may end one or begin one, and applies the segment.
    #[inline(never)]
    fn on_turn(&mut self, arena: &Arena, segment: &Segment<'_>) {
        if !self.bound.is_empty() {
            self.unbind_copied(arena, segment);
        }
        let mut known = self.find(arena, segment);
        // Its timeout may have passed without a look at it: then this packet begins another connection.
        if let Some((conn, _)) = known.filter(|(conn, _)| self.may_be_overdue(conn.record)) {
            self.retire_overdue(arena, conn.slot);
            known = self.find(arena, segment);
        }
        if let Some((conn, from_client)) = known
            && conn.record.flags.get() & flag::HELD != 0
        {
            known = self.confirm_syn(arena, conn, from_client, segment);
        }
        let found = match known {
            Some((conn, from_client)) => match self.succession(conn.record, from_client, segment) {
                Succession::Same => Some((conn, from_client)),
                Succession::Candidate => {
                    self.hold(conn, sender(from_client), segment, Refusal::Syn);
                    return;
                }
                Succession::Refused => {
                    self.refuse(conn, sender(from_client), segment, Refusal::Syn);
                    return;
                }
                Succession::Another => self.open(arena, segment, Some(conn)),
            },
            None => self.open(arena, segment, None),
        };
        if let Some((conn, from_client)) = found {
            self.follow_late(conn, sender(from_client), segment);
        }
    }

    /// Looks a segment's connection up. Returns it, and whether its client sent the segment.
    #[inline(always)]
    fn find<'a>(&self, arena: &'a Arena, segment: &Segment<'_>) -> Option<(Conn<'a>, bool)> {
        if !self.bound.is_empty() {
            return self.find_bound(arena, segment);
        }
        self.table
            .find(Table::tag(segment.hash), |slot| {
                self.match_slot(arena, segment, slot)
            })
            .map(|(_, found)| found)
    }

    #[inline(always)]
    pub(super) fn match_slot<'a>(
        &self,
        arena: &'a Arena,
        segment: &Segment<'_>,
        slot: u32,
    ) -> Option<(Conn<'a>, bool)> {
        let conn = self.conn(arena, slot)?;
        Some((conn, segment.key.matches(conn.record)?))
    }
}

#[inline(always)]
fn sender(from_client: bool) -> Side {
    if from_client {
        Side::Client
    } else {
        Side::Server
    }
}

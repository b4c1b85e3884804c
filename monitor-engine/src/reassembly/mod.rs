//! Reassembly of one side of one connection: payload in, bytes at their offsets, holes declared lost.
//!
//! The received bytes of a side are the contiguous range `contig_start..next` and, apart from it, the ranges of its set.
//! Those above `next` wait for a hole to be filled; those below `contig_start` are before holes that were declared lost.
//!
//! A segment takes one of two ways. In order, with nothing waiting, its bytes are stored and the edge moves. Anything else
//! is cut into parts that were received before and parts that are new.

mod configure;
mod conflict;
mod loss;
mod marks;
pub mod overlap;
mod publish;
mod retention;
mod segment;
mod split;
mod write;

use crate::event::Event;
use crate::payload::Payload;
use crate::store::arena::Arena;
use crate::store::blocks::{BlockAllocator, Blocks};
use crate::store::marks::ChunkAllocator;
use crate::store::range_set::RangeSet;
use crate::store::record::{NO_FIN, Record, SideRecord};
use crate::{ByteRange, Counters, Side, Sink, SockId};
use overlap::OooQueues;
use segment::{Part, Shift};

/// The writer's own state beside the arena. Readers never see it.
#[derive(Debug)]
pub struct WriterState {
    pub blocks: BlockAllocator,
    pub queues: OooQueues,
    marks: ChunkAllocator,
    /// Sets marks. Off where the model checker looks at bytes alone.
    pub marking: bool,
    /// Scratch for the parts of one segment, so that packets allocate nothing.
    parts: Vec<Part>,
}

impl WriterState {
    /// Creates the state for a number of blocks and of segments in out-of-order queues.
    pub fn new(blocks: u32, queued: u32) -> Self {
        Self {
            blocks: BlockAllocator::new(blocks),
            queues: OooQueues::new(queued),
            marks: ChunkAllocator::default(),
            marking: true,
            parts: Vec::new(),
        }
    }
}

/// Limits of a side.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Most bytes retained.
    pub window: u64,
    /// Most ranges apart from the contiguous one.
    pub ranges: usize,
}

/// Writing end of one side.
pub struct Receiver<'a, S: Sink> {
    pub arena: &'a Arena,
    pub writer: &'a mut WriterState,
    pub counters: &'a Counters,
    pub sink: &'a mut S,
    /// The segment comes from another interface than the bytes before it: bytes received before are no retransmission.
    pub elsewhere: bool,
    /// Time of the segment, nanoseconds since the epoch.
    pub time: u64,
    pub limits: Limits,
    pub id: SockId,
    pub name: Side,
    pub record: Record<'a>,
}

impl<'a, S: Sink> Receiver<'a, S> {
    /// Takes a payload; its first byte has the offset `off` (negative: before offset 0). `fin`: the segment carries a FIN.
    #[inline]
    pub fn segment(&mut self, off: i64, payload: &Payload<'_>, fin: bool) {
        let side = self.side();
        let mut start = off;
        let mut end = off + payload.len() as i64;
        if start < 0 {
            self.counters
                .before_start_bytes
                .add(end.min(0).abs_diff(start));
            start = 0;
        }
        // NO_FIN is beyond every offset. A FIN beyond a hole is no end yet.
        let stream_end = side.fin();
        if end > 0 && end as u64 > stream_end && stream_end <= side.next.get() {
            let cut = stream_end.max(start as u64);
            self.counters.after_fin_bytes.add(end as u64 - cut);
            end = cut as i64;
        }
        if start >= end {
            return;
        }
        let (mut start, end) = (start as u64, end as u64);
        let shift = Shift(off);
        // More than a whole window at once (BIG TCP, small windows): in portions, so that no byte counts as lost.
        while end - start > self.limits.window {
            let to = start + self.limits.window;
            self.stretch(ByteRange::new(start, to), false, shift, payload);
            start = to;
        }
        let last = fin && end == stream_end;
        self.stretch(ByteRange::new(start, end), last, shift, payload);
    }

    /// Takes a FIN without payload. Beyond a hole, it is queued like one byte and takes part in overlap resolution. Returns
    /// whether it wins over the data in its place.
    pub fn lone_fin(&mut self, off: u64) -> bool {
        off <= self.side().next.get() || self.enqueue(ByteRange::new(off, off + 1)) <= off
    }

    #[inline(always)]
    fn stretch(&mut self, bytes: ByteRange, fin: bool, shift: Shift, payload: &Payload<'_>) {
        let side = self.side();
        let nothing_waits =
            !side.is_apart() || !side.has_out_of_order() && side.cold.ooo_queue.get() == 0;
        if bytes.start == side.next.get() && nothing_waits && self.enabled() {
            self.in_order(bytes, shift, payload);
        } else {
            self.general(bytes, fin, shift, payload);
            self.join();
        }
    }

    /// Stores a segment that continues where the last one ended while nothing waits beyond it: nearly every segment.
    #[inline]
    fn in_order(&mut self, bytes: ByteRange, shift: Shift, payload: &Payload<'_>) {
        let side = self.side();
        let start = self.slide(bytes);
        let stored = start + self.put(ByteRange::new(start, bytes.end), shift, payload);
        if stored == start {
            return;
        }
        self.mark_advance(start, stored);
        // The bytes are written: now readers may see them.
        self.record.update(|_| {
            side.advance(stored);
        });
        self.sink.event(Event::Data {
            id: self.id,
            side: self.name,
            off: start,
            len: stored - start,
        });
    }

    /// Takes any other segment: beyond a hole, repeated, overlapping, or late.
    #[cold]
    fn general(&mut self, bytes: ByteRange, fin: bool, shift: Shift, payload: &Payload<'_>) {
        let base = self.side().stored.base.get();
        if bytes.start < base {
            self.retransmitted(ByteRange::new(bytes.start, bytes.end.min(base)));
        }
        if bytes.end <= base {
            return;
        }
        let start = self.slide(ByteRange::new(bytes.start.max(base), bytes.end));
        let bytes = ByteRange::new(start, bytes.end);
        if self.is_keep_alive(bytes, shift, payload) {
            return;
        }
        let winning = self.winning(bytes, fin);
        if self.side().fin() != NO_FIN {
            self.pass_fin(bytes, winning);
        }
        // Beyond a hole, one segment follows another: nothing to split, because nothing is received from there on.
        let side = self.side();
        if bytes.start >= side.end().max(side.next.get()) {
            self.store_new(bytes, shift, payload);
            return;
        }
        let mut parts = std::mem::take(&mut self.writer.parts);
        self.split(bytes, &mut parts);
        // Replace first: new bytes may move the edge over replaced ones, and then readers are notified of both.
        for part in parts.iter().filter(|part| part.received) {
            self.overlap(part.bytes, winning, shift, payload);
        }
        for part in parts.iter().filter(|part| !part.received) {
            self.store_new(part.bytes, shift, payload);
        }
        parts.clear();
        self.writer.parts = parts;
    }

    /// Decides between data and a FIN that is beyond the in-order edge. Segments are delivered in the order of the
    /// out-of-order queue, after one at the edge: data voids the FIN if it is delivered first.
    #[cold]
    fn pass_fin(&mut self, bytes: ByteRange, winning: ByteRange) {
        let side = self.side();
        let (fin, next) = (side.fin(), side.next.get());
        if fin <= next {
            return;
        }
        if bytes.start > next {
            if bytes.end > fin && (bytes.start.max(winning.start)..=fin).contains(&fin) {
                self.record.update(|_| side.set_fin(NO_FIN));
            }
            return;
        }
        let reached = self
            .ranges()
            .first_from(bytes.end)
            .filter(|range| range.start <= bytes.end)
            .map_or(bytes.end, |range| range.end);
        if bytes.end <= fin && reached >= fin {
            self.end_at(fin);
        }
    }

    #[inline(always)]
    fn side(&self) -> SideRecord<'a> {
        self.record.side(self.name)
    }

    /// Returns whether bytes are retained. If not, received ranges are still tracked, up to the in-order edge.
    #[inline(always)]
    fn enabled(&self) -> bool {
        self.record.enabled(self.name)
    }

    #[inline(always)]
    fn blocks(&mut self) -> Blocks<'_> {
        Blocks {
            arena: self.arena,
            allocator: &mut self.writer.blocks,
            side: self.record.side(self.name),
        }
    }

    #[inline(always)]
    fn ranges(&mut self) -> RangeSet<'_> {
        RangeSet {
            arena: self.arena,
            allocator: &mut self.writer.blocks,
            head: &self.record.side(self.name).cold.ranges,
        }
    }
}

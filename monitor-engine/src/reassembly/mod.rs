//! One side of one connection: payload in, bytes at their offsets, holes by name.
//!
//! The received bytes of a side are the in-order run `run..next` and, apart from it, the islands: those above
//! `next` wait for a hole to be filled, those below `run` lie before holes that were declared lost.

mod configure;
mod conflict;
pub mod overlap;
mod retention;

use crate::event::Event;
use crate::payload::Payload;
use crate::store::arena::{Arena, BLOCK};
use crate::store::blocks::{BlockAllocator, Blocks, number};
use crate::store::range_set::{RangeSet, Run};
use crate::store::record::{NO_FIN, Record, SideRecord};
use crate::{Counters, Side, Sink, SockId};
use overlap::OooQueues;
pub use retention::retained_below;

/// The writer's own state beside the arena; readers never see it.
#[derive(Debug)]
pub struct WriterState {
    pub blocks: BlockAllocator,
    /// Out-of-order queues: segment by segment.
    pub queues: OooQueues,
    /// Scratch for the parts of one segment, kept to allocate nothing per packet.
    parts: Vec<Part>,
}

impl WriterState {
    /// State of a worker with so many blocks and so many segments in out-of-order queues.
    pub fn new(blocks: u32, queued: u32) -> Self {
        Self {
            blocks: BlockAllocator::new(blocks),
            queues: OooQueues::new(queued),
            parts: Vec::new(),
        }
    }
}

/// A part of an arriving segment, as offsets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Part {
    start: u64,
    end: u64,
    /// Bytes are there already.
    old: bool,
}

/// Settings of a side that do not change per packet.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Bytes retained.
    pub window: u64,
    /// Islands kept.
    pub ranges: usize,
}

/// One side, being written.
pub struct Receiver<'a, S: Sink> {
    pub arena: &'a Arena,
    pub writer: &'a mut WriterState,
    pub counters: &'a Counters,
    pub sink: &'a mut S,
    pub limits: Limits,
    pub id: SockId,
    pub name: Side,
    pub record: &'a Record,
}

impl<'a, S: Sink> Receiver<'a, S> {
    /// Takes the payload whose first byte has this offset (negative: before offset 0). `fin`: the segment carries a FIN.
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
        let stream_end = side.fin.get();
        if end > 0 && end as u64 > stream_end {
            let cut = stream_end.max(start as u64);
            self.counters.after_fin_bytes.add(end as u64 - cut);
            end = cut as i64;
        }
        if start >= end {
            return;
        }
        let (mut start, end) = (start as u64, end as u64);
        let shift = Shift(off);
        // More than a whole window at once (BIG TCP, small windows): in portions, so that nothing is taken for lost.
        while end - start > self.limits.window {
            self.stretch(start, start + self.limits.window, false, shift, payload);
            start += self.limits.window;
        }
        self.stretch(start, end, fin && end == stream_end, shift, payload);
    }

    /// Takes a FIN without payload. Ahead of a hole it waits like a byte, and decides like one whom later segments meet.
    pub fn lone_fin(&mut self, off: u64) {
        if off > self.side().next.get() {
            self.enqueue((off, off + 1));
        }
    }

    #[inline(always)]
    fn stretch(&mut self, start: u64, end: u64, fin: bool, shift: Shift, payload: &Payload<'_>) {
        let side = self.side();
        if start == side.next.get()
            && !side.has_out_of_order()
            && side.ooo_queue.get() == 0
            && self.enabled()
        {
            self.in_order(start, end, shift, payload);
        } else {
            self.general(start, end, fin, shift, payload);
        }
    }

    #[inline(always)]
    fn side(&self) -> &'a SideRecord {
        self.record.side(self.name)
    }

    /// Whether bytes are kept. Of those that are not, what arrived is noted all the same, up to where `next` has passed.
    #[inline(always)]
    fn enabled(&self) -> bool {
        self.record.enabled(self.name)
    }

    /// Nearly every segment: it goes on where the last one ended, and nothing waits ahead.
    #[inline]
    fn in_order(&mut self, start: u64, end: u64, shift: Shift, payload: &Payload<'_>) {
        let side = self.side();
        let start = self.slide(start, end);
        let stored = start + self.put(start, end, shift, payload);
        if stored == start {
            return;
        }
        self.record.update(|_| {
            side.next.set(stored);
            side.end.set(stored.max(side.end.get()));
        });
        self.sink.event(Event::Data {
            id: self.id,
            side: self.name,
            off: start,
            len: stored - start,
        });
    }

    /// Anything else: ahead of a hole, again, overlapping, or late.
    #[cold]
    fn general(&mut self, start: u64, end: u64, fin: bool, shift: Shift, payload: &Payload<'_>) {
        let base = self.side().base.get();
        if start < base {
            self.again(start, end.min(base));
        }
        if end <= base {
            return;
        }
        let start = self.slide(start.max(base), end);
        if self.keep_alive(start, end, shift, payload) {
            return;
        }
        let winning = self.winning((start, end), fin);
        // Behind a hole, one segment after the other: nothing is there yet.
        let side = self.side();
        if start >= side.end.get().max(side.next.get()) {
            self.fresh(
                Part {
                    start,
                    end,
                    old: false,
                },
                shift,
                payload,
            );
            return;
        }
        let mut parts = std::mem::take(&mut self.writer.parts);
        self.split(start, end, &mut parts);
        // What is replaced first: new bytes may complete what is replaced, and readers are told of it then.
        for part in parts.iter().filter(|part| part.old) {
            self.overlap(*part, winning, shift, payload);
        }
        for part in parts.iter().filter(|part| !part.old) {
            self.fresh(*part, shift, payload);
        }
        parts.clear();
        self.writer.parts = parts;
    }

    /// Cuts `start..end` where received bytes begin and end.
    fn split(&mut self, start: u64, end: u64, parts: &mut Vec<Part>) {
        let side = self.side();
        let main = (
            side.contig_start.get().max(side.base.get()),
            side.next.get(),
        );
        let mut at = start;
        let mut old = |run: Run, at: &mut u64| {
            let (low, high) = (run.0.max(*at), run.1.min(end));
            // An empty in-order run cuts as well: what lies below its edge is late, what lies above moves it on.
            if low <= high {
                if *at < low {
                    parts.push(Part {
                        start: *at,
                        end: low,
                        old: false,
                    });
                }
                if low < high {
                    parts.push(Part {
                        start: low,
                        end: high,
                        old: true,
                    });
                }
                *at = high;
            }
        };
        let mut main_done = false;
        self.ranges().overlapping(start, end, |run| {
            if run.0 >= main.1 && !main_done {
                main_done = true;
                old(main, &mut at);
            }
            old(run, &mut at);
        });
        if !main_done {
            old(main, &mut at);
        }
        if at < end {
            parts.push(Part {
                start: at,
                end,
                old: false,
            });
        }
    }

    /// Bytes that were not there.
    fn fresh(&mut self, part: Part, shift: Shift, payload: &Payload<'_>) {
        let Some(part) = self.retained(part) else {
            return;
        };
        self.limit_ranges(part.start);
        let Some(Part { start, end, .. }) = self.retained(part) else {
            return;
        };
        let stored = if self.enabled() {
            start + self.put(start, end, shift, payload)
        } else {
            end
        };
        if stored > start {
            self.publish((start, stored));
        }
    }

    /// What of a part lies in the window, which a full list of islands moves on.
    fn retained(&self, part: Part) -> Option<Part> {
        let start = part.start.max(self.side().base.get());
        (start < part.end).then_some(Part { start, ..part })
    }

    /// Tells readers of new bytes, and joins them with what they touch.
    fn publish(&mut self, run: Run) {
        let side = self.side();
        let (old_run, old_next) = (side.contig_start.get(), side.next.get());
        let late = run.1 <= old_run;
        let added = self.record.update(|_| {
            side.end.set(side.end.get().max(run.1));
            if run.0 <= old_next && run.1 >= old_next && run.0 >= old_run {
                side.next.set(run.1);
                self.absorb();
                return true;
            }
            if run.1 == old_run {
                side.contig_start.set(run.0);
                if let Some(before) = self.ranges().take_touching(run.0, run.0) {
                    side.contig_start.set(before.0);
                }
                return true;
            }
            self.ranges().add(run).is_ok()
        });
        if !added {
            self.counters.unstored_bytes.add(run.1 - run.0);
        } else if late {
            self.counters.filled_bytes.add(run.1 - run.0);
            self.sink.event(Event::Filled {
                id: self.id,
                side: self.name,
                off: run.0,
                len: run.1 - run.0,
            });
        }
        self.moved(old_next);
    }

    /// Joins islands that the in-order run has reached. Inside a write.
    fn absorb(&mut self) {
        let side = self.side();
        let next = side.next.get();
        if let Some(range) = self.ranges().take_touching(next, next) {
            side.next.set(range.1);
        }
    }

    fn moved(&mut self, old_next: u64) {
        let next = self.side().next.get();
        if next > old_next {
            self.advance();
            self.sink.event(Event::Data {
                id: self.id,
                side: self.name,
                off: old_next,
                len: next - old_next,
            });
        }
    }

    /// The in-order edge has moved: the receiver hands on what has waited for that.
    fn advance(&mut self) {
        let side = self.side();
        if OooQueues::untracked(&side.ooo_queue) && self.hole_end().is_none() {
            self.writer.queues.restart(&side.ooo_queue);
        }
        self.writer.queues.advance(&side.ooo_queue, side.next.get());
        if !self.enabled() {
            self.record.update(|_| self.keep_nothing());
        }
    }

    /// The base of a side without bytes is its in-order edge. Inside a write.
    fn keep_nothing(&mut self) {
        let side = self.side();
        let next = side.next.get();
        side.base.set(next);
        side.contig_start.set(next);
        self.ranges().remove_below(next);
    }

    /// Keeps the list of islands within its limit: what is oldest goes first, then the lowest hole is given up.
    fn limit_ranges(&mut self, start: u64) {
        if self.ranges().is_empty() || start == self.side().next.get() {
            return;
        }
        while self.ranges().len() >= self.limits.ranges {
            let side = self.side();
            match self.ranges().first_from(0) {
                Some(range) if range.1 < side.contig_start.get() => self.raise_base(range.1),
                Some(range) => self.declare_lost(range.0),
                None => return,
            }
        }
    }

    /// Declares the hole between `next` and `to` lost.
    fn declare_lost(&mut self, to: u64) {
        let side = self.side();
        let next = side.next.get();
        let run = (side.contig_start.get().max(side.base.get()), next);
        if run.0 < run.1 && self.record.update(|_| self.ranges().add(run)).is_err() {
            // No memory for one more island: the run is given up instead of the truth about it.
            self.raise_base(next);
        }
        self.record.update(|_| {
            side.contig_start.set(to);
            side.next.set(to);
            side.gaps.set(side.gaps.get().saturating_add(1));
            self.absorb();
        });
        self.counters.gaps.add(1);
        self.counters.gap_bytes.add(to - next);
        self.sink.event(Event::Gap {
            id: self.id,
            side: self.name,
            off: next,
            len: to - next,
        });
        self.advance();
        self.moved(to);
    }

    /// The next island above the in-order edge: where the first hole ends.
    pub fn hole_end(&mut self) -> Option<u64> {
        let next = self.side().next.get();
        self.ranges().first_from(next).map(|range| range.0)
    }

    /// Declares every hole lost that ends at or before `limit`.
    pub fn declare_lost_below(&mut self, limit: u64) {
        while let Some(end) = self.hole_end().filter(|end| *end <= limit) {
            self.declare_lost(end);
        }
    }

    /// Declares everything lost that is missing before `to`, and goes on there.
    pub fn advance_to(&mut self, to: u64) {
        self.declare_lost_below(to);
        if self.side().next.get() < to {
            self.declare_lost(to);
        }
    }

    /// The connection is over: every hole is lost, also one before the FIN.
    pub fn finish(&mut self) {
        self.declare_lost_below(u64::MAX);
        let side = self.side();
        let fin = side.fin.get();
        if fin != NO_FIN {
            self.advance_to(fin);
        }
        self.writer.queues.restart(&side.ooo_queue);
    }

    /// Stores bytes; returns how many, from the start on. Fewer than asked when memory is full.
    #[inline]
    fn put(&mut self, start: u64, end: u64, shift: Shift, payload: &Payload<'_>) -> u64 {
        let first = number(self.side().base.get());
        let last = number(end - 1);
        if self.blocks().must_grow(first, last) && self.grow(first, last).is_err() {
            self.counters.unstored_bytes.add(end - start);
            return 0;
        }
        let arena = self.arena;
        let mut stored = 0;
        let mut blocks = self.blocks();
        each_block(start, end, shift, payload, |number, at, bytes| {
            let Ok(block) = blocks.ensure(number) else {
                return false;
            };
            arena.write(block, at, bytes);
            stored += bytes.len() as u64;
            true
        });
        if stored < end - start {
            self.counters.unstored_bytes.add(end - start - stored);
        }
        stored
    }

    fn grow(&mut self, first: u64, last: u64) -> Result<(), crate::store::blocks::Full> {
        let record = self.record;
        record.update(|_| self.blocks().grow(first, last))
    }

    #[inline(always)]
    fn blocks(&mut self) -> Blocks<'_> {
        Blocks {
            arena: self.arena,
            pool: &mut self.writer.blocks,
            side: self.record.side(self.name),
        }
    }

    #[inline(always)]
    fn ranges(&mut self) -> RangeSet<'_> {
        let head = &self.record.side(self.name).ranges;
        RangeSet {
            arena: self.arena,
            pool: &mut self.writer.blocks,
            head,
        }
    }
}

/// The offset of a payload's first byte: turns stream offsets into distances from the payload's start.
#[derive(Clone, Copy)]
struct Shift(i64);

impl Shift {
    fn distance(self, off: u64) -> usize {
        (off as i64 - self.0) as usize
    }
}

/// Cuts the payload bytes of `start..end` at block borders: block number, place in the block, bytes.
#[inline(always)]
fn each_block(
    start: u64,
    end: u64,
    shift: Shift,
    payload: &Payload<'_>,
    mut each: impl FnMut(u64, usize, &[u8]) -> bool,
) {
    payload.each(
        shift.distance(start),
        shift.distance(end),
        |distance, mut bytes| {
            let mut off = (shift.0 + distance as i64) as u64;
            while !bytes.is_empty() {
                let at = off as usize % BLOCK;
                let (now, later) = bytes.split_at(bytes.len().min(BLOCK - at));
                if !each(number(off), at, now) {
                    return false;
                }
                off += now.len() as u64;
                bytes = later;
            }
            true
        },
    );
}

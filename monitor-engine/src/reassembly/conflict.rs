//! Bytes that arrive again: comparison with the received ones, and the copy that stays.

use super::Receiver;
use super::overlap::{self, OooQueues};
use super::segment::Shift;
use super::write::each_block;
use crate::event::Event;
use crate::payload::Payload;
use crate::store::arena::{Arena, BLOCK};
use crate::store::blocks::Roots;
use crate::store::record::SideRecord;
use crate::store::{Release, fence};
use crate::{ByteRange, OverlapPolicy, Sink};

/// Difference between a payload and received bytes.
struct Difference {
    /// From the first to past the last differing byte.
    range: ByteRange,
    /// Number of differing bytes.
    count: u64,
}

impl<S: Sink> Receiver<'_, S> {
    /// Returns the bytes of a segment that replace received ones. Queues the segment if it is beyond a hole.
    pub(super) fn winning(&mut self, segment: ByteRange, fin: bool) -> ByteRange {
        let ByteRange { start, end } = segment;
        let next = self.side().next.get();
        if start > next {
            self.counters.out_of_order.add(1);
            let queued = ByteRange::new(start, end + u64::from(fin));
            return ByteRange::new(self.enqueue(queued).min(end), end);
        }
        let from = match self.record.overlap(self.name) {
            OverlapPolicy::First => end,
            OverlapPolicy::Last => start,
            // In order: delivered before anything that waits. Bytes below the edge were delivered before, and stay.
            OverlapPolicy::Linux | OverlapPolicy::Bsd => next,
        };
        ByteRange::new(from, end)
    }

    /// Queues a segment that starts beyond a hole. Returns the offset from which on its bytes replace those that wait.
    pub(super) fn enqueue(&mut self, segment: ByteRange) -> u64 {
        if !self.enabled() {
            return segment.end;
        }
        let side = self.side();
        let policy = self.record.overlap(self.name);
        self.record.update(|_| side.part());
        let tracked = !OooQueues::untracked(&side.cold.ooo_queue);
        if let Ok(from) = self
            .writer
            .queues
            .enqueue(&side.cold.ooo_queue, policy, segment)
        {
            return from;
        }
        if tracked {
            self.counters.overlap_history_full.add(1);
        }
        let range = self
            .ranges()
            .first_from(segment.start + 1)
            .filter(|range| range.start < segment.end);
        overlap::approximate(policy, segment, range)
    }

    /// Compares bytes with the received ones, counts them, and replaces the received ones where they lose.
    pub(super) fn overlap(
        &mut self,
        bytes: ByteRange,
        winning: ByteRange,
        shift: Shift,
        payload: &Payload<'_>,
    ) {
        self.retransmitted(bytes);
        let side = self.side();
        let Some(difference) = difference(side, self.arena, bytes, shift, payload) else {
            return;
        };
        let late = bytes.start < side.next.get();
        self.counters.conflict_bytes.add(difference.count);
        if !late {
            self.counters.ambiguous_bytes.add(difference.count);
        }
        self.record.update(|_| {
            side.cold.conflicts.set(
                side.cold
                    .conflicts
                    .get()
                    .saturating_add(difference.count as u32),
            );
        });
        self.sink.event(Event::Conflict {
            id: self.id,
            side: self.name,
            off: difference.range.start,
            len: difference.range.len(),
            late,
        });
        let replaced = bytes.intersection(winning);
        if !replaced.is_empty() {
            self.overwrite(replaced, shift, payload);
        }
    }

    fn overwrite(&mut self, bytes: ByteRange, shift: Shift, payload: &Payload<'_>) {
        let side = self.side();
        let roots = Roots::of(side);
        self.record.update(|_| {
            // Readers look at the epoch again after they have copied.
            side.cold.epoch.set(side.cold.epoch.get().wrapping_add(1));
            fence(Release);
            each_block(bytes, shift, payload, |number, at, bytes| {
                if let Some(block) = roots.find(self.arena, number) {
                    self.arena.write(block, at, bytes);
                }
                true
            });
        });
    }

    /// Counts and reports bytes that were received before, the same or not.
    pub(super) fn retransmitted(&mut self, bytes: ByteRange) {
        let side = self.side();
        let len = bytes.len();
        if self.elsewhere {
            self.counters.seen_elsewhere_bytes.add(len);
            return;
        }
        self.counters.retransmitted_bytes.add(len);
        self.record.update(|_| side.cold.retransmitted.add(len));
        self.sink.event(Event::Retransmit {
            id: self.id,
            side: self.name,
            off: bytes.start,
            len,
        });
    }

    /// Returns whether a segment is a keep-alive probe: the last acknowledged byte again, with any value (RFC 9293, 3.8.4).
    /// It is not data.
    pub(super) fn is_keep_alive(
        &mut self,
        bytes: ByteRange,
        shift: Shift,
        payload: &Payload<'_>,
    ) -> bool {
        let side = self.side();
        let probe = bytes.len() == 1
            && payload.len() == 1
            && bytes.end == side.next.get()
            && bytes.end == side.end();
        // With the same value it counts as a retransmission.
        if probe && difference(side, self.arena, bytes, shift, payload).is_some() {
            self.counters.keepalives.add(1);
            return true;
        }
        false
    }
}

/// Compares a payload with received bytes. `None`: they are equal.
fn difference(
    side: SideRecord<'_>,
    arena: &Arena,
    bytes: ByteRange,
    shift: Shift,
    payload: &Payload<'_>,
) -> Option<Difference> {
    let roots = Roots::of(side);
    let mut found: Option<Difference> = None;
    each_block(bytes, shift, payload, |number, at, new| {
        let mut old = [0; BLOCK];
        let old = &mut old[..new.len()];
        let stored = roots
            .find(arena, number)
            .is_some_and(|block| arena.read(block, at, old));
        // Byte by byte only where a whole comparison failed.
        if !stored || *old == *new {
            return true;
        }
        let off = number * BLOCK as u64 + at as u64;
        for (index, (old, new)) in old.iter().zip(new).enumerate() {
            if old != new {
                let at = off + index as u64;
                let difference = found.get_or_insert(Difference {
                    range: ByteRange::new(at, at),
                    count: 0,
                });
                difference.range.end = at + 1;
                difference.count += 1;
            }
        }
        true
    });
    found
}

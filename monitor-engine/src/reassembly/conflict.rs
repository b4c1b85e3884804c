//! Bytes that arrive again: whether they differ, and which copy stays.

use super::overlap::{self, OooQueues};
use super::{Part, Receiver, Shift, each_block};
use crate::event::Event;
use crate::payload::Payload;
use crate::store::arena::{Arena, BLOCK};
use crate::store::blocks::Roots;
use crate::store::range_set::Run;
use crate::store::record::SideRecord;
use crate::store::{Release, fence};
use crate::{OverlapPolicy, Sink};

impl<S: Sink> Receiver<'_, S> {
    /// Which bytes of a segment replace received ones.
    pub(super) fn winning(&mut self, segment: Run, fin: bool) -> Run {
        let (start, end) = segment;
        let next = self.side().next.get();
        if start > next {
            self.counters.out_of_order.add(1);
            return (self.enqueue((start, end + u64::from(fin))).min(end), end);
        }
        let from = match self.record.overlap(self.name) {
            OverlapPolicy::First => end,
            OverlapPolicy::Last => start,
            // In order: delivered before anything that waits; and what was delivered stays.
            OverlapPolicy::Linux | OverlapPolicy::Bsd => next,
        };
        (from, end)
    }

    /// Queues a segment that starts ahead of a hole; returns from where on its bytes replace those that wait.
    pub(super) fn enqueue(&mut self, segment: Run) -> u64 {
        if !self.enabled() {
            return segment.1;
        }
        let side = self.side();
        let policy = self.record.overlap(self.name);
        let followed = !OooQueues::untracked(&side.ooo_queue);
        if let Ok(from) = self.writer.queues.enqueue(&side.ooo_queue, policy, segment) {
            return from;
        }
        if followed {
            self.counters.overlap_history_full.add(1);
        }
        let range = self
            .ranges()
            .first_from(segment.0 + 1)
            .filter(|range| range.0 < segment.1);
        overlap::approximately(policy, segment, range)
    }

    /// Bytes that are there already: compared, counted, and replaced as far as they lose.
    pub(super) fn overlap(
        &mut self,
        part: Part,
        winning: Run,
        shift: Shift,
        payload: &Payload<'_>,
    ) {
        self.again(part.start, part.end);
        let side = self.side();
        let Some((low, high, count)) =
            side.differing(self.arena, part.start, part.end, shift, payload)
        else {
            return;
        };
        let late = part.start < side.next.get();
        self.counters.conflict_bytes.add(count);
        if !late {
            self.counters.ambiguous_bytes.add(count);
        }
        self.record.update(|_| {
            side.conflicts
                .set(side.conflicts.get().saturating_add(count as u32))
        });
        self.sink.event(Event::Conflict {
            id: self.id,
            side: self.name,
            off: low,
            len: high - low,
            late,
        });
        let lost = Part {
            start: part.start.max(winning.0),
            end: part.end.min(winning.1),
            old: true,
        };
        if lost.start < lost.end {
            self.overwrite(lost, shift, payload);
        }
    }

    fn overwrite(&mut self, part: Part, shift: Shift, payload: &Payload<'_>) {
        let side = self.side();
        let roots = Roots::of(side);
        self.record.update(|_| {
            side.epoch.set(side.epoch.get().wrapping_add(1));
            fence(Release);
            each_block(part.start, part.end, shift, payload, |number, at, bytes| {
                if let Some(block) = roots.find(self.arena, number) {
                    self.arena.write(block, at, bytes);
                }
                true
            });
        });
    }

    /// Bytes that were received before, same or not.
    pub(super) fn again(&mut self, start: u64, end: u64) {
        let side = self.side();
        let len = end - start;
        self.counters.retransmitted_bytes.add(len);
        self.record.update(|_| side.retransmitted.add(len));
        self.sink.event(Event::Retransmit {
            id: self.id,
            side: self.name,
            off: start,
            len,
        });
    }

    /// A probe that repeats the last acknowledged byte, as any value (RFC 9293, 3.8.4): not data.
    pub(super) fn keep_alive(
        &mut self,
        start: u64,
        end: u64,
        shift: Shift,
        payload: &Payload<'_>,
    ) -> bool {
        let side = self.side();
        let probe = end - start == 1
            && payload.len() == 1
            && end == side.next.get()
            && end == side.end.get();
        if probe
            && side
                .differing(self.arena, start, end, shift, payload)
                .is_some()
        {
            self.counters.keepalives.add(1);
            return true;
        }
        false
    }
}

impl SideRecord {
    /// Where the payload differs from the received bytes `start..end`: from the first to past the last differing
    /// byte, and how many differ.
    fn differing(
        &self,
        arena: &Arena,
        start: u64,
        end: u64,
        shift: Shift,
        payload: &Payload<'_>,
    ) -> Option<(u64, u64, u64)> {
        let roots = Roots::of(self);
        let mut found: Option<(u64, u64, u64)> = None;
        each_block(start, end, shift, payload, |number, at, bytes| {
            let mut old = [0; BLOCK];
            let old = &mut old[..bytes.len()];
            let there = roots
                .find(arena, number)
                .is_some_and(|block| arena.read(block, at, old));
            if there && *old != *bytes {
                let off = number * BLOCK as u64 + at as u64;
                for (index, _) in old
                    .iter()
                    .zip(bytes)
                    .enumerate()
                    .filter(|(_, (a, b))| a != b)
                {
                    let at = off + index as u64;
                    let (low, _, count) = found.unwrap_or((at, at, 0));
                    found = Some((low, at + 1, count + 1));
                }
            }
            true
        });
        found
    }
}

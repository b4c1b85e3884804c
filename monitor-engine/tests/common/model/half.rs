//! Side of the reference model.

use super::*;

/// Returns whether two sequence numbers are near each other.
pub(super) fn near(a: u32, b: u32) -> bool {
    (a.wrapping_sub(b) as i32).unsigned_abs() <= NEAR
}

impl Half {
    /// Returns whether a segment beyond the window is accepted: near those before it, none inside the window between
    /// them, and acknowledged by the receiver if its acknowledgments are seen.
    pub(super) fn resumes(&mut self, segment: &Segment) -> bool {
        let follows = self.resync.count > 0 && near(segment.seq, self.resync.end);
        let end = segment.seq.wrapping_add(segment.payload.len() as u32);
        let acknowledged = follows && self.resync.acknowledged;
        self.resync = Resync {
            count: if follows { self.resync.count + 1 } else { 1 },
            end,
            acknowledged,
        };
        let believed = self.resync.count >= ENOUGH && (acknowledged || !self.seen);
        if believed {
            self.resync.count = 0;
        }
        believed
    }

    /// A distance of sequence numbers from offset 0, as the offset nearest to the in-order edge.
    pub(super) fn offset(&self, distance: u32) -> i64 {
        self.next as i64 + i64::from(distance.wrapping_sub(self.next as u32) as i32)
    }

    pub(super) fn limit(&self) -> u64 {
        let room = if self.acked.is_some() {
            let acked = self.acked.unwrap_or(0);
            self.right_edge.saturating_sub(acked).max(65535)
        } else {
            UNKNOWN
        };
        self.next.max(self.acked.unwrap_or(0)) + room
    }

    pub(super) fn take_fin(&mut self, off: i64, fin: i64, policy: OverlapPolicy) {
        let Ok(fin) = u64::try_from(fin) else { return };
        let is_settled = self
            .fin
            .is_some_and(|known| known <= self.next || known == fin);
        if is_settled || fin < self.next || fin > self.limit() {
            return;
        }
        if off <= self.next as i64 {
            self.discard_from(fin);
        } else if self.bytes.contains_key(&fin) {
            // The shape of the out-of-order queue decides, which this model lacks.
            self.undecided |= self.fin.is_none() && !matches!(policy, OverlapPolicy::First);
            return;
        } else if self.fin.is_some() {
            return;
        }
        self.fin = Some(fin);
        self.fin_acked = self.acked == Some(fin + 1);
    }

    /// The receiver processes a FIN here: nothing beyond it counts.
    fn discard_from(&mut self, off: u64) {
        let off = off.max(self.next);
        if self.end > off {
            self.end = off;
            self.bytes.split_off(&off);
        }
    }

    /// Ends the side at its FIN, or withdraws one in whose place data came.
    pub(super) fn settle_fin(&mut self) {
        let Some(fin) = self.fin else { return };
        if fin == self.next {
            self.discard_from(fin);
        } else if fin < self.next || self.acked.is_some_and(|acked| acked > fin + 1) {
            self.fin = None;
            self.fin_acked = false;
        }
    }

    /// Decides between data and a FIN beyond the in-order edge.
    fn pass_fin(&mut self, start: u64, end: u64, policy: OverlapPolicy) {
        let Some(fin) = self.fin.filter(|fin| *fin > self.next) else {
            return;
        };
        if start <= self.next {
            if end <= fin && (end..fin).all(|off| self.bytes.contains_key(&off)) {
                self.discard_from(fin);
            }
        } else if (start..end).contains(&fin) && !self.disabled {
            self.undecided |= matches!(policy, OverlapPolicy::Linux | OverlapPolicy::Bsd);
            if policy == OverlapPolicy::Last {
                self.fin = None;
            }
        }
    }

    pub(super) fn payload(&mut self, off: i64, payload: &[u8], rules: &Rules) {
        let last = self.fin.filter(|fin| *fin <= self.next);
        let end = (off + payload.len() as i64).min(last.map_or(i64::MAX, |fin| fin as i64));
        let mut start = off.max(0);
        while start < end {
            let stop = end.min(start + rules.window as i64);
            let bytes = &payload[(start - off) as usize..(stop - off) as usize];
            self.stretch(start as u64, bytes, payload.len() == 1, rules);
            start = stop;
        }
    }

    fn stretch(&mut self, start: u64, bytes: &[u8], single: bool, rules: &Rules) {
        let end = start + bytes.len() as u64;
        self.retransmitted += end.min(self.base).saturating_sub(start);
        let low = start.max(self.base);
        if low >= end {
            return;
        }
        let newest = if start <= self.next {
            end.max(self.next)
        } else if self.seen {
            self.next
        } else {
            end.max(self.end)
        };
        if newest > self.base + rules.window {
            self.raise_base(newest - rules.window);
        }
        let low = low.max(self.base);
        let new = |off: u64| bytes[(off - start) as usize];
        // A keep-alive probe repeats the last acknowledged byte, as any value.
        let last = single && end == self.next && end == self.end && !self.disabled;
        if last && self.bytes.get(&low).is_some_and(|old| *old != new(low)) {
            return;
        }
        self.pass_fin(low, end, rules.overlap);
        let parts = self.parts(low, end);
        // New bytes may move the window: received ones are compared before.
        for (from, to, _) in parts.iter().filter(|part| part.2) {
            self.again(*from, *to, new, rules.overlap);
        }
        for (from, to, _) in parts.iter().filter(|part| !part.2) {
            self.fresh(*from, *to, new, rules);
        }
    }

    /// `low..end` cut where received bytes begin and end; whether they are there.
    fn parts(&self, low: u64, end: u64) -> Vec<(u64, u64, bool)> {
        let mut parts: Vec<(u64, u64, bool)> = Vec::new();
        for off in low..end {
            let known = self.bytes.contains_key(&off);
            // Cut at the edge, too: bytes below it are late, those above move it.
            match parts
                .last_mut()
                .filter(|part| part.2 == known && off != self.next)
            {
                Some(part) => part.1 = off + 1,
                None => parts.push((off, off + 1, known)),
            }
        }
        parts
    }

    fn again(&mut self, from: u64, to: u64, new: impl Fn(u64) -> u8, policy: OverlapPolicy) {
        self.retransmitted += to - from;
        if self.disabled {
            return;
        }
        for off in from..to {
            let old = self.bytes.get_mut(&off).unwrap();
            if *old != new(off) {
                self.conflicts += 1;
                if policy == OverlapPolicy::Last {
                    *old = new(off);
                }
            }
        }
    }

    fn fresh(&mut self, from: u64, to: u64, new: impl Fn(u64) -> u8, rules: &Rules) {
        if from.max(self.base) != self.next {
            self.limit_ranges(rules.ranges);
        }
        let from = from.max(self.base);
        if from >= to {
            return;
        }
        self.filled += if to <= self.run() { to - from } else { 0 };
        self.bytes.extend((from..to).map(|off| (off, new(off))));
        self.end = self.end.max(to);
        self.advance();
    }

    /// Moves the in-order edge over received bytes.
    fn advance(&mut self) {
        while self.bytes.contains_key(&self.next) {
            self.next += 1;
        }
        self.keep_nothing();
    }

    pub(super) fn keep_nothing(&mut self) {
        if self.disabled {
            self.base = self.next;
            self.bytes = self.bytes.split_off(&self.base);
        }
    }

    /// Every retained run.
    pub fn runs(&self) -> Vec<(u64, Vec<u8>)> {
        let mut runs: Vec<(u64, Vec<u8>)> = Vec::new();
        for (&off, &byte) in &self.bytes {
            match runs
                .last_mut()
                .filter(|run| run.0 + run.1.len() as u64 == off)
            {
                Some(run) => run.1.push(byte),
                None => runs.push((off, vec![byte])),
            }
        }
        runs
    }

    /// Start and end of every run but the one that the in-order edge ends.
    fn ranges(&self) -> Vec<(u64, u64)> {
        let ends = self
            .runs()
            .into_iter()
            .map(|(off, bytes)| (off, off + bytes.len() as u64));
        ends.filter(|run| run.1 != self.next).collect()
    }

    /// Returns the start of the range that ends at the in-order edge.
    fn run(&self) -> u64 {
        (self.base..self.next)
            .rev()
            .take_while(|off| self.bytes.contains_key(off))
            .last()
            .unwrap_or(self.next)
    }

    pub(super) fn limit_ranges(&mut self, limit: usize) {
        loop {
            let ranges = self.ranges();
            if ranges.len() < limit.max(1) {
                return;
            }
            let lowest = ranges[0];
            if lowest.1 < self.run() {
                self.raise_base(lowest.1);
            } else {
                self.skip(lowest.0);
            }
        }
    }

    /// The hole in front of `to` is lost.
    pub(super) fn skip(&mut self, to: u64) {
        self.gaps.push((self.next, to - self.next));
        self.next = to;
        self.advance();
    }

    /// Returns the end of the first hole.
    fn hole_end(&self) -> Option<u64> {
        self.bytes.range(self.next..).next().map(|(off, _)| *off)
    }

    /// Returns the end of the first hole, also of one before an acknowledged FIN.
    fn missing_end(&self) -> Option<u64> {
        let fin = self.fin.filter(|fin| self.fin_acked && self.next < *fin);
        self.hole_end().or(fin)
    }

    pub(super) fn declare_lost_below(&mut self, limit: u64) {
        while let Some(end) = self.missing_end().filter(|end| *end <= limit) {
            self.skip(end);
        }
    }

    pub(super) fn finish(&mut self) {
        if let Some(fin) = self.fin.filter(|_| self.fin_acked) {
            self.declare_lost_below(fin);
            if fin > self.next {
                self.skip(fin);
            }
            self.discard_from(fin);
        }
        self.declare_lost_below(u64::MAX);
        if let Some(fin) = self.fin.filter(|fin| *fin > self.next) {
            self.skip(fin);
        }
    }

    pub(super) fn raise_base(&mut self, to: u64) {
        while self.next < to {
            self.skip(self.hole_end().unwrap_or(to).min(to));
        }
        self.base = self.base.max(to);
        self.bytes = self.bytes.split_off(&self.base);
    }

    /// Starts the loss delay of an acknowledged hole before bytes.
    pub(super) fn watch(&mut self, now: u64) {
        if self.hole_end().is_some() {
            self.await_hole(now);
        }
    }

    /// Starts the loss delay of an acknowledged hole.
    pub(super) fn await_hole(&mut self, now: u64) {
        let acked = self.acked.unwrap_or(0);
        if self.loss_deadline.is_none() && self.missing_end().is_some_and(|end| end <= acked) {
            self.loss_deadline = Some(now + LOSS_DELAY);
        }
    }
}

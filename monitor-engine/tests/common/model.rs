//! The obvious twin of one connection: a map from offset to byte for each side, and the rules in plain words.
//!
//! Nothing here is fast or clever. Overlap policies that look at queued segments are not modelled: under them the
//! scripts send the same bytes for the same offset.

use std::collections::BTreeMap;

use monitor_engine::{CloseReason, OverlapPolicy, Side};

use super::MS;
use super::frame::{ACK, FIN, RST, SYN, Segment};

/// How long an acknowledged hole may still be filled.
const GRACE: u64 = 200 * MS;
/// The largest window there is.
const LARGEST: u64 = 65535 << 14;
/// An acknowledgment further behind the in-order edge is taken along.
const BEHIND: u64 = 1 << 29;
/// What is missing so far before an acknowledgment is lost without grace.
const FAR: u64 = 1 << 30;
/// So many segments in a row beyond the window, so near each other, are believed.
const ENOUGH: u32 = 3;
const NEAR: u32 = 1 << 30;

/// What one end received.
#[derive(Clone, Debug, Default)]
pub struct Half {
    /// Nothing is kept: `bytes` says what arrived beyond the edge, and nothing more.
    pub disabled: bool,
    pub bytes: BTreeMap<u64, u8>,
    pub base: u64,
    pub next: u64,
    pub end: u64,
    pub fin: Option<u64>,
    /// Sequence number of offset 0.
    pub start: Option<u32>,
    pub isn: bool,
    syn: bool,
    acked: Option<u64>,
    window: u64,
    grace: Option<u64>,
    fin_acked: bool,
    wild: Wild,
    /// Holes declared lost, in that order.
    pub gaps: Vec<(u64, u64)>,
    pub retransmitted: u64,
    pub conflicts: u64,
    pub filled: u64,
}

/// Segments beyond the window, in a row.
#[derive(Clone, Copy, Debug, Default)]
struct Wild {
    count: u32,
    /// Where the last one ended, as a sequence number.
    end: u32,
    /// The receiver acknowledged what lies there.
    acknowledged: bool,
}

/// Limits and policy.
#[derive(Clone, Copy, Debug)]
pub struct Rules {
    pub window: u64,
    pub ranges: usize,
    pub overlap: OverlapPolicy,
}

/// Both ends.
#[derive(Clone, Debug)]
pub struct Twin {
    /// By receiver.
    pub rules: [Rules; 2],
    /// By receiver.
    pub halves: [Half; 2],
    pub closed: Option<CloseReason>,
}

impl Twin {
    pub fn new(rules: Rules) -> Self {
        Self {
            rules: [rules; 2],
            halves: Default::default(),
            closed: None,
        }
    }

    /// Time passes: holes whose grace is over are lost.
    pub fn tick(&mut self, now: u64) {
        for half in &mut self.halves {
            if half.grace.is_some_and(|deadline| deadline <= now) {
                half.grace = None;
                half.give_up(half.acked.unwrap_or(0));
            }
        }
    }

    /// A segment that `from` sent.
    pub fn segment(&mut self, now: u64, from: Side, segment: &Segment) {
        self.tick(now);
        if self.closed == Some(CloseReason::Stopped) {
            return;
        }
        self.start(from, segment);
        let half = &mut self.halves[from.peer().index()];
        half.acked = half
            .acked
            .map(|acked| acked.max(half.next.saturating_sub(BEHIND)));
        let half = &self.halves[from.peer().index()];
        let syn = u32::from(segment.flags & SYN != 0);
        let off = half.start.map_or(0, |start| {
            half.offset(segment.seq.wrapping_add(syn).wrapping_sub(start))
        });
        if segment.flags & RST != 0 {
            if self.believes(from, segment, off) && self.closed.is_none() {
                self.close(CloseReason::Rst);
            }
            return;
        }
        if off > half.limit() as i64 {
            let half = &mut self.halves[from.peer().index()];
            if !half.resumes(segment) {
                return;
            }
            half.acked = Some(off as u64);
        }
        if segment.flags & ACK != 0 {
            self.acknowledge(from, segment);
        }
        let half = &mut self.halves[from.index()];
        let acked = half.acked.unwrap_or(0);
        if acked > half.next + FAR {
            half.give_up(acked);
            if half.next < acked {
                half.skip(acked);
            }
        }
        let half = &mut self.halves[from.peer().index()];
        if !segment.payload.is_empty() {
            half.wild.count = 0;
        }
        if segment.flags & FIN != 0 {
            half.take_fin(off + segment.payload.len() as i64);
        }
        half.payload(off, &segment.payload, &self.rules[from.peer().index()]);
        if self.closed == Some(CloseReason::Rst) {
            return;
        }
        if self.closed.is_none() && self.halves.iter().all(|half| half.fin_acked) {
            self.close(CloseReason::Fin);
        }
        for half in &mut self.halves {
            half.watch(now);
        }
    }

    /// A side keeps so much from now on.
    pub fn set_window(&mut self, side: Side, window: u64) {
        self.rules[side.index()].window = window;
        let half = &mut self.halves[side.index()];
        let newest = half.end.max(half.next);
        if newest > half.base + window {
            half.raise_base(newest - window);
        }
    }

    /// A side keeps nothing from now on.
    pub fn disable(&mut self, side: Side) {
        let half = &mut self.halves[side.index()];
        half.disabled = true;
        half.keep_nothing();
    }

    /// Nobody wants to see more of it.
    pub fn stop(&mut self) {
        if self.closed.is_none() {
            self.close(CloseReason::Stopped);
        }
    }

    fn start(&mut self, from: Side, segment: &Segment) {
        let [sent, received] = self.ends(from);
        if segment.flags & SYN != 0 {
            if received.start.is_none() || received.end == 0 {
                received.start = Some(segment.seq.wrapping_add(1));
            }
            received.isn = true;
            received.syn = true;
            if segment.flags & ACK != 0 && sent.start.is_none() {
                sent.start = Some(segment.ack);
                sent.isn = true;
            }
        } else if received.start.is_none() && segment.flags & RST == 0 {
            received.start = Some(segment.seq);
        }
    }

    /// The half of the sender (what it has received) and the half of its peer (what it sends).
    fn ends(&mut self, from: Side) -> [&mut Half; 2] {
        let [client, server] = &mut self.halves;
        match from {
            Side::Client => [client, server],
            Side::Server => [server, client],
        }
    }

    fn acknowledge(&mut self, from: Side, segment: &Segment) {
        let unscaled = segment.flags & SYN != 0 || self.halves[from.peer().index()].syn;
        let half = &mut self.halves[from.index()];
        let Some(start) = half.start else { return };
        let ack = half.offset(segment.ack.wrapping_sub(start));
        if ack < 0 {
            return;
        }
        if ack as u64 > half.limit() {
            half.wild.acknowledged |= half.wild.count > 0 && near(segment.ack, half.wild.end);
            return;
        }
        half.wild.count = 0;
        let ack = ack as u64;
        half.acked = Some(half.acked.unwrap_or(0).max(ack));
        half.fin_acked |= half.fin.is_some_and(|fin| ack > fin);
        // Without its SYN we cannot know the scale: the largest.
        half.window = half
            .window
            .max(u64::from(segment.window) << if unscaled { 0 } else { 14 });
    }

    /// Inside the receiver's window; or an answer to a SYN, of whose sender nothing is known yet.
    fn believes(&self, from: Side, segment: &Segment, off: i64) -> bool {
        let received = &self.halves[from.peer().index()];
        if received.isn || received.end > 0 {
            let acked = received.acked.unwrap_or(0);
            let low = if acked > 0 {
                acked.min(received.next)
            } else {
                received.base
            };
            return off >= low as i64 && off <= received.limit() as i64;
        }
        let sent = &self.halves[from.index()];
        let ack = sent
            .start
            .map(|start| sent.offset(segment.ack.wrapping_sub(start)));
        segment.flags & ACK != 0
            && ack.is_some_and(|ack| (0..=sent.end.max(sent.next) as i64).contains(&ack))
    }

    fn close(&mut self, reason: CloseReason) {
        for half in &mut self.halves {
            half.finish();
        }
        self.closed = Some(reason);
    }

    /// The capture is over.
    pub fn finish(&mut self) {
        for half in &mut self.halves {
            half.give_up(u64::MAX);
        }
    }
}

/// Whether two sequence numbers are.
fn near(a: u32, b: u32) -> bool {
    (a.wrapping_sub(b) as i32).unsigned_abs() <= NEAR
}

impl Half {
    /// Whether a segment beyond the window is where the stream goes on: with those before it, nothing between them to say
    /// otherwise, and the receiver, if it is heard, agrees.
    fn resumes(&mut self, segment: &Segment) -> bool {
        let follows = self.wild.count > 0 && near(segment.seq, self.wild.end);
        let end = segment.seq.wrapping_add(segment.payload.len() as u32);
        let acknowledged = follows && self.wild.acknowledged;
        self.wild = Wild {
            count: if follows { self.wild.count + 1 } else { 1 },
            end,
            acknowledged,
        };
        let believed = self.wild.count >= ENOUGH && (acknowledged || self.acked.is_none());
        if believed {
            self.wild.count = 0;
        }
        believed
    }

    /// A distance of sequence numbers from offset 0, as the offset nearest to the in-order edge.
    fn offset(&self, distance: u32) -> i64 {
        self.next as i64 + i64::from(distance.wrapping_sub(self.next as u32) as i32)
    }

    fn limit(&self) -> u64 {
        let room = if self.acked.is_some() {
            self.window.max(65535)
        } else {
            LARGEST
        };
        self.next.max(self.acked.unwrap_or(0)) + room
    }

    fn take_fin(&mut self, fin: i64) {
        if self.fin.is_none() && fin >= self.end as i64 && fin <= self.limit() as i64 {
            self.fin = Some(fin as u64);
        }
    }

    fn payload(&mut self, off: i64, payload: &[u8], rules: &Rules) {
        let end = (off + payload.len() as i64).min(self.fin.map_or(i64::MAX, |fin| fin as i64));
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
        let newest = self.end.max(end);
        if newest - self.base > rules.window {
            self.raise_base(newest - rules.window);
        }
        let low = low.max(self.base);
        let new = |off: u64| bytes[(off - start) as usize];
        // A keep-alive probe repeats the last acknowledged byte, as any value.
        let last = single && end == self.next && end == self.end && !self.disabled;
        if last && self.bytes.get(&low).is_some_and(|old| *old != new(low)) {
            return;
        }
        let parts = self.parts(low, end);
        // New bytes may move the window: what is there already is compared before.
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
            // At the edge, too: what lies below it comes late, what lies above moves it on.
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
            self.limit_islands(rules.ranges);
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

    /// The in-order edge moves over what is there.
    fn advance(&mut self) {
        while self.bytes.contains_key(&self.next) {
            self.next += 1;
        }
        self.keep_nothing();
    }

    fn keep_nothing(&mut self) {
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
    fn islands(&self) -> Vec<(u64, u64)> {
        let ends = self
            .runs()
            .into_iter()
            .map(|(off, bytes)| (off, off + bytes.len() as u64));
        ends.filter(|run| run.1 != self.next).collect()
    }

    /// Where the run that the in-order edge ends starts.
    fn run(&self) -> u64 {
        (self.base..self.next)
            .rev()
            .take_while(|off| self.bytes.contains_key(off))
            .last()
            .unwrap_or(self.next)
    }

    fn limit_islands(&mut self, limit: usize) {
        loop {
            let islands = self.islands();
            if islands.len() < limit.max(1) {
                return;
            }
            let lowest = islands[0];
            if lowest.1 < self.run() {
                self.raise_base(lowest.1)
            } else {
                self.skip(lowest.0)
            }
        }
    }

    /// The hole in front of `to` is lost.
    fn skip(&mut self, to: u64) {
        self.gaps.push((self.next, to - self.next));
        self.next = to;
        self.advance();
    }

    /// Where the first hole ends.
    fn hole_end(&self) -> Option<u64> {
        self.bytes.range(self.next..).next().map(|(off, _)| *off)
    }

    fn give_up(&mut self, limit: u64) {
        while let Some(end) = self.hole_end().filter(|end| *end <= limit) {
            self.skip(end);
        }
    }

    fn finish(&mut self) {
        self.give_up(u64::MAX);
        if let Some(fin) = self.fin.filter(|fin| *fin > self.next) {
            self.skip(fin);
        }
    }

    fn raise_base(&mut self, to: u64) {
        while self.next < to {
            self.skip(self.hole_end().unwrap_or(to).min(to));
        }
        self.base = self.base.max(to);
        self.bytes = self.bytes.split_off(&self.base);
    }

    /// An acknowledged hole gets its grace.
    fn watch(&mut self, now: u64) {
        let acked = self.acked.unwrap_or(0);
        if self.grace.is_none() && self.hole_end().is_some_and(|end| end <= acked) {
            self.grace = Some(now + GRACE);
        }
    }
}

//! Reference model of one connection: a map from offset to byte for each side, and the rules in their plainest form.
//!
//! Nothing here is fast or clever. Overlap policies that look at queued segments are not modelled: under them the
//! scripts send the same bytes for the same offset.

mod half;

use std::collections::BTreeMap;

use monitor_engine::{CloseReason, OverlapPolicy, Side};

use super::MS;
use super::frame::{ACK, FIN, RST, SYN, Segment};
use half::near;

/// Time that an acknowledged hole may still be filled.
const LOSS_DELAY: u64 = 200 * MS;
/// Window assumed while no acknowledgment was seen.
const UNKNOWN: u64 = 16 << 20;
/// An acknowledgment further behind the in-order edge is taken along.
const BEHIND: u64 = 1 << 29;
/// Bytes missing at this distance before an acknowledgment are lost without delay.
const FAR: u64 = 1 << 30;
/// Number of segments in a row beyond the window that are accepted, and their largest distance.
const ENOUGH: u32 = 3;
const NEAR: u32 = 1 << 30;

/// Bytes received by one end.
#[derive(Clone, Debug, Default)]
pub struct Half {
    /// Nothing is retained: `bytes` has only those that arrived beyond the edge.
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
    /// A segment of this end was captured.
    seen: bool,
    /// Largest sum of an acknowledgment and its window.
    right_edge: u64,
    loss_deadline: Option<u64>,
    fin_acked: bool,
    /// The model can't decide between data and a FIN: what follows isn't compared.
    pub undecided: bool,
    resync: Resync,
    /// Holes declared lost, in that order.
    pub gaps: Vec<(u64, u64)>,
    pub retransmitted: u64,
    pub conflicts: u64,
    pub filled: u64,
}

/// Segments beyond the window, in a row.
#[derive(Clone, Copy, Debug, Default)]
struct Resync {
    count: u32,
    /// End of the last one, as a sequence number.
    end: u32,
    /// The receiver acknowledged it.
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
pub struct ReferenceModel {
    /// By receiver.
    pub rules: [Rules; 2],
    /// By receiver.
    pub halves: [Half; 2],
    pub closed: Option<CloseReason>,
}

impl ReferenceModel {
    pub fn new(rules: Rules) -> Self {
        Self {
            rules: [rules; 2],
            halves: Default::default(),
            closed: None,
        }
    }

    /// Advances the time: holes are lost after their loss delay.
    pub fn tick(&mut self, now: u64) {
        for half in &mut self.halves {
            if half.loss_deadline.is_some_and(|deadline| deadline <= now) {
                half.loss_deadline = None;
                half.declare_lost_below(half.acked.unwrap_or(0));
            }
        }
        self.close_if_over(now);
    }

    /// Closes the connection when both FINs are acknowledged. Bytes before them may still arrive within the loss delay.
    fn close_if_over(&mut self, now: u64) {
        if self.closed.is_some() || !self.halves.iter().all(|half| half.fin_acked) {
            return;
        }
        for half in &mut self.halves {
            half.await_hole(now);
        }
        let is_waiting = |half: &Half| half.loss_deadline.is_some() && half.fin > Some(half.next);
        if !self.halves.iter().any(is_waiting) {
            self.close(CloseReason::Fin);
        }
    }

    /// A segment that `from` rev.
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
            if self.accepts_rst(from, segment, off) && self.closed.is_none() {
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
            half.right_edge = off as u64 + UNKNOWN;
        }
        self.halves[from.index()].seen = true;
        if segment.flags & ACK != 0 {
            self.acknowledge(from, segment);
        }
        let half = &mut self.halves[from.index()];
        let acked = half.acked.unwrap_or(0);
        if acked > half.next + FAR {
            half.declare_lost_below(acked);
            let acked = half.fin.filter(|_| half.fin_acked).unwrap_or(acked);
            if half.next < acked {
                half.skip(acked);
            }
        }
        let half = &mut self.halves[from.peer().index()];
        if !segment.payload.is_empty() {
            half.resync.count = 0;
        }
        let rules = &self.rules[from.peer().index()];
        if segment.flags & FIN != 0 {
            half.take_fin(off, off + segment.payload.len() as i64, rules.overlap);
        }
        let had_fin = half.fin.is_some();
        half.payload(off, &segment.payload, rules);
        if had_fin {
            half.settle_fin();
        }
        if self.closed == Some(CloseReason::Rst) {
            return;
        }
        self.close_if_over(now);
        for half in &mut self.halves {
            half.watch(now);
        }
    }

    /// Sets the window of a side.
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

    /// Stops the connection.
    pub fn stop(&mut self) {
        if self.closed.is_none() {
            self.close(CloseReason::Stopped);
        }
    }

    fn start(&mut self, from: Side, segment: &Segment) {
        let [rev, fwd] = self.ends(from);
        if segment.flags & SYN != 0 {
            if fwd.start.is_none() || fwd.end == 0 {
                fwd.start = Some(segment.seq.wrapping_add(1));
            }
            fwd.isn = true;
            fwd.syn = true;
            if segment.flags & ACK != 0 && rev.start.is_none() {
                rev.start = Some(segment.ack);
                rev.isn = true;
            }
        } else if fwd.start.is_none() && segment.flags & RST == 0 {
            fwd.start = Some(segment.seq);
        }
    }

    /// Returns the half of the sender (`rev`) and that of its peer (`fwd`), which receives the segment.
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
            half.resync.acknowledged |= half.resync.count > 0 && near(segment.ack, half.resync.end);
            return;
        }
        half.resync.count = 0;
        let ack = ack as u64;
        half.acked = Some(half.acked.unwrap_or(0).max(ack));
        half.fin_acked |= half.fin.is_some_and(|fin| ack == fin + 1);
        // Without its SYN we cannot know the scale: the largest.
        let window = u64::from(segment.window) << if unscaled { 0 } else { 14 };
        half.right_edge = half.right_edge.max(ack + window);
    }

    /// Returns whether a RST is inside the receiver's window, or answers a SYN.
    fn accepts_rst(&self, from: Side, segment: &Segment, off: i64) -> bool {
        let fwd = &self.halves[from.peer().index()];
        if fwd.isn || fwd.end > 0 {
            let acked = fwd.acked.unwrap_or(0);
            let low = if acked > 0 {
                acked.min(fwd.next)
            } else {
                fwd.base
            };
            return off >= low as i64 && off <= fwd.limit() as i64;
        }
        let rev = &self.halves[from.index()];
        let ack = rev
            .start
            .map(|start| rev.offset(segment.ack.wrapping_sub(start)));
        segment.flags & ACK != 0
            && ack.is_some_and(|ack| (0..=rev.end.max(rev.next) as i64).contains(&ack))
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
            half.declare_lost_below(u64::MAX);
        }
        self.close_if_over(0);
    }
}

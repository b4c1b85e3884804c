//! Run of a script through engine and reference model.

use std::fmt;

use monitor_engine::{CloseReason, Event, OverlapPolicy, PeekError, Side, SideSettings};

use super::{Script, Step};
use crate::common::frame::{ACK, FIN, PSH, RST, SYN, Segment};
use crate::common::lab::Lab;
use crate::common::model::{ReferenceModel, Rules};
use crate::common::{Flow, MS};

/// Bytes of a block of the store.
const BLOCK: u64 = 2048;

pub(super) struct Run {
    lab: Lab,
    model: ReferenceModel,
    flow: Flow,
    conflicts: bool,
    /// Last acknowledgment of each end.
    said: [u32; 2],
    window: [u16; 2],
}

impl Run {
    pub(super) fn new(script: &Script) -> Self {
        let mut config = Lab::config();
        // Enough for the index of a side whose bytes are a GiB apart: the model stores everything.
        config.memory = 16 << 20;
        config.window = u64::from(script.window);
        config.tcp.max_ranges = usize::from(script.ranges);
        config.tcp.overlap = script.policy;
        config.tcp.idle_timeout = None;
        config.tcp.linger = None;
        config.tcp.judge = false;
        let rules = Rules {
            window: config.window,
            ranges: config.tcp.max_ranges,
            overlap: script.policy,
        };
        let mut flow = Flow::new();
        flow.isn = script.isn;
        let said = [script.isn[1].wrapping_add(1), script.isn[0].wrapping_add(1)];
        Self {
            lab: Lab::with(config),
            model: ReferenceModel::new(rules),
            flow,
            conflicts: matches!(script.policy, OverlapPolicy::First | OverlapPolicy::Last),
            said,
            window: [65535; 2],
        }
    }

    pub(super) fn begin(&mut self, opened: bool) -> Result<(), String> {
        if opened {
            self.send(Side::Client, &self.flow.syn());
            self.send(Side::Server, &self.flow.syn_ack());
        }
        self.send(Side::Client, &self.segment(Side::Client, 0, ACK));
        self.compare()
    }

    pub(super) fn step(&mut self, step: Step) -> Result<(), String> {
        match step {
            Step::BlockEnd { from, blocks, len } => {
                let half = &self.model.halves[from.peer().index()];
                let next = half.start.map_or(0, |_| half.next);
                let end = (next / BLOCK + u64::from(blocks) + 1) * BLOCK;
                let at = (end - next) as i32 - i32::from(len);
                self.data(from, at, len, 0, ACK | PSH);
            }
            Step::Data {
                from,
                at,
                len,
                fill,
                fin,
            } => {
                let fill = if self.conflicts { fill } else { 0 };
                self.data(from, at, len, fill, if fin { ACK | FIN } else { ACK | PSH });
            }
            Step::Ack {
                from,
                ahead,
                window,
            } => {
                let half = &self.model.halves[from.index()];
                let start = half.start.unwrap_or_default();
                self.said[from.index()] = start
                    .wrapping_add(half.next as u32)
                    .wrapping_add_signed(ahead);
                self.window[from.index()] = window;
                self.send(from, &self.segment(from, 0, ACK));
            }
            Step::Rst { from, at } => self.send(from, &self.segment(from, at, RST | ACK)),
            // A SYN after the end begins another connection: not this script's.
            Step::Syn { .. } if self.model.closed.is_some() || !self.model.halves[1].isn => {}
            Step::Syn { from: Side::Client } => self.send(Side::Client, &self.flow.syn()),
            Step::Syn { from: Side::Server } => self.send(Side::Server, &self.flow.syn_ack()),
            Step::Wait { ms } => {
                self.lab.wait(u64::from(ms));
                self.model.tick(self.lab.now);
            }
            Step::Window { side, .. } if self.model.halves[side.index()].disabled => {}
            Step::Window { side, window } => {
                let window = u64::from(window.max(1));
                self.configure(
                    side,
                    SideSettings {
                        window: Some(window),
                        ..SideSettings::default()
                    },
                )?;
                self.model.set_window(side, window);
            }
            Step::Disable { side } => {
                self.configure(
                    side,
                    SideSettings {
                        disable: true,
                        ..SideSettings::default()
                    },
                )?;
                self.model.disable(side);
            }
            Step::Stop => {
                let id = self.lab.only().id;
                self.lab
                    .engine
                    .stop(id, None)
                    .map_err(|error| error.to_string())?;
                self.model.stop();
            }
        }
        self.compare()
    }

    /// Sends bytes at a distance from the edge.
    fn data(&mut self, from: Side, at: i32, len: u16, fill: u8, flags: u8) {
        let mut segment = self.segment(from, at, flags);
        let half = &self.model.halves[from.peer().index()];
        let first = half.start.map_or(0, |_| half.next as i64 + i64::from(at));
        segment.payload = (0..i64::from(len))
            .map(|i| content(from, first + i, fill))
            .collect();
        self.send(from, &segment);
    }

    fn configure(&mut self, side: Side, settings: SideSettings) -> Result<(), String> {
        let id = self.lab.only().id;
        let mut both = [SideSettings::default(); 2];
        both[side.index()] = settings;
        self.lab
            .engine
            .configure(id, both)
            .map(|_| ())
            .map_err(|error| error.to_string())
    }

    /// Creates a segment at a distance from the edge of the bytes that `from` has sent.
    pub(super) fn segment(&self, from: Side, at: i32, flags: u8) -> Segment {
        let half = &self.model.halves[from.peer().index()];
        let first = half
            .start
            .unwrap_or(self.flow.isn[from.index()].wrapping_add(1));
        let mut segment = self.flow.segment(from, 0, flags, b"");
        segment.seq = first.wrapping_add(half.next as u32).wrapping_add_signed(at);
        segment.ack = self.said[from.index()];
        segment.window = self.window[from.index()];
        segment
    }

    fn send(&mut self, from: Side, segment: &Segment) {
        self.lab.now += MS / 10;
        self.lab.ip(&segment.ip());
        let mut segment = segment.clone();
        if segment.flags & SYN != 0 {
            segment.window = 65535;
        }
        self.model.segment(self.lab.now, from, &segment);
    }

    /// Returns whether the model couldn't decide between data and a FIN.
    pub(super) fn is_undecided(&self) -> bool {
        self.model.halves.iter().any(|half| half.undecided)
    }

    pub(super) fn end(mut self) -> Result<(), String> {
        self.lab.engine.finish();
        self.model.finish();
        self.compare()
            .map_err(|fault| format!("at the end: {fault}"))?;
        self.events()
    }

    fn compare(&self) -> Result<(), String> {
        if self.is_undecided() {
            return Ok(());
        }
        let connection = self.lab.only();
        same("closed", connection.closed, self.model.closed)?;
        for side in Side::BOTH {
            let half = &self.model.halves[side.index()];
            let view = &connection.sides[side.index()];
            let place = |what: &str| format!("{what} of {side:?}");
            same(&place("base"), view.base, half.base)?;
            same(&place("next"), view.next, half.next)?;
            same(&place("end"), view.end, half.end)?;
            same(&place("fin"), view.fin, half.fin)?;
            same(&place("gaps"), view.gaps, half.gaps.len() as u64)?;
            same(&place("isn"), view.isn.is_some(), half.isn)?;
            same(&place("enabled"), view.enabled, !half.disabled)?;
            same(
                &place("window"),
                view.window,
                self.model.rules[side.index()].window,
            )?;
            same(
                &place("retransmitted"),
                view.retransmitted,
                half.retransmitted,
            )?;
            same(&place("conflicts"), view.conflicts, half.conflicts)?;
            if half.disabled {
                same(&place("retained"), view.retained, 0)?;
                same(
                    &place("extents"),
                    self.lab.reader.extents(connection.id, side),
                    Err(PeekError::Disabled),
                )?;
            } else {
                same(&place("retained"), view.retained, half.bytes.len() as u64)?;
                same(
                    &place("bytes"),
                    self.lab.runs(connection.id, side),
                    half.runs(),
                )?;
            }
        }
        Ok(())
    }

    /// Checks the events: gaps as declared, and every step of the in-order edge.
    fn events(&mut self) -> Result<(), String> {
        let events = self.lab.events();
        for name in Side::BOTH {
            let half = &self.model.halves[name.index()];
            let mut gaps = Vec::new();
            let mut edge = 0;
            for event in &events {
                match *event {
                    Event::Gap { side, off, len, .. } if side == name => {
                        same("a gap begins at the edge", off, edge)?;
                        gaps.push((off, len));
                        edge = off + len;
                    }
                    Event::Data { side, off, len, .. } if side == name => {
                        same("data begins at the edge", off, edge)?;
                        edge = off + len;
                    }
                    _ => {}
                }
            }
            same("gap events", gaps, half.gaps.clone())?;
            same("the edge by events", edge, half.next)?;
        }
        let closed = events
            .iter()
            .filter(|event| matches!(event, Event::Closed { .. }))
            .count();
        same(
            "closed events",
            closed,
            usize::from(self.model.closed.is_some()),
        )?;
        same(
            "filled",
            self.lab.count("filled_bytes"),
            self.model.halves.iter().map(|half| half.filled).sum(),
        )?;
        same(
            "never both",
            self.model.closed == Some(CloseReason::Evicted),
            false,
        )
    }
}

/// The byte that an end sends at an offset.
fn content(from: Side, off: i64, fill: u8) -> u8 {
    let byte = (off as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 56;
    let differs = if off % 3 == 0 { 0 } else { fill };
    byte as u8 ^ differs ^ from.index() as u8
}

fn same<T: PartialEq + fmt::Debug>(what: &str, engine: T, model: T) -> Result<(), String> {
    if engine == model {
        Ok(())
    } else {
        Err(format!("{what}: {engine:?}, expected {model:?}"))
    }
}

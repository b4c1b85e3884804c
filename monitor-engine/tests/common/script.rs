//! Lists of segments that the engine and its twin both get, and what must be equal after each.

use std::fmt;
use std::process;
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use monitor_engine::{CloseReason, Event, OverlapPolicy, PeekError, Side, SideSettings};

use super::frame::{ACK, FIN, PSH, RST, SYN, Segment};
use super::lab::Lab;
use super::model::{Half, Rules, Twin};
use super::{Flow, MS};

/// A script takes milliseconds.
const ENDLESS: Duration = Duration::from_secs(20);

/// One step. Distances count from the in-order edge of the side that is meant.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Step {
    /// `from` sends `len` bytes whose first lies `at` from the edge; bytes with another `fill` differ.
    Data {
        from: Side,
        at: i32,
        len: u16,
        fill: u8,
        fin: bool,
    },
    /// `from` acknowledges up to `ahead` of the edge.
    Ack { from: Side, ahead: i32, window: u16 },
    /// `from` resets.
    Rst { from: Side, at: i32 },
    /// `from` sends its SYN, or SYN+ACK, again.
    Syn { from: Side },
    /// Milliseconds without a packet.
    Wait { ms: u16 },
    /// A client of the engine changes a side's window, from 1.
    Window { side: Side, window: u16 },
    /// Switches a side's buffering off.
    Disable { side: Side },
    /// Stops the connection.
    Stop,
}

/// A connection's life.
#[derive(Clone, PartialEq)]
pub struct Script {
    /// Starts with a handshake; else midstream.
    pub opened: bool,
    /// Initial sequence numbers of client and server.
    pub isn: [u32; 2],
    /// Bytes retained a side.
    pub window: u16,
    /// Islands a side.
    pub ranges: u8,
    pub policy: OverlapPolicy,
    pub steps: Vec<Step>,
}

/// As Rust: what a failing property prints can be pasted into a test.
impl fmt::Debug for Script {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            opened,
            isn,
            window,
            ranges,
            policy,
            steps,
        } = self;
        writeln!(
            f,
            "Script {{ opened: {opened}, isn: {isn:?}, window: {window}, ranges: {ranges},"
        )?;
        writeln!(f, "    policy: OverlapPolicy::{policy:?}, steps: vec![")?;
        for step in steps {
            let text = format!("{step:?}")
                .replace("from: ", "from: Side::")
                .replace("side: ", "side: Side::");
            writeln!(f, "        Step::{text},")?;
        }
        f.write_str("    ] }")
    }
}

impl Script {
    /// Any bytes as a script: what the fuzzer calls.
    pub fn decode(bytes: &[u8]) -> Option<Self> {
        let (head, steps) = bytes.split_first_chunk::<8>()?;
        let policy = [
            OverlapPolicy::First,
            OverlapPolicy::Last,
            OverlapPolicy::Bsd,
            OverlapPolicy::Linux,
        ];
        let isn = |at: usize| u32::from_be_bytes([head[at], head[at + 1], 0xff, 0xf0]);
        Some(Self {
            opened: head[0] & 1 == 0,
            isn: [isn(1), isn(3)],
            window: u16::from_be_bytes([head[5], head[6]]) % 20_000 + 1,
            ranges: head[7] % 32 + 1,
            policy: policy[usize::from(head[0] >> 1 & 3)],
            steps: steps.chunks_exact(6).take(200).map(Step::decode).collect(),
        })
    }

    /// As [`Script::check`]; a script that never comes to an end is printed too.
    pub fn check_in_time(&self) -> Result<(), String> {
        let (done, watched) = mpsc::channel::<()>();
        let script = self.clone();
        let dog = thread::spawn(move || {
            if watched.recv_timeout(ENDLESS) == Err(mpsc::RecvTimeoutError::Timeout) {
                eprintln!("no end in {ENDLESS:?}: {script:?}");
                process::abort();
            }
        });
        let result = self.check();
        drop(done);
        let _ = dog.join();
        result
    }

    /// Runs the script through engine and twin; the first difference is the error.
    pub fn check(&self) -> Result<(), String> {
        let mut run = Run::new(self);
        run.begin(self.opened)?;
        for (index, step) in self.steps.iter().enumerate() {
            run.step(*step)
                .map_err(|fault| format!("step {index}, {step:?}: {fault}"))?;
        }
        run.end()
    }
}

impl Step {
    fn decode(bytes: &[u8]) -> Self {
        let from = if bytes[0] & 1 == 0 {
            Side::Client
        } else {
            Side::Server
        };
        let near = i32::from(i16::from_be_bytes([bytes[1], bytes[2]]));
        let at = match bytes[0] >> 5 {
            0..4 => near % 512,
            4 | 5 => near,
            6 => near.wrapping_mul(2048),
            _ => near.wrapping_mul(65536),
        };
        let number = u16::from_be_bytes([bytes[3], bytes[4]]);
        match bytes[0] >> 1 & 15 {
            0 if bytes[5] < 16 => Step::Window {
                side: from,
                window: number,
            },
            0 if bytes[5] < 18 => Step::Disable { side: from },
            0 if bytes[5] < 19 => Step::Stop,
            0 => Step::Syn { from },
            1 => Step::Rst { from, at },
            2 | 3 => Step::Wait { ms: number % 500 },
            4..7 => Step::Ack {
                from,
                ahead: at,
                window: number,
            },
            kind => {
                let len = if kind < 12 {
                    number % 64
                } else {
                    number % 3000
                };
                Step::Data {
                    from,
                    at,
                    len,
                    fill: bytes[5] & 3,
                    fin: bytes[5] >> 3 == 1,
                }
            }
        }
    }
}

struct Run {
    lab: Lab,
    twin: Twin,
    flow: Flow,
    conflicts: bool,
    /// What each end said last.
    said: [u32; 2],
    window: [u16; 2],
}

impl Run {
    fn new(script: &Script) -> Self {
        let mut config = Lab::config();
        config.memory = 1 << 20;
        config.window = u64::from(script.window);
        config.tcp.max_ranges = usize::from(script.ranges);
        config.tcp.overlap = script.policy;
        config.tcp.idle_timeout = None;
        config.tcp.linger = None;
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
            twin: Twin::new(rules),
            flow,
            conflicts: matches!(script.policy, OverlapPolicy::First | OverlapPolicy::Last),
            said,
            window: [65535; 2],
        }
    }

    fn begin(&mut self, opened: bool) -> Result<(), String> {
        if opened {
            self.send(Side::Client, &self.flow.syn());
            self.send(Side::Server, &self.flow.syn_ack());
        }
        self.send(Side::Client, &self.segment(Side::Client, 0, ACK));
        self.compare()
    }

    fn step(&mut self, step: Step) -> Result<(), String> {
        match step {
            Step::Data {
                from,
                at,
                len,
                fill,
                fin,
            } => {
                let mut segment = self.segment(from, at, if fin { ACK | FIN } else { ACK | PSH });
                let half = &self.twin.halves[from.peer().index()];
                let first = half.start.map_or(0, |_| half.next as i64 + i64::from(at));
                let fill = if self.conflicts { fill } else { 0 };
                segment.payload = (0..i64::from(len))
                    .map(|i| content(from, first + i, fill))
                    .collect();
                self.send(from, &segment);
            }
            Step::Ack {
                from,
                ahead,
                window,
            } => {
                let half = &self.twin.halves[from.index()];
                let start = half.start.unwrap_or_default();
                self.said[from.index()] = start
                    .wrapping_add(half.next as u32)
                    .wrapping_add_signed(ahead);
                self.window[from.index()] = window;
                self.send(from, &self.segment(from, 0, ACK));
            }
            Step::Rst { from, at } => self.send(from, &self.segment(from, at, RST | ACK)),
            // A SYN after the end begins another connection: not this script's.
            Step::Syn { .. } if self.twin.closed.is_some() || !self.twin.halves[1].isn => {}
            Step::Syn { from: Side::Client } => self.send(Side::Client, &self.flow.syn()),
            Step::Syn { from: Side::Server } => self.send(Side::Server, &self.flow.syn_ack()),
            Step::Wait { ms } => {
                self.lab.wait(u64::from(ms));
                self.twin.tick(self.lab.now);
            }
            Step::Window { side, .. } if self.twin.halves[side.index()].disabled => {}
            Step::Window { side, window } => {
                let window = u64::from(window.max(1));
                self.configure(
                    side,
                    SideSettings {
                        window: Some(window),
                        ..SideSettings::default()
                    },
                )?;
                self.twin.set_window(side, window);
            }
            Step::Disable { side } => {
                self.configure(
                    side,
                    SideSettings {
                        disable: true,
                        ..SideSettings::default()
                    },
                )?;
                self.twin.disable(side);
            }
            Step::Stop => {
                let id = self.lab.only().id;
                self.lab
                    .engine
                    .stop(id, None)
                    .map_err(|error| error.to_string())?;
                self.twin.stop();
            }
        }
        self.compare()
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

    /// A segment `at` from the edge of what `from` has sent.
    fn segment(&self, from: Side, at: i32, flags: u8) -> Segment {
        let half = &self.twin.halves[from.peer().index()];
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
        self.twin.segment(self.lab.now, from, &segment);
    }

    fn end(mut self) -> Result<(), String> {
        self.lab.engine.finish();
        self.twin.finish();
        self.compare()
            .map_err(|fault| format!("at the end: {fault}"))?;
        self.events()
    }

    fn compare(&self) -> Result<(), String> {
        let connection = self.lab.only();
        same("closed", connection.closed, self.twin.closed)?;
        for side in Side::BOTH {
            let half = &self.twin.halves[side.index()];
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
                self.twin.rules[side.index()].window,
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

    /// The events tell the same story: gaps as declared, and every step of the in-order edge.
    fn events(&mut self) -> Result<(), String> {
        let events = self.lab.events();
        for name in Side::BOTH {
            let half = &self.twin.halves[name.index()];
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
            usize::from(self.twin.closed.is_some()),
        )?;
        same(
            "filled",
            self.lab.count("filled_bytes"),
            self.twin.halves.iter().map(|half| half.filled).sum(),
        )?;
        same(
            "never both",
            self.twin.closed == Some(CloseReason::Evicted),
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

fn same<T: PartialEq + fmt::Debug>(what: &str, engine: T, twin: T) -> Result<(), String> {
    if engine == twin {
        Ok(())
    } else {
        Err(format!("{what}: {engine:?}, expected {twin:?}"))
    }
}

/// Kept here because only scripts need it: the halves' lengths, for a test to see that a script did something.
pub fn received(half: &Half) -> u64 {
    half.bytes.len() as u64
}

//! Readers on other threads while flows are written, overwritten, slid over, evicted and used again: every byte
//! that they get is a function of its connection and offset, so that a torn or a foreign one is recognised.
#![allow(missing_docs, clippy::unwrap_used, clippy::panic, reason = "tests")]

#[path = "../common/mod.rs"]
mod common;
mod processes;

use std::collections::HashMap;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::atomic::{AtomicBool, AtomicU64};
use std::thread;
use std::time::{Duration, Instant};

use common::frame::{FIN, PSH};
use common::{Flow, MS};
use monitor_engine::{
    Connection, Engine, EngineConfig, LinkType, OverlapPolicy, Packet, PeekError, Reader, Side,
    SockId,
};

const FLOWS: u32 = 48;
const READERS: usize = 3;
const LASTS: Duration = Duration::from_secs(4);
/// These bytes at the front of a side are written again and again, all of them at once.
const REWRITTEN: u64 = 5000;

/// Returns the byte that the connection with this `isn` sends at an offset. `version` counts how often the front was rewritten.
fn content(isn: u32, side: Side, off: u64, version: u8) -> u8 {
    let mixed = (u64::from(isn) << 32 ^ off ^ (side.index() as u64) << 31)
        .wrapping_mul(0x9e37_79b9_7f4a_7c15);
    (mixed >> 56) as u8 ^ if off < REWRITTEN { version } else { 0 }
}

struct Random(u64);

impl Random {
    fn below(&mut self, limit: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % limit
    }
}

/// The one writer.
struct Writer {
    engine: Engine,
    flows: Vec<Flow>,
    random: Random,
    now: u64,
    version: u8,
}

impl Writer {
    /// Creates an engine with little memory and opens the flows. `share`: other processes may attach.
    fn new(share: bool) -> Self {
        let mut config = EngineConfig {
            memory: 3 << 20,
            window: 48 << 10,
            seed: [5, 6],
            share,
            ..EngineConfig::default()
        };
        config.tcp.overlap = OverlapPolicy::Last;
        config.tcp.linger = Some(300 * MS);
        let flows = (0..FLOWS).map(Flow::numbered).collect();
        let mut writer = Self {
            engine: Engine::new(config, ()).unwrap(),
            flows,
            random: Random(77),
            now: 1_000_000 * MS,
            version: 0,
        };
        for index in 0..FLOWS as usize {
            writer.open(index);
        }
        writer
    }

    fn packet(&mut self, data: &[u8]) {
        self.now += MS / 50;
        self.engine.process(&[Packet {
            time: self.now,
            interface: 0,
            link: LinkType::Ip,
            data,
            more: &[],
            cut: 0,
            checksum: monitor_engine::Checksum::Unknown,
        }]);
    }

    /// Applies one random step to one flow.
    fn act(&mut self) {
        let index = self.random.below(u64::from(FLOWS)) as usize;
        let from = if self.random.below(3) == 0 {
            Side::Server
        } else {
            Side::Client
        };
        match self.random.below(400) {
            0 => self.open(index),
            1..4 => self.rewrite(index, from),
            4 => self.finish(index),
            5..9 => self.ahead(index, from),
            9..15 => self.strangers(),
            _ => self.go_on(index, from),
        }
    }

    /// Another connection on the same addresses and ports.
    fn open(&mut self, index: usize) {
        let flow = &mut self.flows[index];
        let isn = flow.isn[0].wrapping_add(0x0123_4567);
        *flow = Flow {
            isn: [isn, isn ^ 0x5555_5555],
            ..Flow::numbered(index as u32)
        };
        let flow = flow.clone();
        for frame in [
            flow.syn().ip(),
            flow.syn_ack().ip(),
            flow.segment(Side::Client, 0, PSH, b"").ip(),
        ] {
            self.packet(&frame);
        }
    }

    fn segment(&mut self, index: usize, from: Side, off: u64, len: u64, flags: u8, version: u8) {
        let flow = &self.flows[index];
        let bytes: Vec<u8> = (off..off + len)
            .map(|at| content(flow.isn[0], from, at, version))
            .collect();
        let frame = flow.segment(from, off as i64, flags, &bytes).ip();
        self.packet(&frame);
    }

    fn go_on(&mut self, index: usize, from: Side) {
        let off = self.flows[index].sent[from.index()];
        // The front is written whole, so that it can be rewritten whole.
        let len = if off == 0 {
            REWRITTEN
        } else {
            1 + self.random.below(3000)
        };
        self.segment(index, from, off, len, PSH, 0);
        self.flows[index].sent[from.index()] += len;
        self.flows[index].acked[from.peer().index()] = off + len;
    }

    /// Leaves a hole, and the bytes behind it.
    fn ahead(&mut self, index: usize, from: Side) {
        let off = self.flows[index].sent[from.index()].max(REWRITTEN) + self.random.below(9000);
        self.segment(index, from, off, 1500, PSH, 0);
    }

    fn rewrite(&mut self, index: usize, from: Side) {
        if (REWRITTEN..40_000).contains(&self.flows[index].sent[from.index()]) {
            self.version = self.version.wrapping_add(1);
            self.segment(index, from, 0, REWRITTEN, PSH, self.version);
        }
    }

    fn finish(&mut self, index: usize) {
        for from in Side::BOTH {
            let off = self.flows[index].sent[from.index()];
            self.segment(index, from, off, 0, FIN, 0);
            self.flows[index].acked[from.peer().index()] = off + 1;
        }
        let off = self.flows[index].sent[0] + 1;
        self.segment(index, Side::Client, off, 0, PSH, 0);
    }

    /// Connections that need records and blocks, so that others are evicted.
    fn strangers(&mut self) {
        for _ in 0..20 {
            let number = 1000 + self.random.below(100_000) as u32;
            let flow = Flow {
                isn: [number, number ^ 0x5555_5555],
                ..Flow::numbered(number)
            };
            self.packet(&flow.syn().ip());
            let bytes: Vec<u8> = (0..REWRITTEN)
                .map(|at| content(number, Side::Client, at, 0))
                .collect();
            self.packet(&flow.segment(Side::Client, 0, PSH, &bytes).ip());
        }
    }
}

/// Reader thread.
struct Watcher {
    reader: Reader,
    random: Random,
    /// Connections by id, also long after they are gone.
    known: HashMap<SockId, u32>,
    bytes: u64,
    refused: u64,
}

impl Watcher {
    fn new(reader: Reader, number: usize) -> Self {
        Self {
            reader,
            random: Random(1 + number as u64),
            known: HashMap::new(),
            bytes: 0,
            refused: 0,
        }
    }

    fn look(&mut self) {
        let connections: Vec<Connection> = self.reader.connections(None).collect();
        for connection in &connections {
            // Only the client's initial sequence number distinguishes incarnations.
            let Some(isn) = connection.sides[1].isn else {
                continue;
            };
            let before = *self.known.entry(connection.id).or_insert(isn);
            assert_eq!(
                before, isn,
                "{:?} names another connection now",
                connection.id
            );
            for side in Side::BOTH {
                self.read(connection.id, side, isn, connection.sides[side.index()].end);
            }
        }
        // Ids that may be gone by now.
        if let Some((&id, &isn)) = self
            .known
            .iter()
            .nth(self.random.below(1 + self.known.len() as u64) as usize)
        {
            self.read(id, Side::Server, isn, 10_000);
        }
        if self.known.len() > 5000 {
            self.known.clear();
        }
    }

    fn read(&mut self, id: SockId, side: Side, isn: u32, end: u64) {
        let off = match self.random.below(3) {
            0 => self.random.below(REWRITTEN),
            1 => end.saturating_sub(self.random.below(66_000)),
            _ => self.random.below(end + 1),
        };
        let mut buffer = vec![0; self.random.below(12_000) as usize + 1];
        match self.reader.peek(id, side, off, &mut buffer) {
            Ok(peek) => {
                assert!(off >= peek.base && off + peek.len as u64 <= peek.end);
                verify(isn, side.peer(), off, &buffer[..peek.len]);
                self.bytes += peek.len as u64;
            }
            Err(PeekError::Disabled) => panic!("nobody switched it off"),
            Err(_) => self.refused += 1,
        }
        if let Ok(extents) = self.reader.extents(id, side) {
            let mut at = extents.base;
            for (off, len) in &extents.runs {
                assert!(
                    *len > 0 && (*off > at || *off == extents.base),
                    "{extents:?}"
                );
                at = off + len;
            }
            assert!(at <= extents.end.max(extents.base), "{extents:?}");
        }
    }
}

/// All of the front is of one version, and all the rest of the only one.
fn verify(isn: u32, sender: Side, off: u64, bytes: &[u8]) {
    let version = bytes
        .first()
        .map_or(0, |first| first ^ content(isn, sender, off, 0));
    assert!(off < REWRITTEN || version == 0, "a foreign byte at {off}");
    for (at, byte) in (off..).zip(bytes) {
        assert_eq!(
            *byte,
            content(isn, sender, at, version),
            "offset {at} in a read at {off} of {}",
            bytes.len()
        );
    }
}

#[test]
fn no_reader_ever_gets_a_torn_or_a_foreign_byte() {
    let mut writer = Writer::new(false);
    let reader = writer.engine.reader();
    let done = AtomicBool::new(false);
    let (bytes, refused) = (AtomicU64::new(0), AtomicU64::new(0));
    thread::scope(|scope| {
        for number in 0..READERS {
            let (reader, done, bytes, refused) = (reader.clone(), &done, &bytes, &refused);
            scope.spawn(move || {
                let mut watcher = Watcher::new(reader, number);
                while !done.load(Relaxed) {
                    watcher.look();
                }
                bytes.fetch_add(watcher.bytes, Relaxed);
                refused.fetch_add(watcher.refused, Relaxed);
            });
        }
        let until = Instant::now() + LASTS;
        while Instant::now() < until {
            for _ in 0..100 {
                writer.act();
            }
        }
        done.store(true, Relaxed);
    });
    let (read, refused) = (bytes.load(Relaxed), refused.load(Relaxed));
    check(&writer, read, refused);
}

/// Checks that the race was one.
fn check(writer: &Writer, read: u64, refused: u64) {
    let counters = writer.engine.counters();
    let value = |name: &str| counters.each().find(|c| c.1 == name).unwrap().3;
    eprintln!(
        "{read} bytes read, {refused} reads refused, {} connections",
        value("opened")
    );
    assert!(
        read > 1_000_000 && refused > 100,
        "the readers had something to do"
    );
    for name in [
        "conflict_bytes",
        "evicted_bytes",
        "evicted_closed",
        "evicted_active",
        "retransmitted_bytes",
    ] {
        assert!(value(name) > 0, "{name}: nothing of that kind happened");
    }
}

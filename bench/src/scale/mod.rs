//! The engine alone, in this process: a connection's memory, and a packet's cost among many
//! connections.
//!
//! Packets are made before they are timed, some thousand at a time. They fit in the cache for any
//! number of connections, so the cost that grows with it is the engine's own.

mod packets;

use std::fs;
use std::time::Instant;

use anyhow::{Context, Result, ensure};
use monitor_engine::{Counters, Engine, EngineConfig, LinkType, Packet};
use monitor_tests::wiregen::Random;
use monitor_tests::wiregen::flags::{ACK, FIN, SYN};
use serde_json::{Value, json};

use packets::{End, Packets};

/// Packets made, then followed, at a time.
const ROUND: usize = 4096;
/// Packets of a worker's batch.
const BATCH: usize = 64;
/// Packets that are timed among many connections.
const TIMED: usize = 488 * ROUND;
/// Payload of those that carry data: so little that even of few connections none needs a second block, which would
/// be another thing to measure.
const DATA: usize = 8;
/// Maximum cost of a record, bytes; the engine spends an eighth of its budget on them.
const RECORD: u64 = 400;
const RECORDS_SHARE: u64 = 8;
/// A block for each connection that has data.
const BLOCK: u64 = 2048;
/// Connections open at once while others are opened and closed.
const AT_ONCE: u64 = 10_000;
/// Connections that are opened and closed.
const LIVES: u64 = 1_000_000;

/// Returns the memory that `flows` open connections need here, data included.
pub fn memory(flows: u64) -> u64 {
    flows * (RECORD + BLOCK)
}

/// Opens `flows` connections, then sends packets to random ones.
pub fn among(flows: u64) -> Result<Value> {
    let before = resident()?;
    let mut load = Load::new((flows * RECORD * RECORDS_SHARE).max(64 << 20))?;
    for first in (0..flows).step_by(ROUND / 4) {
        load.packets.clear();
        for flow in first..flows.min(first + ROUND as u64 / 4) {
            load.packets.push(flow, End::Client, SYN, [0, 0], 0);
            load.packets.push(flow, End::Server, SYN | ACK, [0, 1], 0);
            load.packets.push(flow, End::Client, ACK, [1, 1], 0);
        }
        load.follow();
    }
    let mut sent = vec![0_u32; flows as usize];
    let counters = load.engine.counters();
    ensure!(
        counters.active.get() == flows,
        "{} of {flows} connections are open",
        counters.active.get()
    );
    let idle = (resident()?.saturating_sub(before)) as f64 / flows as f64;
    let budget = counters.used.get() as f64 / flows as f64;

    let mut random = Random::new(flows);
    let acknowledgment = load.timed(TIMED, |packets| {
        packets.push(random.number() % flows, End::Client, ACK, [1, 1], 0);
    });
    let mut send = |packets: &mut Packets, flow: u64| {
        let next = &mut sent[flow as usize];
        packets.push(flow, End::Client, ACK, [1 + *next, 1], DATA);
        *next += DATA as u32;
    };
    // Each gets its block before time counts: pages that the kernel gives are another thing, too.
    for first in (0..flows).step_by(ROUND) {
        load.packets.clear();
        (first..flows.min(first + ROUND as u64)).for_each(|flow| send(&mut load.packets, flow));
        load.follow();
    }
    let data = load.timed(TIMED, |packets| send(packets, random.number() % flows));
    whole(&counters, (flows + TIMED as u64) * DATA as u64)?;
    Ok(
        json!({"idle_bytes": idle, "budget_bytes": budget, "acknowledgment_ns": acknowledgment, "data_ns": data}),
    )
}

/// Opens and closes connections, while ten thousand others are open, on a budget that is used up: each new one takes
/// the memory of the oldest that is closed.
pub fn lives() -> Result<Value> {
    let mut load = Load::new(EngineConfig::default().memory)?;
    let mut next = 0;
    let ns = load.timed((LIVES * 6) as usize, |packets| {
        let flow = next;
        next += 1;
        packets.push(flow, End::Client, SYN, [0, 0], 0);
        packets.push(flow, End::Server, SYN | ACK, [0, 1], 0);
        packets.push(flow, End::Client, ACK, [1, 1], 0);
        if let Some(old) = flow.checked_sub(AT_ONCE) {
            packets.push(old, End::Client, FIN | ACK, [1, 1], 0);
            packets.push(old, End::Server, FIN | ACK, [1, 2], 0);
            packets.push(old, End::Client, ACK, [2, 2], 0);
        }
    });
    let counters = load.engine.counters();
    let (opened, closed) = (counters.opened.get(), counters.closed.get());
    ensure!(
        closed + AT_ONCE >= opened && closed > LIVES / 2,
        "{opened} opened, {closed} closed"
    );
    whole(&counters, 0)?;
    Ok(json!({"per_second": 1e9 / (ns * 6.0)}))
}

/// Checks that the engine followed all of it and dropped no open connection.
fn whole(counters: &Counters, payload: u64) -> Result<()> {
    let Counters {
        payload_bytes,
        orphans,
        evicted_active,
        evicted_half_open,
        gaps,
        unstored_bytes,
        ..
    } = counters;
    let lost = [
        orphans,
        evicted_active,
        evicted_half_open,
        gaps,
        unstored_bytes,
    ]
    .map(monitor_engine::counters::Counter::get);
    ensure!(
        lost == [0; 5] && payload_bytes.get() == payload,
        "{lost:?} lost, {} bytes",
        payload_bytes.get()
    );
    Ok(())
}

struct Load {
    engine: Engine,
    packets: Packets,
    now: u64,
}

impl Load {
    fn new(memory: u64) -> Result<Self> {
        let mut config = EngineConfig {
            memory,
            seed: [1, 2],
            ..EngineConfig::default()
        };
        config.tcp.idle_timeout = None;
        let engine = Engine::new(config, ()).context("cannot make an engine")?;
        Ok(Self {
            engine,
            packets: Packets::default(),
            now: 1 << 60,
        })
    }

    /// Follows the made packets once; returns nanoseconds.
    fn follow(&mut self) -> u64 {
        let mut frames = self.packets.frames();
        let mut spent = 0;
        loop {
            let mut batch = [Packet {
                time: self.now,
                interface: 0,
                link: LinkType::Ip,
                data: &[],
                more: &[],
                cut: 0,
                checksum: monitor_engine::Checksum::Unknown,
            }; BATCH];
            let count = batch
                .iter_mut()
                .zip(&mut frames)
                .map(|(packet, data)| packet.data = data)
                .count();
            if count == 0 {
                return spent;
            }
            let started = Instant::now();
            self.engine.process(&batch[..count]);
            spent += started.elapsed().as_nanos() as u64;
            self.now += 10_000;
        }
    }

    /// Returns nanoseconds per packet, over at least `packets` that `make` made.
    fn timed(&mut self, packets: usize, mut make: impl FnMut(&mut Packets)) -> f64 {
        let (mut done, mut spent) = (0, 0);
        while done < packets {
            self.packets.clear();
            while self.packets.len() < ROUND {
                make(&mut self.packets);
            }
            done += self.packets.len();
            spent += self.follow();
        }
        spent as f64 / done as f64
    }
}

/// Resident memory of this process, bytes.
fn resident() -> Result<u64> {
    let statm = fs::read_to_string("/proc/self/statm").context("cannot read /proc/self/statm")?;
    let pages = statm.split(' ').nth(1).context("statm has another form")?;
    Ok(pages.parse::<u64>().context("statm has another form")? * rustix::param::page_size() as u64)
}

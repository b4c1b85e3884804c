//! Hostile floods: memory stays within the budget, time per packet stays small, and real connections lose nothing.
//!
//! Time is the thread's own processor time, so that a busy machine does not fail a test; the bounds leave a factor
//! of about ten over the measured values.
#![allow(missing_docs, clippy::unwrap_used, clippy::panic, reason = "tests")]

#[path = "../common/mod.rs"]
mod common;

mod flows;
mod fragments;
mod syns;
mod tiny_segments;

use std::sync::{Mutex, MutexGuard, PoisonError};

use monitor_engine::{Engine, EngineConfig, LinkType, Packet};
use rustix::time::{ClockId, clock_gettime};

use common::memory::resident;

/// Memory of the process besides the budget.
const BESIDES: u64 = 64 << 20;

/// Resident memory is the whole process's: one flood at a time.
fn alone() -> MutexGuard<'static, ()> {
    static ALONE: Mutex<()> = Mutex::new(());
    ALONE.lock().unwrap_or_else(PoisonError::into_inner)
}

/// An engine under attack, and the cost.
struct Attacked {
    engine: Engine,
    budget: u64,
    now: u64,
    packets: u64,
    /// Nanoseconds of processor time in the engine: all, and the longest batch.
    spent: u64,
    longest: u64,
}

impl Attacked {
    fn new(config: EngineConfig) -> Self {
        let budget = config.memory;
        let engine = Engine::new(config, ()).unwrap();
        Self {
            engine,
            budget,
            now: 1_000_000_000_000,
            packets: 0,
            spent: 0,
            longest: 0,
        }
    }

    fn with(budget: u64) -> Self {
        Self::new(EngineConfig {
            memory: budget,
            seed: [0x1234, 0x5678],
            ..EngineConfig::default()
        })
    }

    /// IP packets, a microsecond apart.
    fn send<D: AsRef<[u8]>>(&mut self, packets: &[D]) {
        let batch: Vec<Packet<'_>> = packets
            .iter()
            .zip((self.now..).step_by(1000))
            .map(|(data, time)| Packet {
                time,
                interface: 0,
                link: LinkType::Ip,
                data: data.as_ref(),
                more: &[],
                cut: 0,
                checksum: monitor_engine::Checksum::Unknown,
            })
            .collect();
        self.now += 1000 * packets.len() as u64;
        let before = processor_time();
        self.engine.process(&batch);
        let spent = processor_time() - before;
        self.packets += packets.len() as u64;
        self.spent += spent;
        self.longest = self.longest.max(spent);
    }

    /// The bounds that every flood must keep.
    fn held(&self, nanoseconds_each: u64) {
        let (used, resident) = (self.count("used"), resident());
        let each = self.spent / self.packets;
        eprintln!(
            "{} packets, {each} ns each, longest batch {} us, {used} of {} bytes used, {resident} resident",
            self.packets,
            self.longest / 1000,
            self.budget,
        );
        assert!(used <= self.budget, "{used} bytes used of {}", self.budget);
        assert!(
            resident <= self.budget + BESIDES,
            "{resident} bytes resident, the budget is {}",
            self.budget
        );
        assert!(each <= nanoseconds_each, "{each} ns a packet");
        assert!(
            self.longest <= 100_000_000,
            "{} ns for one batch",
            self.longest
        );
    }

    fn count(&self, name: &str) -> u64 {
        let counters = self.engine.counters();
        counters
            .each()
            .find(|(_, n, _, _)| *n == name)
            .map(|(_, _, _, value)| value)
            .unwrap()
    }
}

/// Nanoseconds of processor time that this thread has used.
fn processor_time() -> u64 {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    time.tv_sec as u64 * 1_000_000_000 + time.tv_nsec as u64
}

/// A frame that is sent again and again with other numbers in it.
struct Template(Vec<u8>);

impl Template {
    /// Any 64 bits as the source address and port, the rest of them as the sequence number.
    fn from(&mut self, random: u64) -> &[u8] {
        let bytes = random.to_be_bytes();
        self.0[12..16].copy_from_slice(&bytes[..4]);
        self.0[20..22].copy_from_slice(&bytes[4..6]);
        self.0[24..28].copy_from_slice(&bytes[2..6]);
        &self.0
    }
}

/// Random numbers, the same every time (SplitMix64).
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }
}

//! Cost of one packet in the engine alone, by its kind: `cargo bench -p monitor-engine`.
//!
//! Divan shows the time of one batch and the packets a second; a nanosecond a packet is 1000 million a second.
#![allow(missing_docs, clippy::unwrap_used, reason = "benchmarks")]

#[path = "../tests/common/mod.rs"]
mod common;

use common::Flow;
use common::frame::{ACK, FIN, PSH, Segment};
use divan::Bencher;
use divan::counter::{BytesCount, ItemsCount};
use monitor_engine::{Engine, EngineConfig, LinkType, Packet, Side};

/// Packets that a worker takes from its ring at a time.
const BATCH: usize = 64;
/// Flows that packets are spread over.
const FLOWS: u32 = 64;
/// Bytes in a full segment.
const FULL: usize = 1448;

fn main() {
    divan::main();
}

/// An engine, and frames that are sent again and again with their sequence numbers moved on.
struct Load {
    engine: Engine,
    frames: Vec<Vec<u8>>,
    now: u64,
}

impl Load {
    fn new(frames: Vec<Vec<u8>>) -> Self {
        let config = EngineConfig {
            memory: 256 << 20,
            seed: [1, 2],
            ..EngineConfig::default()
        };
        Self {
            engine: Engine::new(config, ()).unwrap(),
            frames,
            now: 1 << 60,
        }
    }

    /// Established flows, and for each `each` consecutive segments.
    fn flows(flows: u32, each: u32, len: usize) -> Self {
        let mut load = Self::new(Vec::new());
        let mut frames = Vec::new();
        for number in 0..flows {
            let flow = Flow::numbered(number);
            let open = [
                flow.syn(),
                flow.syn_ack(),
                flow.segment(Side::Client, 0, ACK, b""),
            ];
            load.frames = open.iter().map(Segment::ip).collect();
            load.run();
            for part in 0..each {
                let off = i64::from(part) * len as i64;
                frames.push(
                    flow.segment(Side::Client, off, PSH, &vec![number as u8; len])
                        .ip(),
                );
            }
        }
        load.frames = frames;
        load
    }

    fn run(&mut self) {
        self.now += 1000;
        for batch in self.frames.chunks(BATCH) {
            let mut packets = [Packet {
                time: self.now,
                interface: 0,
                link: LinkType::Ip,
                data: &[],
                more: &[],
                cut: 0,
                checksum: monitor_engine::Checksum::Unknown,
            }; BATCH];
            for (packet, data) in packets.iter_mut().zip(batch) {
                packet.data = data;
            }
            self.engine.process(&packets[..batch.len()]);
        }
    }

    /// Moves every sequence number on.
    fn advance(&mut self, by: u32) {
        for frame in &mut self.frames {
            let seq = u32::from_be_bytes([frame[24], frame[25], frame[26], frame[27]]);
            frame[24..28].copy_from_slice(&seq.wrapping_add(by).to_be_bytes());
        }
    }

    /// Gives every frame another source address.
    fn rename(&mut self) {
        for frame in &mut self.frames {
            let source = u32::from_be_bytes([frame[12], frame[13], frame[14], frame[15]]);
            frame[12..16].copy_from_slice(&source.wrapping_add(1).to_be_bytes());
        }
    }
}

fn measure(bencher: Bencher<'_, '_>, mut load: Load, mut next: impl FnMut(&mut Load)) {
    let bytes: usize = load.frames.iter().map(Vec::len).sum();
    let bencher = bencher
        .counter(ItemsCount::new(load.frames.len()))
        .counter(BytesCount::new(bytes));
    bencher.bench_local(|| {
        load.run();
        next(&mut load);
    });
}

/// Consecutive segments of each flow.
#[divan::bench(args = [64, 512, FULL])]
fn in_order(bencher: Bencher<'_, '_>, len: usize) {
    let load = Load::flows(FLOWS, 4, len);
    measure(bencher, load, |load| load.advance(4 * len as u32));
}

/// The same over many flows: their records and blocks are not in the cache.
#[divan::bench(args = [1000, 20_000])]
fn in_order_among(bencher: Bencher<'_, '_>, flows: u32) {
    let load = Load::flows(flows, 1, 512);
    measure(bencher, load, |load| load.advance(512));
}

/// Each second segment comes before the one that it follows.
#[divan::bench]
fn out_of_order(bencher: Bencher<'_, '_>) {
    let mut load = Load::flows(FLOWS, 4, FULL);
    load.frames.chunks_mut(2).for_each(|pair| pair.swap(0, 1));
    measure(bencher, load, |load| load.advance(4 * FULL as u32));
}

/// Each segment comes twice.
#[divan::bench]
fn repeated(bencher: Bencher<'_, '_>) {
    let mut load = Load::flows(FLOWS, 2, FULL);
    load.frames = load
        .frames
        .iter()
        .flat_map(|frame| [frame.clone(), frame.clone()])
        .collect();
    measure(bencher, load, |load| load.advance(2 * FULL as u32));
}

/// Acknowledgments without data.
#[divan::bench]
fn acknowledgments(bencher: Bencher<'_, '_>) {
    measure(bencher, Load::flows(FLOWS, 4, 0), |_| ());
}

/// SYNs of new flows, the old ones' records taken for them.
#[divan::bench]
fn new_flow(bencher: Bencher<'_, '_>) {
    let syn = Flow::new().syn().ip();
    let frames = (0..BATCH as u32).map(|number| {
        // Far enough apart never to meet.
        let source = (number << 26).to_be_bytes();
        [&syn[..12], &source, &syn[16..]].concat()
    });
    measure(bencher, Load::new(frames.collect()), Load::rename);
}

/// A whole short life: handshake, request, both FINs, the last acknowledgment.
#[divan::bench]
fn open_and_close(bencher: Bencher<'_, '_>) {
    let mut flow = Flow::new();
    let mut life = vec![
        flow.syn(),
        flow.syn_ack(),
        flow.segment(Side::Client, 0, PSH, &[7; 100]),
    ];
    flow.acked = [0, 101];
    life.push(flow.segment(Side::Client, 100, FIN, b""));
    life.push(flow.segment(Side::Server, 0, FIN, b""));
    flow.acked = [1, 101];
    life.push(flow.segment(Side::Client, 101, ACK, b""));
    let frames = life.iter().map(Segment::ip).collect();
    // Each life takes the tuple over from the last one.
    measure(bencher, Load::new(frames), |_| ());
}

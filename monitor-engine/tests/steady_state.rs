//! In the steady state a packet allocates nothing, whether in order, out of order, again, around a hole, or of a
//! connection that comes or goes. (ARCHITECTURE.md, invariant 1.)

#![allow(
    clippy::unwrap_used,
    reason = "a test says what it expects by unwrapping it"
)]

#[path = "common/mod.rs"]
mod common;

use common::frame::{ACK, FIN, PSH};
use common::{Flow, MS, S as SECOND};
use monitor_engine::{Engine, EngineConfig, LinkType, Packet, Side};

const FLOWS: u32 = 32;
const LEN: usize = 1448;
/// Until all has been used once and is used again.
const WARM: u64 = 300;
const MEASURED: u64 = 300;

/// Packets of one round of 20 ms.
fn round(number: u64) -> Vec<Vec<u8>> {
    let mut frames = Vec::new();
    for index in 0..FLOWS {
        let mut flow = Flow::numbered(index);
        let at = |part: u64| ((number * 6 + part) * LEN as u64) as i64;
        let piece = |part: u64| {
            flow.segment(Side::Client, at(part), PSH | ACK, &[index as u8; LEN])
                .ip()
        };
        // Out of order, one again, and now and then one that never comes although it is acknowledged.
        for part in [0, 2, 1, 3, 3, 5, 4] {
            if (number + u64::from(index)).is_multiple_of(7) && part == 2 {
                continue;
            }
            frames.push(piece(part));
        }
        flow.acked[Side::Server.index()] = at(6) as u64;
        frames.push(flow.segment(Side::Server, 0, ACK, b"").ip());
    }
    // Connections that come, carry a little and go.
    for index in 0..8 {
        let short = Flow::numbered(1000 + (number * 8 + index) as u32);
        let mut end = Flow::numbered(1000 + (number * 8 + index) as u32);
        end.acked = [1, 6];
        let both = [
            short.syn(),
            short.syn_ack(),
            short.segment(Side::Client, 0, ACK | PSH, b"hello"),
            end.segment(Side::Client, 5, ACK | FIN, b""),
            end.segment(Side::Server, 0, ACK | FIN, b""),
            end.segment(Side::Client, 6, ACK, b""),
        ];
        frames.extend(both.iter().map(common::frame::Segment::ip));
    }
    frames
}

fn run(engine: &mut Engine, number: u64) -> u64 {
    let frames = round(number);
    let time = 1000 * SECOND + number * 20 * MS;
    let packet = |data| Packet {
        time,
        interface: 0,
        link: LinkType::Ip,
        data,
        more: &[],
        cut: 0,
        checksum: monitor_engine::Checksum::Unknown,
    };
    let packets: Vec<Packet<'_>> = frames.iter().map(|frame| packet(&frame[..])).collect();
    allocation_counter::measure(|| engine.process(&packets)).count_total
}

#[test]
fn no_packet_allocates() {
    let mut config = EngineConfig {
        memory: 16 << 20,
        window: 128 << 10,
        seed: [5, 6],
        ..EngineConfig::default()
    };
    config.tcp.linger = Some(SECOND);
    let seen = allocation_counter::measure(|| drop(std::hint::black_box(vec![0u8; 9])));
    assert_eq!(seen.count_total, 1, "the counter counts");
    let mut engine = Engine::new(config, ()).unwrap();
    for number in 0..WARM {
        run(&mut engine, number);
    }
    let counters = engine.counters();
    let count = |name| counters.each().find(|counter| counter.1 == name).unwrap().3;
    let before = ["segments", "gaps", "closed", "evicted_bytes"].map(count);
    let allocations: u64 = (WARM..WARM + MEASURED)
        .map(|number| run(&mut engine, number))
        .sum();
    let after = ["segments", "gaps", "closed", "evicted_bytes"].map(count);
    for (before, after) in before.iter().zip(after) {
        assert!(
            *before > 0 && after > before + 100,
            "too little happened: {before} to {after}"
        );
    }
    assert_eq!(
        allocations,
        0,
        "allocations for {} segments",
        after[0] - before[0]
    );
}

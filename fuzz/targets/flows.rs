//! Many flows, any flags and numbers, in little memory: every byte held was sent at that sequence number of that flow,
//! and nothing grows past the budget.
#![no_main]

#[path = "../../monitor-engine/tests/common/mod.rs"]
mod common;

use common::frame::Segment;
use common::{Flow, Lab};
use libfuzzer_sys::fuzz_target;
use monitor_engine::{EngineConfig, OverlapPolicy, Side};

/// Returns the byte that an end sends with a sequence number.
fn content(flow: u32, from: Side, seq: u32) -> u8 {
    (seq.wrapping_mul(2_654_435_761) >> 24) as u8 ^ flow as u8 ^ (from.index() as u8) << 7
}

fn segment(step: &[u8]) -> (u32, Segment) {
    let number = u32::from(step[0] & 31);
    let from = if step[0] & 32 == 0 {
        Side::Client
    } else {
        Side::Server
    };
    let base = [0u32, 0xffff_ff00, 0x7fff_ff00, 1 << 20][usize::from(step[0] >> 6)];
    let spread = i32::from(i16::from_be_bytes([step[1], step[2]]));
    let seq = base.wrapping_add_signed(if step[3] & 1 == 0 {
        spread % 300
    } else {
        spread << (step[3] >> 4)
    });
    let flow = Flow::numbered(number);
    let mut segment = flow.segment(from, 0, 0, b"");
    segment.seq = seq;
    segment.flags = step[4] & 0x3f;
    segment.ack = base.wrapping_add_signed(i32::from(i16::from_be_bytes([step[5], step[6]])));
    segment.window = u16::from_be_bytes([step[5], step[7]]);
    let len = if step[3] & 2 == 0 {
        usize::from(step[7]) % 60
    } else {
        usize::from(step[7]) * 16
    };
    let first = seq.wrapping_add(u32::from(segment.flags & common::frame::SYN != 0));
    segment.payload = (0..len as u32)
        .map(|at| content(number, from, first.wrapping_add(at)))
        .collect();
    (number, segment)
}

fuzz_target!(|input: &[u8]| {
    let Some((&[head, window], steps)) = input.split_first_chunk::<2>() else {
        return;
    };
    let policy = [
        OverlapPolicy::First,
        OverlapPolicy::Last,
        OverlapPolicy::Bsd,
        OverlapPolicy::Linux,
    ];
    let mut config = EngineConfig {
        memory: 1 << 20,
        window: 1 + u64::from(window) * 300,
        ..Lab::config()
    };
    config.tcp.overlap = policy[usize::from(head & 3)];
    config.tcp.max_ranges = 1 + usize::from(head >> 2);
    config.tcp.linger = Some(common::S);
    config.tcp.idle_timeout = Some(5 * common::S);
    let mut lab = Lab::with(config);
    for step in steps.chunks_exact(8).take(2000) {
        let (_, segment) = segment(step);
        lab.now += u64::from(step[6]) * common::MS;
        lab.ip(&segment.ip());
    }
    assert!(lab.count("used") <= lab.count("budget"));
    for connection in lab.connections() {
        let number = u32::from(connection.client.port().max(connection.server.port())) - 40_000;
        for side in Side::BOTH {
            // Without an initial sequence number only the engine knows offset 0.
            let runs = lab.runs(connection.id, side);
            let Some(isn) = connection.sides[side.index()].isn else {
                continue;
            };
            let from = sender(&connection, side);
            for (off, bytes) in runs {
                let first = isn.wrapping_add(1).wrapping_add(off as u32);
                for (at, byte) in (0..).zip(bytes) {
                    assert_eq!(
                        byte,
                        content(number, from, first.wrapping_add(at)),
                        "{connection:?}, {side:?} {off}"
                    );
                }
            }
        }
    }
});

/// Returns the sender of the bytes of a side, as [`segment`] names the ends: by ports.
fn sender(connection: &monitor_engine::Connection, side: Side) -> Side {
    let receiver = if side == Side::Client {
        connection.client
    } else {
        connection.server
    };
    if receiver.port() == 80 {
        Side::Client
    } else {
        Side::Server
    }
}

//! Floods of tiny out-of-order segments.

use monitor_engine::{EngineConfig, Side};

use crate::common::Flow;
use crate::common::frame::{ACK, PSH};
use crate::{Attacked, Random, alone};

const C: Side = Side::Client;
const S: Side = Side::Server;
const CRUMBS: u64 = 300_000;

/// Attacks with one flow: a hole at its start, then tiny out-of-order segments at these offsets.
fn tiny_segments(mut place: impl FnMut(u64) -> u64) -> Attacked {
    let mut config = EngineConfig {
        memory: 16 << 20,
        ..EngineConfig::default()
    };
    config.tcp.max_ranges = 1024;
    let mut attacked = Attacked::new(config);
    let flow = Flow {
        scale: [Some(14), Some(14)],
        ..Flow::new()
    };
    attacked.send(&[
        flow.syn().ip(),
        flow.syn_ack().ip(),
        flow.segment(S, 0, ACK, b"").ip(),
    ]);
    let mut frame = flow.segment(C, 0, PSH, b"x").ip();
    for batch in 0..CRUMBS / 50 {
        let packets: Vec<Vec<u8>> = (0..50)
            .map(|i| {
                let off = place(batch * 50 + i) as u32;
                frame[24..28].copy_from_slice(&(flow.isn[0] + 1).wrapping_add(off).to_be_bytes());
                frame.clone()
            })
            .collect();
        attacked.send(&packets);
    }
    attacked
}

fn bounded(attacked: &Attacked) {
    attacked.held(20_000);
    let reader = attacked.engine.reader();
    let connection = reader.connections(None).next().unwrap();
    let extents = reader.extents(connection.id, S).unwrap();
    assert!(extents.runs.len() <= 1026, "{} runs", extents.runs.len());
    assert!(connection.sides[1].next > 0, "the side is not frozen");
}

#[test]
fn a_hole_and_tiny_segments_going_up() {
    let _alone = alone();
    bounded(&tiny_segments(|i| 1000 + 2 * i));
}

#[test]
fn a_hole_and_tiny_segments_far_apart() {
    let _alone = alone();
    bounded(&tiny_segments(|i| 1000 + 3000 * i));
}

#[test]
fn a_hole_and_tiny_segments_anywhere_in_the_window() {
    let _alone = alone();
    let mut random = Random(3);
    bounded(&tiny_segments(|_| 1000 + random.next() % 1_000_000));
}

#[test]
fn a_hole_and_tiny_segments_going_down() {
    let _alone = alone();
    bounded(&tiny_segments(|i| 1_000_000 - 2 * (i % 490_000)));
}

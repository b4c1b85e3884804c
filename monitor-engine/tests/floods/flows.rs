//! Floods of new flows.

use monitor_common::steer::flow_hash;
use monitor_common::wire::Address;
use monitor_engine::{EngineConfig, Side};

use crate::common::Flow;
use crate::common::frame::PSH;
use crate::{Attacked, Random, Template, alone};

const C: Side = Side::Client;

fn data() -> Template {
    Template(Flow::new().segment(C, 0, PSH, b"x").ip())
}

#[test]
fn a_million_flows_of_one_byte() {
    let _alone = alone();
    let mut attacked = Attacked::with(64 << 20);
    let mut data = data();
    let mut random = Random(8);
    for _ in 0..10_000 {
        let batch: Vec<Vec<u8>> = (0..100)
            .map(|_| data.from(random.next()).to_vec())
            .collect();
        attacked.send(&batch);
    }
    attacked.held(5000);
    assert_eq!(attacked.count("opened"), 1_000_000);
    assert_eq!(
        attacked.count("unstored_bytes"),
        0,
        "each found a place while it lived"
    );
    let reader = attacked.engine.reader();
    let mut living = 0;
    for connection in reader.connections(None) {
        // The ports, which are random too, determine the client.
        let byte = |side| {
            reader
                .peek(connection.id, side, 0, &mut [0; 2])
                .map_or(0, |peek| peek.len)
        };
        assert_eq!(
            Side::BOTH.map(byte).iter().sum::<usize>(),
            1,
            "{connection:?}"
        );
        living += 1;
    }
    assert!(living > 10_000);
}

/// Home of a hash in the engine's table, as its public source computes it: the lower half, scaled.
fn place(seed: [u64; 2], random: u64) -> u32 {
    let bytes = random.to_be_bytes();
    let src = Address::v4([bytes[0], bytes[1], bytes[2], bytes[3]]);
    let port = u16::from_be_bytes([bytes[4], bytes[5]]);
    flow_hash(seed, (src, port), (Address::v4([192, 0, 2, 1]), 80)) as u32
}

/// Flows chosen to fall into one place of the table under the seed that the attacker believes in.
fn colliding(believed: [u64; 2], count: usize) -> Vec<u64> {
    let mut random = Random(9);
    std::iter::repeat_with(|| random.next() & !0xffff)
        .filter(|&r| place(believed, r) >> 22 == 5)
        .take(count)
        .collect()
}

fn time_each(seed: [u64; 2], flows: &[u64]) -> u64 {
    let config = EngineConfig {
        memory: 64 << 20,
        seed,
        ..EngineConfig::default()
    };
    let mut attacked = Attacked::new(config);
    let mut data = data();
    for _ in 0..20 {
        for chunk in flows.chunks(50) {
            let batch: Vec<Vec<u8>> = chunk.iter().map(|&flow| data.from(flow).to_vec()).collect();
            attacked.send(&batch);
        }
    }
    attacked.held(1_000_000);
    assert_eq!(attacked.count("opened"), flows.len() as u64);
    attacked.spent / attacked.packets
}

#[test]
fn collisions_chosen_without_the_seed_do_not_collide() {
    let _alone = alone();
    let believed = [0, 0];
    let flows = colliding(believed, 5000);
    let unknown = time_each([0x0123_4567_89ab_cdef, 0xfeed_f00d], &flows);
    let known = time_each(believed, &flows);
    assert!(
        known > 2 * unknown,
        "the attack works where the seed is known ({known} ns against {unknown})"
    );
    assert!(unknown < 2000, "{unknown} ns a packet");
}

//! Fragments of a few datagrams, cut anywhere, in any order: reassembled datagrams equal the original ones.
#![no_main]

#[path = "../../monitor-engine/tests/common/mod.rs"]
mod common;

use common::frame::{PSH, Part, fragment};
use common::{Flow, Lab};
use libfuzzer_sys::fuzz_target;
use monitor_engine::{EngineConfig, Side};

/// Bytes of the segment that a datagram carries.
const LEN: usize = 1200;

fn content(flow: u32, at: usize) -> u8 {
    (at as u32).wrapping_mul(2_654_435_761).wrapping_add(flow) as u8
}

fuzz_target!(|input: &[u8]| {
    let mut lab = Lab::with(EngineConfig {
        memory: 1 << 20,
        ..Lab::config()
    });
    let whole: Vec<Vec<u8>> = (0..4)
        .map(|number| {
            let flow = if number % 2 == 0 {
                Flow::numbered(number)
            } else {
                Flow::between(&format!("[2001:db8::{number}]:40000"), "[2001:db8::ff]:80")
            };
            let bytes: Vec<u8> = (0..LEN).map(|at| content(number, at)).collect();
            flow.segment(Side::Client, 0, PSH, &bytes).ip()
        })
        .collect();
    for step in input.chunks_exact(6).take(300) {
        let datagram = &whole[usize::from(step[0] & 3)];
        let header = if step[0] & 1 == 0 { 20 } else { 40 };
        let most = datagram.len() - header;
        let start = (usize::from(step[1]) * 8).min(most);
        let len = usize::from(u16::from_be_bytes([step[2], step[3]])) % 700;
        let end = if step[0] & 4 == 0 {
            (start + len / 8 * 8).min(most)
        } else {
            most
        };
        let more = if step[0] & 8 == 0 {
            end < most
        } else {
            step[0] & 16 != 0
        };
        // Two datagrams of one pair of hosts that share an identification cannot be distinguished (RFC 6864).
        let identification = u32::from(step[0] & 3) << 3 | u32::from(step[0] >> 5);
        let mut piece = fragment(datagram, identification, Part { start, end, more });
        if step[0] & 24 == 24 {
            let at = usize::from(step[4]) % header.min(piece.len());
            // Any header byte changed, but for those that would make it another datagram's.
            if !matches!(at, 4..6 | 12..20) && step[0] & 1 == 0 {
                piece[at] ^= step[5];
            }
        } else if step[5] > 250 {
            lab.wait(u64::from(step[4]) * 200);
        }
        lab.ip(&piece);
        assert!(lab.count("used") <= lab.count("budget"));
    }
    for connection in lab.connections() {
        for side in Side::BOTH {
            for (off, bytes) in lab.runs(connection.id, side) {
                let known = (0..4).any(|number| {
                    bytes
                        .iter()
                        .zip(off as usize..)
                        .all(|(byte, at)| *byte == content(number, at))
                });
                assert!(
                    known,
                    "{connection:?} holds what nobody sent at {off}: {bytes:?}"
                );
            }
        }
    }
});

//! Forged segments, and the limits of their effect.

use monitor_engine::Side;

use crate::common::frame::{ACK, PSH, RST, SYN};
use crate::common::{Flow, Lab};

const C: Side = Side::Client;
const S: Side = Side::Server;

#[test]
fn a_syn_that_also_resets_does_not_move_offset_0() {
    let (mut lab, mut flow) = (Lab::new(), Flow::new());
    flow.open(&mut lab);
    let mut forged = flow.segment(C, 700, SYN | RST, b"");
    forged.flags = SYN | RST;
    lab.ip(&forged.ip());
    flow.send(&mut lab, C, b"hello");
    assert_eq!(lab.text(S), "hello");
    assert_eq!(lab.side(S).isn, Some(1000));
}

#[test]
fn every_combination_of_flags_is_survived() {
    let (mut lab, mut flow) = (Lab::new(), Flow::new());
    flow.open(&mut lab);
    flow.send(&mut lab, C, b"hello");
    let id = lab.only().id;
    for flags in 0..=255u8 {
        for off in [-1i64, 0, 5, 100, 1 << 31] {
            let mut segment = flow.segment(C, off, 0, if flags % 2 == 0 { b"" } else { b"??" });
            segment.flags = flags;
            lab.ip(&segment.ip());
        }
    }
    assert_eq!(lab.peek(id, S, 0, 5).unwrap(), b"hello");
}

#[test]
fn an_acknowledgment_without_a_number_means_nothing() {
    let (mut lab, mut flow) = (Lab::new(), Flow::new());
    flow.open(&mut lab);
    flow.send(&mut lab, C, b"hello");
    let mut mute = flow.segment(S, 0, PSH, b"");
    mute.flags &= !ACK;
    mute.ack = flow.isn[0].wrapping_add(60_000);
    lab.ip(&mute.ip());
    flow.at(&mut lab, C, 5 + 65_535 + 30_000, b"beyond");
    assert_eq!(lab.side(S).end, 5);
}

//! Floods of fragments.

use monitor_engine::Side;

use crate::common::Flow;
use crate::common::frame::{PSH, Part, fragment, fragments};
use crate::{Attacked, Random, alone};

const C: Side = Side::Client;

/// A real datagram in pieces, among the flood.
fn a_real_one_completes(attacked: &mut Attacked) {
    let before = attacked.count("reassembled");
    let flow = Flow::numbered(77);
    attacked.send(&fragments(
        &flow.segment(C, 0, PSH, &[7; 3000]).ip(),
        12345,
        1480,
    ));
    assert_eq!(attacked.count("reassembled"), before + 1);
}

fn flood(batches: u64, first: Vec<u8>, nanoseconds_each: u64, mut next: impl FnMut(&mut Vec<u8>)) {
    let _alone = alone();
    let mut attacked = Attacked::with(64 << 20);
    let mut frame = first;
    for batch in 0..batches {
        let packets: Vec<Vec<u8>> = (0..50)
            .map(|_| {
                next(&mut frame);
                frame.clone()
            })
            .collect();
        attacked.send(&packets);
        if batch % 1000 == 0 {
            a_real_one_completes(&mut attacked);
        }
    }
    attacked.held(nanoseconds_each);
}

fn piece(len: usize) -> Vec<u8> {
    let whole = Flow::new().segment(C, 0, PSH, &vec![1; len + 200]).ip();
    fragment(
        &whole,
        1,
        Part {
            start: 0,
            end: len,
            more: true,
        },
    )
}

/// Fifty fragments a batch.
const MILLION: u64 = 1_000_000 / 50;

fn random_source(seed: u64) -> impl FnMut(&mut Vec<u8>) {
    let mut random = Random(seed);
    move |frame| frame[12..16].copy_from_slice(&random.next().to_be_bytes()[..4])
}

#[test]
fn a_million_fragments_of_as_many_datagrams() {
    flood(MILLION, piece(64), 10_000, random_source(4));
}

#[test]
fn full_size_fragments_of_as_many_datagrams() {
    flood(MILLION / 4, piece(1480), 10_000, random_source(5));
}

#[test]
fn last_fragments_that_claim_the_whole_size() {
    // Eight bytes each, but at the far end of a datagram of 64 KiB: the memory reserved for them is bounded too.
    let mut frame = piece(8);
    frame[6..8].copy_from_slice(&(0x1ff0u16).to_be_bytes());
    flood(MILLION / 4, frame, 30_000, random_source(6));
}

#[test]
fn a_million_fragments_of_one_datagram() {
    let mut random = Random(7);
    flood(MILLION, piece(8), 10_000, |frame| {
        let field = 0x2000 | (random.next() as u16 & 0x1fff);
        frame[6..8].copy_from_slice(&field.to_be_bytes());
    });
}

//! Range sets against a bitmap.

use proptest::prelude::*;

use super::*;
use crate::store::header::{Identity, Sizes};

fn ranges(arena: &Arena, head: &Cell32) -> Vec<ByteRange> {
    let mut ranges = Vec::new();
    for_each_range(arena, head.get(), |range| {
        ranges.push(range);
        true
    });
    ranges
}

/// The reference model: a bit for each offset.
fn expected(bits: &[bool]) -> Vec<ByteRange> {
    let mut ranges: Vec<ByteRange> = Vec::new();
    for (at, _) in bits.iter().enumerate().filter(|(_, bit)| **bit) {
        let at = at as u64;
        match ranges.last_mut().filter(|range| range.end == at) {
            Some(range) => range.end += 1,
            None => ranges.push(ByteRange::new(at, at + 1)),
        }
    }
    ranges
}

#[derive(Clone, Debug)]
enum Op {
    Add(usize, usize),
    Below(usize),
    Take(usize),
}

fn op() -> impl Strategy<Value = Op> {
    prop_oneof![
        20 => (0..2000usize, 1..4usize).prop_map(|(at, len)| Op::Add(at, len)),
        1 => (0..300usize).prop_map(Op::Below),
        1 => (0..2000usize).prop_map(Op::Take),
    ]
}

proptest! {
    #[test]
    fn a_range_set_behaves_like_a_bitmap(ops in prop::collection::vec(op(), 1..900)) {
        let arena = Arena::reserve(Sizes::new(1, 64), Identity::default(), false).unwrap();
        let mut allocator = BlockAllocator::new(64);
        let head = Cell32::default();
        let mut bits = vec![false; 2100];
        let mut set = RangeSet { arena: &arena, allocator: &mut allocator, head: &head };
        for op in ops {
            match op {
                Op::Add(at, len) => {
                    set.add(ByteRange::new(at as u64, (at + len) as u64)).unwrap();
                    bits[at..at + len].fill(true);
                }
                Op::Below(off) => {
                    set.remove_below(off as u64);
                    bits[..off].fill(false);
                }
                Op::Take(at) => {
                    let at = at as u64;
                    let touching = expected(&bits).into_iter()
                        .find(|range| range.end >= at).filter(|range| range.start <= at);
                    prop_assert_eq!(set.take_touching(at), touching);
                    if let Some(range) = touching {
                        bits[range.start as usize..range.end as usize].fill(false);
                    }
                }
            }
            prop_assert_eq!(ranges(&arena, &head), expected(&bits));
        }
        prop_assert_eq!(set.len(), expected(&bits).len());
        set.clear();
        prop_assert_eq!(allocator.used(), 0);
    }
}

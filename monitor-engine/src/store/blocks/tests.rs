//! Block trees against a map, under sliding windows.

#![expect(
    clippy::unwrap_used,
    reason = "a test says what it expects by unwrapping it"
)]

use super::*;
use crate::store::header::{Identity, Sizes};

fn check(window: u64, steps: impl Iterator<Item = u64>) {
    let arena = Arena::reserve(Sizes::new(1, 100_000), Identity::default(), false).unwrap();
    let mut allocator = BlockAllocator::new(100_000);
    let record = arena.record(0).unwrap();
    let side = record.sides()[0];
    let mut model = std::collections::BTreeMap::new();
    let mut first = 0;
    for last in steps {
        let mut blocks = Blocks {
            arena: &arena,
            allocator: &mut allocator,
            side,
        };
        let keep = last.saturating_sub(window - 1).max(first);
        let old = model.keys().next_back().map_or(first, |l| l + 1);
        blocks.release(first, keep.min(old.max(first)));
        first = keep;
        model = model.split_off(&first);
        if blocks.must_grow(first, last) {
            blocks.grow(first, last).unwrap();
        }
        model.insert(last, blocks.ensure(last).unwrap());
        for (&number, &id) in &model {
            assert_eq!(
                Roots::of(side).find(&arena, number),
                Some(id),
                "block {number}"
            );
        }
        let distinct: std::collections::BTreeSet<_> = model.values().collect();
        assert_eq!(distinct.len(), model.len());
    }
    let end = model.keys().next_back().map_or(first, |l| l + 1);
    Blocks {
        arena: &arena,
        allocator: &mut allocator,
        side,
    }
    .release_all(first, end);
    assert_eq!(allocator.used(), 0, "every block is free again");
}

#[test]
fn a_window_of_direct_blocks_slides() {
    check(DIRECT, 0..50);
}

#[test]
fn a_window_of_one_index_block_slides() {
    check(FANOUT, 0..1500);
}

#[test]
fn a_window_of_two_levels_slides_over_the_wrap() {
    check(
        700,
        (0..3000).chain(FANOUT * FANOUT - 900..FANOUT * FANOUT + 900),
    );
}

#[test]
fn holes_between_blocks_are_skipped() {
    check(FANOUT * 40, (0..400).map(|i| i * 97));
}

#[test]
fn a_full_allocator_is_an_error_and_leaks_nothing() {
    let arena = Arena::reserve(Sizes::new(1, 6), Identity::default(), false).unwrap();
    let mut allocator = BlockAllocator::new(6);
    let side = arena.record(0).unwrap().sides()[0];
    let mut blocks = Blocks {
        arena: &arena,
        allocator: &mut allocator,
        side,
    };
    for number in 0..DIRECT {
        blocks.ensure(number).unwrap();
    }
    blocks.grow(0, 4).unwrap();
    for number in DIRECT..5 {
        blocks.ensure(number).unwrap();
    }
    assert_eq!(blocks.ensure(5), Err(Full));
    assert_eq!(blocks.allocator.used(), 6);
    blocks.release_all(0, 5);
    assert_eq!(allocator.used(), 0);
}

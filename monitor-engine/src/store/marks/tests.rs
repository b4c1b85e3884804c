//! Rings of marks against a list.

use std::collections::VecDeque;

use proptest::prelude::*;

use super::*;
use crate::store::blocks::BlockAllocator;
use crate::store::header::{Identity, Sizes};

fn read(arena: &Arena, side: SideRecord<'_>) -> Vec<Mark> {
    let mut marks = Vec::new();
    Ends::of(arena, side).each(arena, |mark| {
        marks.push(mark);
        true
    });
    marks
}

#[derive(Clone, Debug)]
enum Op {
    /// Appends a mark this many bytes after the last one.
    Append(u64),
    /// Raises the base to this part of the last offset, in percent.
    Below(u64),
}

fn op() -> impl Strategy<Value = (usize, Op)> {
    let op = prop_oneof![
        9 => (0..100u64).prop_map(Op::Append),
        1 => (0..=100u64).prop_map(Op::Below),
    ];
    (0..2usize, op)
}

proptest! {
    #[test]
    fn a_ring_holds_the_newest_marks(ops in prop::collection::vec(op(), 1..600)) {
        const MOST: u64 = 40;
        let arena = Arena::reserve(Sizes::new(1, 8), Identity::default(), false).unwrap();
        let (mut blocks, mut chunks) = (BlockAllocator::new(8), ChunkAllocator::default());
        let record = arena.record(0).unwrap();
        let mut models = [VecDeque::new(), VecDeque::new()];
        for (time, (index, op)) in ops.into_iter().enumerate() {
            let side = record.sides()[index];
            let model = &mut models[index];
            let mut marks =
                Marks { arena: &arena, chunks: &mut chunks, blocks: &mut blocks, record, side };
            match op {
                Op::Append(step) => {
                    let newest = model.back().map(|mark: &Mark| mark.off);
                    let mark = Mark { off: newest.unwrap_or(0) + step, time: time as u64 };
                    if newest == Some(mark.off) {
                        model.pop_back();
                    }
                    model.push_back(mark);
                    let mut is_set = false;
                    marks.append(mark, MOST, |set| is_set = set);
                    prop_assert!(is_set);
                    prop_assert_eq!(last(&arena, side), Some(mark));
                }
                Op::Below(percent) => {
                    let base = model.back().map_or(0, |mark| mark.off) * percent / 100;
                    marks.remove_below(base);
                    // The mark of the oldest retained byte stays, and at most a chunk before it.
                    let needed = model.iter().rposition(|mark| mark.off <= base).unwrap_or(0);
                    let read = read(&arena, side);
                    let gone = model.len() - read.len();
                    prop_assert!(gone <= needed && needed - gone < PER_CHUNK);
                    model.drain(..gone);
                }
            }
            // The bound removes whole chunks.
            let read = read(&arena, side);
            let gone = model.len() - read.len();
            prop_assert!(gone <= PER_CHUNK);
            model.drain(..gone);
            prop_assert_eq!(&read, &*model.make_contiguous());
            prop_assert!(read.len() <= MOST as usize * PER_CHUNK);
        }
        for side in record.sides() {
            let newest = side.stored.marks.get();
            Marks { arena: &arena, chunks: &mut chunks, blocks: &mut blocks, record, side }
                .free_ring(newest);
        }
        prop_assert_eq!(blocks.used(), 0, "every block is free again");
    }
}

#[test]
fn without_memory_the_oldest_marks_go() {
    let arena = Arena::reserve(Sizes::new(1, 1), Identity::default(), false).unwrap();
    let (mut blocks, mut chunks) = (BlockAllocator::new(1), ChunkAllocator::default());
    let record = arena.record(0).unwrap();
    let [one, two] = record.sides();
    let mut append = |side, off| {
        let mut is_set = false;
        let mark = Mark { off, time: off + 1 };
        Marks {
            arena: &arena,
            chunks: &mut chunks,
            blocks: &mut blocks,
            record,
            side,
        }
        .append(mark, 1000, |set| is_set = set);
        is_set
    };
    for off in 0..200 {
        assert!(append(one, off));
    }
    let read = read(&arena, one);
    assert_eq!(read.len(), 92, "30 full chunks and a newest one with two");
    assert_eq!(read.last().unwrap().off, 199);
    assert!(!append(two, 0), "a side without marks gets none");
}

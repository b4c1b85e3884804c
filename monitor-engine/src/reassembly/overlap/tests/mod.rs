//! Overlap policies against a reference model, byte for byte, through the receiver.

mod bench;
mod model;

use proptest::prelude::*;

use super::OooQueues;
use crate::payload::Payload;
use crate::{Event, OverlapPolicy, Side};
use bench::Bench;
use model::ReferenceModel;

/// Number of offsets that the segments of a case use.
const SPAN: usize = 64;

/// Segment of bytes with a single value.
#[derive(Clone, Copy, Debug)]
struct Segment {
    start: u64,
    end: u64,
    byte: u8,
}

fn segments() -> impl Strategy<Value = Vec<Segment>> {
    let segment = (0..SPAN as u64 - 16, 1..16u64);
    prop::collection::vec(segment, 1..40).prop_map(|list| {
        let numbered = list.into_iter().zip(1..);
        numbered
            .map(|((start, len), byte)| Segment {
                start,
                end: start + len,
                byte,
            })
            .collect()
    })
}

/// Segments beyond a hole at 0 that is filled at the end: long queues.
fn beyond_a_hole() -> impl Strategy<Value = Vec<Segment>> {
    let segment = (1..SPAN as u64 - 6, 1..6u64);
    prop::collection::vec(segment, 2..60).prop_map(|list| {
        let fill = (0, 1);
        let numbered = list.into_iter().chain([fill]).zip(1..);
        numbered
            .map(|((start, len), byte)| Segment {
                start,
                end: start + len,
                byte,
            })
            .collect()
    })
}

fn agree(policy: OverlapPolicy, segments: &[Segment]) -> Result<(), TestCaseError> {
    let (mut bench, mut model) = (Bench::new(policy, 1000), ReferenceModel::new(policy));
    for &segment in segments {
        bench.segment(segment);
        model.segment(segment);
        prop_assert_eq!(bench.view(), model.view(), "{:?}", segment);
        prop_assert_eq!(bench.record().side(Side::Server).next.get(), model.next());
    }
    prop_assert_eq!(bench.counters.conflict_bytes.get(), model.conflicts);
    prop_assert_eq!(bench.counters.ambiguous_bytes.get(), model.ambiguous);
    prop_assert_eq!(bench.counters.keepalives.get(), model.keepalives);
    prop_assert_eq!(bench.counters.overlap_history_full.get(), 0);
    bench.receiver().finish();
    prop_assert_eq!(bench.writer.queues.used(), 0, "every node is free again");
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn first_agrees_with_the_reference_model(segments in segments()) {
        agree(OverlapPolicy::First, &segments)?;
    }

    #[test]
    fn last_agrees_with_the_reference_model(segments in segments()) {
        agree(OverlapPolicy::Last, &segments)?;
    }

    #[test]
    fn bsd_agrees_with_the_reference_model(segments in prop_oneof![segments(), beyond_a_hole()]) {
        agree(OverlapPolicy::Bsd, &segments)?;
    }

    #[test]
    fn linux_agrees_with_the_reference_model(segments in prop_oneof![segments(), beyond_a_hole()]) {
        agree(OverlapPolicy::Linux, &segments)?;
    }

    #[test]
    fn an_untracked_queue_changes_only_contents(segments in prop_oneof![segments(), beyond_a_hole()]) {
        for policy in [OverlapPolicy::Linux, OverlapPolicy::Bsd] {
            let (mut short, mut long) = (Bench::new(policy, 8), Bench::new(policy, 1000));
            for &segment in &segments {
                short.segment(segment);
                long.segment(segment);
                let received = |bench: &Bench| bench.view().iter().map(Option::is_some).collect::<Vec<_>>();
                prop_assert_eq!(received(&short), received(&long));
            }
        }
    }
}

fn segment(start: u64, end: u64, byte: u8) -> Segment {
    Segment { start, end, byte }
}

#[test]
fn a_queue_too_long_is_counted_and_tracked_again_after_the_hole() {
    let mut bench = Bench::new(OverlapPolicy::Linux, 8);
    for at in [10, 20, 30, 40] {
        bench.segment(segment(at, at + 5, b'a'));
    }
    assert_eq!(
        bench.counters.overlap_history_full.get(),
        1,
        "two of four fit"
    );
    assert_eq!(bench.writer.queues.used(), 0);
    bench.segment(segment(8, 12, b'b'));
    assert_eq!(bench.view()[10], Some(b'b'), "it starts further left");
    bench.segment(segment(0, 45, b'c'));
    assert!(!OooQueues::untracked(
        &bench.record().side(Side::Server).cold.ooo_queue
    ));
    bench.segment(segment(50, 60, b'd'));
    assert_eq!(
        bench.writer.queues.used(),
        OooQueues::BYTES,
        "the next queue is tracked"
    );
    bench.receiver().release();
    assert_eq!(bench.writer.queues.used(), 0);
}

#[test]
fn late_copies_are_distinguished_from_ambiguous_ones() {
    let mut bench = Bench::new(OverlapPolicy::Linux, 8);
    bench.segment(segment(0, 10, b'a'));
    bench.segment(segment(4, 6, b'b'));
    bench.segment(segment(20, 30, b'c'));
    bench.segment(segment(18, 24, b'd'));
    let conflicts: Vec<(u64, u64, bool)> = bench
        .events
        .iter()
        .filter_map(|event| match *event {
            Event::Conflict { off, len, late, .. } => Some((off, len, late)),
            _ => None,
        })
        .collect();
    assert_eq!(conflicts, [(4, 2, true), (20, 4, false)]);
    assert_eq!(bench.counters.conflict_bytes.get(), 6);
    assert_eq!(bench.counters.ambiguous_bytes.get(), 4);
    assert_eq!(
        (bench.view()[5], bench.view()[20]),
        (Some(b'a'), Some(b'd'))
    );
}

#[test]
fn a_fin_is_queued_like_a_byte() {
    let mut bench = Bench::new(OverlapPolicy::Linux, 8);
    bench.segment(segment(10, 14, b'a'));
    bench.record().side(Side::Server).set_fin(14);
    let again = |bench: &mut Bench, byte: u8, fin: bool| {
        bench
            .receiver()
            .segment(10, &Payload::new(&[byte; 4], &[], 4), fin);
        bench.view()[10]
    };
    assert_eq!(
        again(&mut bench, b'b', false),
        Some(b'a'),
        "nothing new in it"
    );
    assert_eq!(
        again(&mut bench, b'c', true),
        Some(b'c'),
        "longer by the FIN"
    );
    assert_eq!(again(&mut bench, b'd', true), Some(b'c'));
    bench.receiver().finish();
    assert_eq!(bench.writer.queues.used(), 0);
}

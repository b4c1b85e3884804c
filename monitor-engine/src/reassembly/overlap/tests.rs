//! Each policy against an obvious twin, byte for byte, through the receiver.

use std::sync::Arc;

use proptest::prelude::*;

use super::tree::{LEFT, RIGHT, Tree};
use super::*;
use crate::payload::Payload;
use crate::reassembly::{Limits, Receiver, WriterState};
use crate::store::arena::Arena;
use crate::store::record::{NO_FIN, Record, flag};
use crate::{Counters, Event, Reader, Side, SockId};

/// Offsets that the segments of a case lie in.
const SPAN: usize = 64;

/// A segment whose bytes all have one value.
#[derive(Clone, Copy, Debug)]
struct Segment {
    start: u64,
    end: u64,
    byte: u8,
}

/// One side of one connection.
struct Bench {
    arena: Arc<Arena>,
    writer: WriterState,
    counters: Counters,
    events: Vec<Event>,
}

impl Bench {
    fn new(policy: OverlapPolicy, waiting: u32) -> Self {
        let arena = Arc::new(Arena::reserve(1, 64).unwrap());
        let record = arena.record(0).unwrap();
        record.generation.set(1);
        record.flags.set(flag::ESTABLISHED);
        record.set_overlap([OverlapPolicy::First, policy]);
        record.side(Side::Server).fin.set(NO_FIN);
        let writer = WriterState::new(64, waiting);
        Self {
            arena,
            writer,
            counters: Counters::default(),
            events: Vec::new(),
        }
    }

    fn receiver(&mut self) -> Receiver<'_, Vec<Event>> {
        Receiver {
            arena: &self.arena,
            writer: &mut self.writer,
            counters: &self.counters,
            sink: &mut self.events,
            limits: Limits {
                window: 1 << 16,
                ranges: 1000,
            },
            id: SockId::new(0, 0, 0),
            name: Side::Server,
            record: self.arena.record(0).unwrap(),
        }
    }

    fn segment(&mut self, segment: Segment) {
        let bytes = vec![segment.byte; (segment.end - segment.start) as usize];
        self.receiver().segment(
            segment.start as i64,
            &Payload::new(&bytes, &[], bytes.len()),
            false,
        );
    }

    fn record(&self) -> &Record {
        self.arena.record(0).unwrap()
    }

    /// What is there, offset by offset.
    fn view(&self) -> Vec<Option<u8>> {
        let reader = Reader::new(Arc::clone(&self.arena), 0);
        let id = SockId::new(0, 0, 0);
        let byte = |off| {
            let mut byte = [0];
            reader
                .peek(id, Side::Server, off, &mut byte)
                .ok()
                .filter(|peek| peek.len == 1)
                .map(|_| byte[0])
        };
        (0..SPAN as u64).map(byte).collect()
    }
}

/// A queued segment of the twin, with its own copy of its bytes.
#[derive(Clone, Debug)]
struct Queued {
    start: u64,
    bytes: Vec<u8>,
}

impl Queued {
    fn end(&self) -> u64 {
        self.start + self.bytes.len() as u64
    }

    fn byte(&self, off: u64) -> Option<u8> {
        self.bytes
            .get(usize::try_from(off.checked_sub(self.start)?).ok()?)
            .copied()
    }
}

/// The obvious twin: the bytes that the application got, and a list of what waits, in the order of arrival. Only the
/// shape of the kernel's tree, which says whom a search meets, is taken from a tree of its own.
struct Twin {
    policy: OverlapPolicy,
    delivered: Vec<u8>,
    queue: Vec<Queued>,
    nodes: Nodes,
    root: Cell32,
    conflicts: u64,
    ambiguous: u64,
    keepalives: u64,
}

impl Twin {
    fn new(policy: OverlapPolicy) -> Self {
        let (nodes, root) = (Nodes::new(100), Cell32::default());
        let (delivered, queue) = (Vec::new(), Vec::new());
        Self {
            policy,
            delivered,
            queue,
            nodes,
            root,
            conflicts: 0,
            ambiguous: 0,
            keepalives: 0,
        }
    }

    fn next(&self) -> u64 {
        self.delivered.len() as u64
    }

    fn waiting(&self, off: u64) -> Option<u8> {
        let mut carriers = self
            .queue
            .iter()
            .filter(|queued| queued.byte(off).is_some());
        match self.policy {
            OverlapPolicy::First => carriers.next(),
            OverlapPolicy::Last => carriers.next_back(),
            // Of several with the lowest start: the first to arrive.
            OverlapPolicy::Bsd | OverlapPolicy::Linux => carriers.min_by_key(|queued| queued.start),
        }?
        .byte(off)
    }

    fn view(&self) -> Vec<Option<u8>> {
        let byte = |off| {
            self.delivered
                .get(off as usize)
                .copied()
                .or_else(|| self.waiting(off))
        };
        (0..SPAN as u64).map(byte).collect()
    }

    fn segment(&mut self, segment: Segment) {
        if self.count(segment) {
            return;
        }
        let Segment { start, end, byte } = segment;
        let next = self.next();
        if self.policy == OverlapPolicy::Last {
            let old = end.min(next);
            self.delivered
                .get_mut(start as usize..old as usize)
                .unwrap_or_default()
                .fill(byte);
        }
        if end <= next {
            return;
        }
        let arrived = Queued {
            start,
            bytes: vec![byte; (end - start) as usize],
        };
        match self.policy {
            OverlapPolicy::Linux | OverlapPolicy::Bsd if start <= next => {
                self.delivered.resize(end as usize, byte);
            }
            OverlapPolicy::Linux => self.queue_as_linux(arrived),
            _ => self.queue.push(arrived),
        }
        self.deliver();
    }

    /// Counts what differs; true for a keep-alive probe.
    fn count(&mut self, segment: Segment) -> bool {
        let (view, next) = (self.view(), self.next());
        let differs = |off: &u64| view[*off as usize].is_some_and(|byte| byte != segment.byte);
        let highest = view
            .iter()
            .rposition(Option::is_some)
            .map_or(0, |at| at as u64 + 1);
        if segment.end - segment.start == 1
            && segment.end == next
            && next == highest
            && differs(&segment.start)
        {
            self.keepalives += 1;
            return true;
        }
        let differing: Vec<u64> = (segment.start..segment.end).filter(differs).collect();
        self.conflicts += differing.len() as u64;
        self.ambiguous += differing.iter().filter(|off| **off >= next).count() as u64;
        false
    }

    fn deliver(&mut self) {
        while let Some(byte) = self.waiting(self.next()) {
            self.delivered.push(byte);
        }
        let next = self.next();
        self.queue.retain(|queued| queued.end() > next);
        Tree {
            nodes: &mut self.nodes,
            root: &self.root,
        }
        .erase_up_to(next);
    }

    fn queue_as_linux(&mut self, arrived: Queued) {
        let (start, end) = (arrived.start, arrived.end());
        let mut tree = Tree {
            nodes: &mut self.nodes,
            root: &self.root,
        };
        let last = tree.last();
        // The last of all is looked at first, and nobody else by a segment beyond it.
        let mut met = if last == NIL { Vec::new() } else { vec![last] };
        if last != NIL && start < tree.run(last).1 {
            met = tree.way_to(start);
        }
        for &id in &met {
            let (low, high) = tree.run(id);
            let queued = self
                .queue
                .iter()
                .position(|queued| queued.start == low)
                .unwrap();
            if low <= start && end <= high {
                return;
            }
            if low == start {
                tree.set_end(id, end);
                self.queue[queued] = arrived;
                return self.drop_covered(start, end);
            }
            if high == start {
                tree.set_end(id, end);
                return self.queue[queued].bytes.extend(arrived.bytes);
            }
        }
        let (parent, side) = match met.last() {
            Some(&parent) => (
                parent,
                if start < tree.run(parent).0 {
                    LEFT
                } else {
                    RIGHT
                },
            ),
            None => (NIL, LEFT),
        };
        tree.insert(parent, side, (start, end)).unwrap();
        self.queue.push(arrived);
        self.drop_covered(start, end);
    }

    /// One after the other to the right of `start`, until one is not covered.
    fn drop_covered(&mut self, start: u64, end: u64) {
        let right = |queued: &&Queued| queued.start > start;
        while let Some(next) = self
            .queue
            .iter()
            .filter(right)
            .min_by_key(|queued| queued.start)
            && next.end() <= end
        {
            let gone = next.start;
            self.queue.retain(|queued| queued.start != gone);
            Tree {
                nodes: &mut self.nodes,
                root: &self.root,
            }
            .erase_start(gone);
        }
    }
}

impl Tree<'_> {
    /// Those whom a search for this start meets.
    fn way_to(&self, start: u64) -> Vec<tree::Id> {
        let mut met = Vec::new();
        let mut at = self.root.get();
        while at != NIL {
            met.push(at);
            at = self.child(at, if start < self.run(at).0 { LEFT } else { RIGHT });
        }
        met
    }

    fn erase_start(&mut self, start: u64) {
        let id = self
            .way_to(start)
            .into_iter()
            .find(|id| self.run(*id).0 == start)
            .unwrap();
        self.erase(id);
    }

    fn erase_up_to(&mut self, next: u64) {
        while self.first() != NIL && self.run(self.first()).0 <= next {
            self.erase(self.first());
        }
    }
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

/// Most segments start behind a hole at 0 that is filled at the end: long queues.
fn behind_a_hole() -> impl Strategy<Value = Vec<Segment>> {
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
    let (mut bench, mut twin) = (Bench::new(policy, 1000), Twin::new(policy));
    for &segment in segments {
        bench.segment(segment);
        twin.segment(segment);
        prop_assert_eq!(bench.view(), twin.view(), "{:?}", segment);
        prop_assert_eq!(bench.record().side(Side::Server).next.get(), twin.next());
    }
    prop_assert_eq!(bench.counters.conflict_bytes.get(), twin.conflicts);
    prop_assert_eq!(bench.counters.ambiguous_bytes.get(), twin.ambiguous);
    prop_assert_eq!(bench.counters.keepalives.get(), twin.keepalives);
    prop_assert_eq!(bench.counters.overlap_history_full.get(), 0);
    bench.receiver().finish();
    prop_assert_eq!(bench.writer.queues.used(), 0, "every node came back");
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn first_agrees_with_its_twin(segments in segments()) {
        agree(OverlapPolicy::First, &segments)?;
    }

    #[test]
    fn last_agrees_with_its_twin(segments in segments()) {
        agree(OverlapPolicy::Last, &segments)?;
    }

    #[test]
    fn bsd_agrees_with_its_twin(segments in prop_oneof![segments(), behind_a_hole()]) {
        agree(OverlapPolicy::Bsd, &segments)?;
    }

    #[test]
    fn linux_agrees_with_its_twin(segments in prop_oneof![segments(), behind_a_hole()]) {
        agree(OverlapPolicy::Linux, &segments)?;
    }

    #[test]
    fn a_queue_too_long_changes_bytes_only(segments in prop_oneof![segments(), behind_a_hole()]) {
        for policy in [OverlapPolicy::Linux, OverlapPolicy::Bsd] {
            let (mut short, mut long) = (Bench::new(policy, 8), Bench::new(policy, 1000));
            for &segment in &segments {
                short.segment(segment);
                long.segment(segment);
                let there = |bench: &Bench| bench.view().iter().map(Option::is_some).collect::<Vec<_>>();
                prop_assert_eq!(there(&short), there(&long));
            }
        }
    }
}

fn segment(start: u64, end: u64, byte: u8) -> Segment {
    Segment { start, end, byte }
}

#[test]
fn a_queue_too_long_is_counted_and_followed_again_after_the_hole() {
    let mut bench = Bench::new(OverlapPolicy::Linux, 8);
    for at in [10, 20, 30, 40] {
        bench.segment(segment(at, at + 5, b'a'));
    }
    assert_eq!(
        bench.counters.overlap_history_full.get(),
        1,
        "two of four are told apart"
    );
    assert_eq!(bench.writer.queues.used(), 0);
    bench.segment(segment(8, 12, b'b'));
    assert_eq!(bench.view()[10], Some(b'b'), "it starts further left");
    bench.segment(segment(0, 45, b'c'));
    assert!(!OooQueues::untracked(
        &bench.record().side(Side::Server).ooo_queue
    ));
    bench.segment(segment(50, 60, b'd'));
    assert_eq!(
        bench.writer.queues.used(),
        OooQueues::BYTES,
        "the next hole is followed"
    );
    bench.receiver().release();
    assert_eq!(bench.writer.queues.used(), 0);
}

#[test]
fn late_copies_are_told_from_conflicts_that_matter() {
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
fn a_fin_waits_like_a_byte() {
    let mut bench = Bench::new(OverlapPolicy::Linux, 8);
    bench.segment(segment(10, 14, b'a'));
    bench.record().side(Side::Server).fin.set(14);
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

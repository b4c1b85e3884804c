//! Reference model of one side: obviously right, and slow.

use super::{SPAN, Segment};
use crate::reassembly::overlap::tree::{Id, LEFT, NIL, Nodes, RIGHT, Tree};
use crate::store::cell::Cell32;
use crate::{ByteRange, OverlapPolicy};

/// Queued segment, with its own copy of its bytes.
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

/// The bytes that the application received, and a list of the queued segments, in the order of arrival. Only the shape of
/// the kernel's tree, which determines the segments that a search compares, comes from a tree of its own.
pub struct ReferenceModel {
    policy: OverlapPolicy,
    delivered: Vec<u8>,
    queue: Vec<Queued>,
    nodes: Nodes,
    root: Cell32,
    pub conflicts: u64,
    pub ambiguous: u64,
    pub keepalives: u64,
}

impl ReferenceModel {
    pub fn new(policy: OverlapPolicy) -> Self {
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

    pub fn next(&self) -> u64 {
        self.delivered.len() as u64
    }

    fn queued(&self, off: u64) -> Option<u8> {
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

    pub fn view(&self) -> Vec<Option<u8>> {
        let byte = |off| {
            self.delivered
                .get(off as usize)
                .copied()
                .or_else(|| self.queued(off))
        };
        (0..SPAN as u64).map(byte).collect()
    }

    pub fn segment(&mut self, segment: Segment) {
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

    /// Counts the bytes that differ. Returns true for a keep-alive probe.
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
        while let Some(byte) = self.queued(self.next()) {
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
        // The kernel compares with the last segment first, and with no other if the new one is beyond it.
        let mut compared = if last == NIL { Vec::new() } else { vec![last] };
        if last != NIL && start < tree.range(last).end {
            compared = tree.search_path(start);
        }
        for &id in &compared {
            let ByteRange {
                start: low,
                end: high,
            } = tree.range(id);
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
        let (parent, side) = match compared.last() {
            Some(&parent) => (
                parent,
                if start < tree.range(parent).start {
                    LEFT
                } else {
                    RIGHT
                },
            ),
            None => (NIL, LEFT),
        };
        tree.insert(parent, side, ByteRange::new(start, end))
            .unwrap();
        self.queue.push(arrived);
        self.drop_covered(start, end);
    }

    /// Drops the segments after `start`, one by one, until one is not covered.
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
    /// Returns the nodes that a search for a start compares.
    fn search_path(&self, start: u64) -> Vec<Id> {
        let mut path = Vec::new();
        let mut at = self.root.get();
        while at != NIL {
            path.push(at);
            at = self.child(
                at,
                if start < self.range(at).start {
                    LEFT
                } else {
                    RIGHT
                },
            );
        }
        path
    }

    fn erase_start(&mut self, start: u64) {
        let id = self
            .search_path(start)
            .into_iter()
            .find(|id| self.range(*id).start == start)
            .unwrap();
        self.erase(id);
    }

    fn erase_up_to(&mut self, next: u64) {
        while self.first() != NIL && self.range(self.first()).start <= next {
            self.erase(self.first());
        }
    }
}

//! Which bytes of a segment that arrives ahead of a hole replace those of segments that wait there already.
//!
//! A receiver's stack queues such segments and hands their bytes on when the hole is filled, lowest start first: of
//! the segments that carry a byte, the one that starts lowest gives it. One that is covered by a later arrival which
//! starts no higher is dropped. So a byte's giver is only ever followed by one that starts lower: one copy of each
//! byte is enough, and what wins of an arriving segment is what lies beyond the reach of all that start below it.

use super::tree::{Full, Id, LEFT, NIL, RIGHT, Tree};
use crate::store::cell::Cell32;
use crate::store::range_set::Run;

/// The queue of one side. Methods that take a segment return from where on its bytes win, up to its end.
pub struct Queue<'a> {
    tree: Tree<'a>,
    /// Most segments that may wait.
    limit: u16,
}

impl<'a> Queue<'a> {
    pub fn new(nodes: &'a mut super::tree::Nodes, root: &'a Cell32, limit: u16) -> Self {
        Self {
            tree: Tree { nodes, root },
            limit,
        }
    }

    /// Linux, tcp_data_queue_ofo() in net/ipv4/tcp_input.c: a segment is joined to one that ends where it starts, if
    /// the search for its place meets that one, and from then on its bytes belong to a segment that starts lower.
    ///
    /// The kernel joins buffers only if their memory allows it: short ones always, those of cards until there are 17
    /// pieces. That cannot be seen on the wire; here what touches is always joined.
    pub fn linux(&mut self, run: Run) -> Result<u64, Full> {
        let last = self.tree.last();
        let last_end = self.tree.run(last).1;
        if last == NIL || run.0 > last_end {
            return self.insert(last, RIGHT, run);
        }
        if run.0 == last_end {
            return Ok(self.join(last, run));
        }
        let (mut parent, mut side) = (NIL, LEFT);
        let mut at = self.tree.root.get();
        while at != NIL {
            let (start, end) = self.tree.run(at);
            if run.0 >= start && run.0 < end && run.1 <= end {
                return Ok(run.1);
            }
            if run.0 == start {
                return Ok(self.replace(at, run));
            }
            if run.0 == end {
                return Ok(self.join(at, run));
            }
            side = if run.0 < start { LEFT } else { RIGHT };
            (parent, at) = (at, self.tree.child(at, side));
        }
        self.insert(parent, side, run)
    }

    /// BSD as in the literature on evasion: segments stay what they were when they arrived; of two that start
    /// together the first keeps the common part.
    pub fn bsd(&mut self, run: Run) -> Result<u64, Full> {
        let from = self.tree.reach_below(run.0 + 1).max(run.0);
        if from >= run.1 {
            return Ok(run.1);
        }
        let (mut parent, mut side) = (NIL, LEFT);
        let mut at = self.tree.root.get();
        while at != NIL {
            let start = self.tree.run(at).0;
            if run.0 == start {
                self.replace(at, run);
                return Ok(from);
            }
            side = if run.0 < start { LEFT } else { RIGHT };
            (parent, at) = (at, self.tree.child(at, side));
        }
        self.insert(parent, side, run)?;
        Ok(from)
    }

    /// The stack has handed on all bytes below `next`: what starts there, or touches it, waits no more.
    pub fn advance(&mut self, next: u64) {
        if self.tree.run(self.tree.last()).0 <= next {
            self.tree.clear();
            return;
        }
        while let first = self.tree.first()
            && self.tree.run(first).0 <= next
        {
            self.tree.erase(first);
        }
    }

    /// Nothing waits any more.
    pub fn clear(&mut self) {
        self.tree.clear();
    }

    /// A segment on its own.
    fn insert(&mut self, parent: Id, side: usize, run: Run) -> Result<u64, Full> {
        if self.tree.len() >= self.limit {
            return Err(Full);
        }
        let from = self.from(run.0, run);
        let id = self.tree.insert(parent, side, run)?;
        self.drop_covered(id);
        Ok(from)
    }

    /// A segment that starts together with a shorter one takes its place.
    fn replace(&mut self, id: Id, run: Run) -> u64 {
        let from = self.from(run.0, run);
        self.tree.set_end(id, run.1);
        self.drop_covered(id);
        from
    }

    /// A segment becomes the end of one that it touches. What it covers stays in the queue: the kernel does not look.
    fn join(&mut self, id: Id, run: Run) -> u64 {
        let from = self.from(self.tree.run(id).0, run);
        self.tree.set_end(id, run.1);
        from
    }

    /// From where on no segment that starts below `start` carries the bytes of `run`.
    fn from(&self, start: u64, run: Run) -> u64 {
        self.tree.reach_below(start).clamp(run.0, run.1)
    }

    fn drop_covered(&mut self, id: Id) {
        let end = self.tree.run(id).1;
        loop {
            let next = self.tree.next(id);
            if next == NIL || end < self.tree.run(next).1 {
                return;
            }
            self.tree.erase(next);
        }
    }
}

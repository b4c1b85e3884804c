//! Out-of-order queue of one side.
//!
//! A receiver's stack queues the segments beyond a hole and delivers their bytes when the hole is filled, lowest start
//! first. So of the segments that carry a byte, the one with the lowest start supplies it. A segment that is covered by a
//! later arrival with the same or a lower start is dropped. So the supplier of a byte is only ever replaced by one that
//! starts lower. One copy of each byte is enough, and the winning bytes of an arriving segment are those beyond the reach
//! of all segments that start below it.

use super::tree::{Full, Id, LEFT, NIL, Nodes, RIGHT, Tree};
use crate::ByteRange;
use crate::store::cell::Cell32;

/// Queue of one side. Methods that take a segment return the offset from which on its bytes win, up to its end.
pub struct Queue<'a> {
    tree: Tree<'a>,
    /// Most segments.
    limit: u16,
}

impl<'a> Queue<'a> {
    pub fn new(nodes: &'a mut Nodes, root: &'a Cell32, limit: u16) -> Self {
        Self {
            tree: Tree { nodes, root },
            limit,
        }
    }

    /// Queues a segment as Linux does, tcp_data_queue_ofo() in net/ipv4/tcp_input.c. A segment is joined to one that ends
    /// where it starts, if the search for its place meets that one. From then on its bytes belong to a segment that starts
    /// lower.
    ///
    /// The kernel joins buffers only if their memory allows it: short ones always, those of network cards up to 17
    /// fragments. That is not visible on the wire; here, touching segments are always joined.
    ///
    /// # Errors
    /// [`Full`].
    pub fn linux(&mut self, segment: ByteRange) -> Result<u64, Full> {
        // The kernel tries the last segment before it searches.
        let last = self.tree.last();
        let last_end = self.tree.range(last).end;
        if last == NIL || segment.start > last_end {
            return self.insert(last, RIGHT, segment);
        }
        if segment.start == last_end {
            return Ok(self.join(last, segment));
        }
        let (mut parent, mut side) = (NIL, LEFT);
        let mut at = self.tree.root.get();
        while at != NIL {
            let queued = self.tree.range(at);
            // Covered: dropped.
            if queued.contains(segment.start) && segment.end <= queued.end {
                return Ok(segment.end);
            }
            // The same start, and longer: takes its place.
            if segment.start == queued.start {
                return Ok(self.replace(at, segment));
            }
            if segment.start == queued.end {
                return Ok(self.join(at, segment));
            }
            side = if segment.start < queued.start {
                LEFT
            } else {
                RIGHT
            };
            (parent, at) = (at, self.tree.child(at, side));
        }
        self.insert(parent, side, segment)
    }

    /// Queues a segment as BSD does in the literature on evasion: segments stay as they arrived, and of two with the same
    /// start the first keeps the common part.
    ///
    /// # Errors
    /// [`Full`].
    pub fn bsd(&mut self, segment: ByteRange) -> Result<u64, Full> {
        let from = self.tree.reach_below(segment.start + 1).max(segment.start);
        if from >= segment.end {
            return Ok(segment.end);
        }
        let (mut parent, mut side) = (NIL, LEFT);
        let mut at = self.tree.root.get();
        while at != NIL {
            let start = self.tree.range(at).start;
            if segment.start == start {
                self.replace(at, segment);
                return Ok(from);
            }
            side = if segment.start < start { LEFT } else { RIGHT };
            (parent, at) = (at, self.tree.child(at, side));
        }
        self.insert(parent, side, segment)?;
        Ok(from)
    }

    /// Removes the segments that start below or at `next`: the stack has delivered them.
    pub fn advance(&mut self, next: u64) {
        if self.tree.range(self.tree.last()).start <= next {
            self.tree.clear();
            return;
        }
        while let first = self.tree.first()
            && self.tree.range(first).start <= next
        {
            self.tree.erase(first);
        }
    }

    pub fn clear(&mut self) {
        self.tree.clear();
    }

    /// Inserts a segment of its own.
    fn insert(&mut self, parent: Id, side: usize, segment: ByteRange) -> Result<u64, Full> {
        if self.tree.len() >= self.limit {
            return Err(Full);
        }
        let from = self.winning_from(segment.start, segment);
        let id = self.tree.insert(parent, side, segment)?;
        self.drop_covered(id);
        Ok(from)
    }

    /// Puts a segment in the place of a shorter one with the same start.
    fn replace(&mut self, id: Id, segment: ByteRange) -> u64 {
        let from = self.winning_from(segment.start, segment);
        self.tree.set_end(id, segment.end);
        self.drop_covered(id);
        from
    }

    /// Joins a segment to one that it touches. Segments that it covers stay queued: the kernel does not look for them.
    fn join(&mut self, id: Id, segment: ByteRange) -> u64 {
        let from = self.winning_from(self.tree.range(id).start, segment);
        self.tree.set_end(id, segment.end);
        from
    }

    /// Returns the offset from which on no segment that starts below `start` carries the bytes of `segment`.
    fn winning_from(&self, start: u64, segment: ByteRange) -> u64 {
        self.tree
            .reach_below(start)
            .clamp(segment.start, segment.end)
    }

    fn drop_covered(&mut self, id: Id) {
        let end = self.tree.range(id).end;
        loop {
            let next = self.tree.next(id);
            if next == NIL || end < self.tree.range(next).end {
                return;
            }
            self.tree.erase(next);
        }
    }
}

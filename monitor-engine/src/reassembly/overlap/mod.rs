//! Overlap resolution: the copy of a byte that a receiver delivers where segments overlap and differ.

mod queue;
#[cfg(test)]
mod tests;
mod tree;

use crate::store::cell::Cell32;
use crate::{ByteRange, OverlapPolicy};
use queue::Queue;
use tree::{NIL, Nodes};

/// Out-of-order queues of one worker's sides, in the shape that their receivers have them: the segments beyond a hole.
/// The bytes themselves are in the store; readers never come here.
///
/// A side's record holds the root of its queue (`ooo_queue`).
#[derive(Debug)]
pub struct OooQueues {
    nodes: Nodes,
    /// Most segments in one side's queue.
    limit: u16,
}

/// Error of a queue that is not tracked: too many segments, or no memory for them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Untracked;

impl OooQueues {
    /// Bytes of one queued segment.
    pub const BYTES: u64 = Nodes::BYTES as u64;

    /// Root of a queue that is not tracked.
    const UNTRACKED: u32 = u32::MAX;

    /// Creates queues for a number of segments, all sides together.
    pub fn new(segments: u32) -> Self {
        /// Linux hardly queues more: its receive buffer (6 MiB by default) counts each segment with its buffer, 1 KiB
        /// or more.
        const MOST: u32 = 4096;
        /// Share of the nodes that a single side may use: the divisor.
        const SHARE: u32 = 4;
        Self {
            nodes: Nodes::new(segments as usize),
            limit: (segments / SHARE).clamp(1, MOST) as u16,
        }
    }

    /// Returns the bytes in use.
    pub fn used(&self) -> u64 {
        self.nodes.used() as u64 * Self::BYTES
    }

    /// Queues a segment that starts beyond the in-order edge. Returns the offset from which on, up to its end, its bytes
    /// replace those that wait already.
    ///
    /// # Errors
    /// [`Untracked`]: the side's queue is not tracked until [`Self::restart`].
    pub fn enqueue(
        &mut self,
        root: &Cell32,
        policy: OverlapPolicy,
        segment: ByteRange,
    ) -> Result<u64, Untracked> {
        if Self::untracked(root) {
            return Err(Untracked);
        }
        let mut queue = self.queue(root);
        let from = match policy {
            OverlapPolicy::First => return Ok(segment.end),
            OverlapPolicy::Last => return Ok(segment.start),
            OverlapPolicy::Linux => queue.linux(segment),
            OverlapPolicy::Bsd => queue.bsd(segment),
        };
        from.map_err(|tree::Full| {
            queue.clear();
            root.set(Self::UNTRACKED);
            Untracked
        })
    }

    /// Removes the segments that the in-order edge has passed. It is at `next` now.
    pub fn advance(&mut self, root: &Cell32, next: u64) {
        if root.get() != NIL && !Self::untracked(root) {
            self.queue(root).advance(next);
        }
    }

    /// Returns whether a side's queue is not tracked.
    pub fn untracked(root: &Cell32) -> bool {
        root.get() == Self::UNTRACKED
    }

    /// Empties a queue, and tracks it again.
    pub fn restart(&mut self, root: &Cell32) {
        if !Self::untracked(root) {
            self.queue(root).clear();
        }
        root.set(NIL);
    }

    /// Stops tracking a queue until [`Self::restart`]: its segments were queued under another policy.
    pub fn forget(&mut self, root: &Cell32) {
        self.restart(root);
        root.set(Self::UNTRACKED);
    }

    fn queue<'a>(&'a mut self, root: &'a Cell32) -> Queue<'a> {
        Queue::new(&mut self.nodes, root, self.limit)
    }
}

/// Approximates [`OooQueues::enqueue`] from the received ranges alone. `range` is the first of them that shares bytes with
/// the segment; it counts as one queued segment.
pub fn approximate(policy: OverlapPolicy, segment: ByteRange, range: Option<ByteRange>) -> u64 {
    let Some(range) = range else {
        return segment.start;
    };
    let first_wins = match policy {
        OverlapPolicy::First => return segment.end,
        OverlapPolicy::Last => false,
        OverlapPolicy::Bsd => range.start <= segment.start,
        // Of two with the same start the longer one stays.
        OverlapPolicy::Linux => {
            range.start < segment.start
                || (range.start == segment.start && segment.end <= range.end)
        }
    };
    if first_wins {
        range.end.min(segment.end)
    } else {
        segment.start
    }
}

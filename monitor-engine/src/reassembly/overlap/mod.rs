//! Whose bytes win where segments overlap and differ.

mod queue;
mod tree;

use crate::OverlapPolicy;
use crate::store::cell::Cell32;
use crate::store::range_set::Run;
use queue::Queue;
use tree::{NIL, Nodes};

/// The out-of-order queues of one worker's sides, as their receivers have them: what arrived ahead of a hole, in which
/// segments. The bytes themselves are in the store; readers never come here.
///
/// A side's queue is named by its [`history`](crate::store::record::SideRecord::history).
#[derive(Debug)]
pub struct OooQueues {
    nodes: Nodes,
    /// Most segments in one side's queue.
    limit: u16,
}

/// A queue that could not be followed: too many segments, or no memory for them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Untracked;

impl OooQueues {
    /// What one queued segment takes, bytes.
    pub const BYTES: u64 = Nodes::BYTES as u64;

    /// The name of a queue that could not be followed.
    const UNTRACKED: u32 = u32::MAX;

    /// For so many queued segments, all sides together.
    pub fn new(segments: u32) -> Self {
        /// Linux hardly queues more: its receive buffer (6 MiB by default) counts each segment with its buffer, 1 KiB
        /// or more.
        const MOST: u32 = 4096;
        /// One side may not take all.
        const SHARE: u32 = 4;
        Self {
            nodes: Nodes::new(segments as usize),
            limit: (segments / SHARE).clamp(1, MOST) as u16,
        }
    }

    /// Bytes in use.
    pub fn used(&self) -> u64 {
        self.nodes.used() as u64 * Self::BYTES
    }

    /// Queues a segment that starts ahead of the in-order edge. Returns from where on, up to its end, its bytes replace
    /// those that wait there already. On an error the side's queue is forgotten until [`Self::restart`].
    pub fn enqueue(
        &mut self,
        side: &Cell32,
        policy: OverlapPolicy,
        run: Run,
    ) -> Result<u64, Untracked> {
        if Self::untracked(side) {
            return Err(Untracked);
        }
        let mut queue = self.queue(side);
        let from = match policy {
            OverlapPolicy::First => return Ok(run.1),
            OverlapPolicy::Last => return Ok(run.0),
            OverlapPolicy::Linux => queue.linux(run),
            OverlapPolicy::Bsd => queue.bsd(run),
        };
        from.map_err(|tree::Full| {
            queue.clear();
            side.set(Self::UNTRACKED);
            Untracked
        })
    }

    /// The in-order edge has moved on to `next`.
    pub fn advance(&mut self, side: &Cell32, next: u64) {
        if side.get() != NIL && !Self::untracked(side) {
            self.queue(side).advance(next);
        }
    }

    /// Whether the side's queue is forgotten.
    pub fn untracked(side: &Cell32) -> bool {
        side.get() == Self::UNTRACKED
    }

    /// Nothing waits any more; a forgotten queue is followed again.
    pub fn restart(&mut self, side: &Cell32) {
        if !Self::untracked(side) {
            self.queue(side).clear();
        }
        side.set(NIL);
    }

    /// What waits was queued under another policy: only its bytes are known from now on, until [`Self::restart`].
    pub fn forget(&mut self, side: &Cell32) {
        self.restart(side);
        side.set(Self::UNTRACKED);
    }

    fn queue<'a>(&'a mut self, side: &'a Cell32) -> Queue<'a> {
        Queue::new(&mut self.nodes, side, self.limit)
    }
}

/// The same as [`OooQueues::enqueue`] as far as it can be told from the received bytes alone. `island` is the first run of
/// them that shares bytes with the segment: it counts as one queued segment.
pub fn approximately(policy: OverlapPolicy, segment: Run, range: Option<Run>) -> u64 {
    let Some(range) = range else {
        return segment.0;
    };
    let first_keeps = match policy {
        OverlapPolicy::First => return segment.1,
        OverlapPolicy::Last => false,
        OverlapPolicy::Bsd => range.0 <= segment.0,
        // Of two that start together the longer is kept.
        OverlapPolicy::Linux => {
            range.0 < segment.0 || (range.0 == segment.0 && segment.1 <= range.1)
        }
    };
    if first_keeps {
        range.1.min(segment.1)
    } else {
        segment.0
    }
}

#[cfg(test)]
mod tests;

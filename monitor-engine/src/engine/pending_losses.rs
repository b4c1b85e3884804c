//! Queue of holes that wait for the loss delay.

use std::collections::VecDeque;

use crate::Side;

/// Holes that wait for the loss delay, in the order of their deadlines.
#[derive(Debug, Default)]
pub struct PendingLosses(VecDeque<PendingLoss>);

/// First hole of a side.
#[derive(Clone, Copy, Debug)]
pub struct PendingLoss {
    pub deadline: u64,
    pub slot: u32,
    pub generation: u32,
    pub side: Side,
}

impl PendingLosses {
    /// Beyond this number, a hole waits for its connection's next packet instead.
    const MOST: usize = 65_536;

    pub fn is_full(&self) -> bool {
        self.0.len() >= Self::MOST
    }

    pub fn first(&self) -> Option<PendingLoss> {
        self.0.front().copied()
    }

    pub fn push(&mut self, loss: PendingLoss) {
        self.0.push_back(loss);
    }

    pub fn remove_first(&mut self) {
        self.0.pop_front();
    }
}

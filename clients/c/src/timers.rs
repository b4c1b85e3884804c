//! Timers of a context.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::ffi::c_int;
use std::time::{Duration, Instant};

use crate::event_types::callback_t;

/// Timers that have not expired, each of which expires once.
#[derive(Debug, Default)]
pub(crate) struct Timers {
    heap: BinaryHeap<Reverse<Timer>>,
    set: u64,
}

/// Timer, ordered by its time; of equal ones, the timer that was set first is the earlier one.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Timer {
    at: Instant,
    number: u64,
    pub(crate) id: c_int,
    pub(crate) callback: callback_t,
}

impl Timers {
    /// Sets a timer. One that lies too far ahead never expires.
    pub(crate) fn set(&mut self, id: c_int, after: Duration, callback: callback_t) {
        let Some(at) = Instant::now().checked_add(after) else {
            return;
        };
        self.set += 1;
        self.heap.push(Reverse(Timer {
            at,
            number: self.set,
            id,
            callback,
        }));
    }

    /// Removes and returns the timers that have expired at a time. Those that their callbacks set are not among them.
    pub(crate) fn expired(&mut self, now: Instant) -> Vec<Timer> {
        let mut expired = Vec::new();
        while self
            .heap
            .peek()
            .is_some_and(|Reverse(timer)| timer.at <= now)
        {
            expired.extend(self.heap.pop().map(|Reverse(timer)| timer));
        }
        expired
    }

    /// Returns the time of the next timer.
    pub(crate) fn next(&self) -> Option<Instant> {
        self.heap.peek().map(|Reverse(timer)| timer.at)
    }
}

impl PartialEq for Timer {
    fn eq(&self, other: &Self) -> bool {
        self.number == other.number
    }
}

impl Eq for Timer {}

impl PartialOrd for Timer {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Timer {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        (self.at, self.number).cmp(&(other.at, other.number))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn timers_expire_in_order_and_once() {
        let mut timers = Timers::default();
        for (id, millis) in [(1, 20), (2, 10), (3, 10), (4, 1_000_000)] {
            timers.set(id, Duration::from_millis(millis), None);
        }
        timers.set(5, Duration::MAX, None);
        let later = Instant::now() + Duration::from_millis(500);
        let ids: Vec<_> = timers.expired(later).iter().map(|timer| timer.id).collect();
        assert_eq!(ids, [2, 3, 1]);
        assert!(timers.expired(later).is_empty());
        assert!(timers.next().is_some_and(|at| at > later));
    }
}

//! Processor time that the clients of one user take.
//!
//! A virtual clock (the generic cell rate algorithm, ITU-T I.371): use moves the clock ahead at [`COST`] times its length,
//! and real time catches up with it. A user below a quarter of a processor is never ahead by more than a burst.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant};

/// Real time that pays for one unit of use: a user has a quarter of a processor.
const COST: u32 = 4;
/// Use of this length is free after a pause.
const BURST: Duration = Duration::from_millis(2);
/// Maximum distance of the virtual clock: the longest time until a user has recovered.
const MAX_AHEAD: Duration = Duration::from_secs(10);

/// Use of one user's clients.
#[derive(Debug)]
pub(crate) struct ProcessorTime {
    origin: Instant,
    /// The virtual clock, in nanoseconds since `origin`.
    paid: AtomicU64,
}

impl ProcessorTime {
    pub(crate) fn new() -> Self {
        Self {
            origin: Instant::now(),
            paid: AtomicU64::new(0),
        }
    }

    /// Adds the use from `start` to `end`.
    pub(crate) fn charge(&self, start: Instant, end: Instant) {
        let now = self.nanoseconds(end);
        let cost = nanoseconds(end.saturating_duration_since(start) * COST);
        let most = now + nanoseconds(MAX_AHEAD);
        // Two clients that charge at once lose one charge at most: it's an estimate.
        let paid = self.paid.load(Relaxed).max(now) + cost;
        self.paid.store(paid.min(most), Relaxed);
    }

    /// Returns true if the user has taken more than its share.
    pub(crate) fn is_exceeded(&self, now: Instant) -> bool {
        self.paid.load(Relaxed) > self.nanoseconds(now) + nanoseconds(BURST * COST)
    }

    /// Returns true if all use is paid for.
    pub(crate) fn has_recovered(&self, now: Instant) -> bool {
        self.paid.load(Relaxed) <= self.nanoseconds(now)
    }

    fn nanoseconds(&self, time: Instant) -> u64 {
        nanoseconds(time.saturating_duration_since(self.origin))
    }
}

/// Returns the whole nanoseconds of a duration below 584 years.
fn nanoseconds(duration: Duration) -> u64 {
    duration.as_nanos() as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Takes `used` of every 10 ms for a second; returns the number of times at which the share was exceeded.
    fn excesses(used: Duration) -> usize {
        let time = ProcessorTime::new();
        let turns = (1..=100).map(|turn| time.origin + turn * Duration::from_millis(10));
        turns
            .filter(|&start| {
                let exceeded = time.is_exceeded(start);
                time.charge(start, start + used);
                exceeded
            })
            .count()
    }

    #[test]
    fn a_user_below_a_quarter_of_a_processor_never_exceeds_its_share() {
        assert_eq!(excesses(Duration::from_micros(2400)), 0);
        assert!(excesses(Duration::from_micros(3000)) > 70);
    }

    #[test]
    fn a_user_recovers_within_ten_seconds_of_any_use() {
        let time = ProcessorTime::new();
        let end = time.origin + Duration::from_secs(100);
        time.charge(time.origin, end);
        assert!(time.is_exceeded(end) && !time.has_recovered(end));
        assert!(time.has_recovered(end + MAX_AHEAD));
    }
}

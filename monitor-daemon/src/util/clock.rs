//! Clock of live captures: monotonic, anchored once to the wall clock.
//!
//! Packet times drive timeouts and loss delays. If they followed the wall clock, a step back would stop all timers until the
//! clock catches up, and a step forward would end every connection.

use std::sync::OnceLock;

use rustix::time::{ClockId, Timespec, clock_gettime};

/// Returns nanoseconds since the epoch. They advance with CLOCK_BOOTTIME, which counts suspended time as well; the wall
/// clock is read at the first call alone.
#[inline]
pub fn now() -> u64 {
    static CLOCK: OnceLock<Clock> = OnceLock::new();
    CLOCK
        .get_or_init(|| {
            Clock::new(
                nanoseconds(clock_gettime(ClockId::Realtime)),
                nanoseconds(clock_gettime(ClockId::Boottime)),
            )
        })
        .time(nanoseconds(clock_gettime(ClockId::Boottime)))
}

/// Returns the wall clock, in nanoseconds since the epoch. It is that of the kernel's timestamps.
#[inline]
pub fn wall() -> u64 {
    nanoseconds(clock_gettime(ClockId::Realtime))
}

/// A monotonic clock with an anchor in wall time.
#[derive(Clone, Copy, Debug)]
struct Clock {
    wall: u64,
    monotonic: u64,
}

impl Clock {
    /// Anchors the clock: both readings, in nanoseconds, belong to the same moment.
    fn new(wall: u64, monotonic: u64) -> Self {
        Self { wall, monotonic }
    }

    /// Returns the wall time of a monotonic reading.
    fn time(self, monotonic: u64) -> u64 {
        self.wall + monotonic.saturating_sub(self.monotonic)
    }
}

fn nanoseconds(time: Timespec) -> u64 {
    let seconds = u64::try_from(time.tv_sec).unwrap_or(0);
    seconds * 1_000_000_000 + u64::try_from(time.tv_nsec).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn steps_of_the_wall_clock_after_the_anchor_change_nothing() {
        let clock = Clock::new(1_700_000_000_000_000_000, 5_000);
        assert_eq!(clock.time(5_000), 1_700_000_000_000_000_000);
        assert_eq!(clock.time(1_005_000), 1_700_000_000_001_000_000);
        assert_eq!(
            clock.time(4_000),
            clock.time(5_000),
            "never before the anchor"
        );
    }

    #[test]
    fn it_starts_at_the_wall_clock_and_never_runs_backwards() {
        let wall = nanoseconds(clock_gettime(ClockId::Realtime));
        let first = now();
        assert!(first.abs_diff(wall) < 60_000_000_000);
        assert!(now() >= first);
    }
}

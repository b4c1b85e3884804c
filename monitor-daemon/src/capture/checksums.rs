//! Trial of an interface's checksums: detects a driver that delivers packets before their checksums are filled in.
//!
//! Virtual interfaces leave checksums to the card of the host. XDP runs before them and cannot see their state, so that
//! every segment would be dropped as damaged.

use std::sync::atomic::AtomicU32;
use std::sync::atomic::Ordering::Relaxed;

use monitor_engine::Counters;

/// Segments that decide a trial.
const SEGMENTS: u32 = 100;

/// Checksums of the first segments of a device, counted by the workers that read it.
#[derive(Debug, Default)]
pub struct ChecksumTrial {
    good: AtomicU32,
    bad: AtomicU32,
}

/// Segments that an engine has processed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Segments {
    good: u64,
    bad: u64,
}

impl Segments {
    /// Reads the counters of the engine. For its own thread.
    #[must_use]
    pub fn of(counters: &Counters) -> Self {
        let bad = counters.bad_checksum.get();
        let others = [
            &counters.not_ip,
            &counters.not_tcp,
            &counters.malformed,
            &counters.fragments,
        ];
        let others: u64 = others.iter().map(|counter| counter.get()).sum();
        Self {
            good: counters.packets.get().saturating_sub(others + bad),
            bad,
        }
    }
}

impl ChecksumTrial {
    /// Adds the segments processed between two readings. Returns true while more are needed.
    pub fn add(&self, before: Segments, after: Segments) -> bool {
        let count = |before: u64, after: u64| (after - before).min(SEGMENTS.into()) as u32;
        let bad = count(before.bad, after.bad);
        // A reading may be smaller than an earlier one by a fragment that became a segment.
        let good = count(before.good.min(after.good), after.good);
        let good = self.good.fetch_add(good, Relaxed) + good;
        let bad = self.bad.fetch_add(bad, Relaxed) + bad;
        good == 0 && bad < SEGMENTS
    }

    /// Returns whether the first segments were all bad.
    #[must_use]
    pub fn has_failed(&self) -> bool {
        self.good.load(Relaxed) == 0 && self.bad.load(Relaxed) >= SEGMENTS
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hundred_bad_segments_fail_and_one_good_segment_passes() {
        let at = |good, bad| Segments { good, bad };
        let trial = ChecksumTrial::default();
        assert!(trial.add(at(7, 0), at(7, 60)));
        assert!(!trial.has_failed());
        assert!(!trial.add(at(7, 60), at(7, 120)));
        assert!(trial.has_failed());
        let trial = ChecksumTrial::default();
        assert!(!trial.add(at(0, 0), at(1, 99)));
        trial.add(at(1, 99), at(1, 500));
        assert!(!trial.has_failed());
    }
}

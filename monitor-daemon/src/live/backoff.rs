//! Backoff of attempts to attach or reopen an interface: attaching a program resets some cards.

use std::time::{Duration, Instant};

/// Longest pause.
const MOST: Duration = Duration::from_secs(16);
/// Time without attempts after which the next one has no pause.
const QUIET: Duration = Duration::from_secs(120);

/// Pauses between attempts: none, then 2 s, doubled up to [`MOST`].
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Backoff {
    attempts: u32,
    last: Option<Instant>,
}

impl Backoff {
    /// Returns whether an attempt may be made, and counts it if it may.
    pub(super) fn attempt(&mut self, now: Instant) -> bool {
        if let Some(last) = self.last {
            let pause = Duration::from_secs(1 << self.attempts.min(8)).min(MOST);
            if now < last + pause {
                return false;
            }
            if now > last + QUIET {
                self.attempts = 0;
            }
        }
        self.attempts += 1;
        self.last = Some(now);
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn repeated_attempts_get_rarer() {
        let start = Instant::now();
        let mut backoff = Backoff::default();
        let attempts: Vec<_> = (0..60)
            .filter(|second| backoff.attempt(start + Duration::from_secs(*second)))
            .collect();
        assert_eq!(attempts, [0, 2, 6, 14, 30, 46]);
        let later = start + Duration::from_secs(500);
        assert!(backoff.attempt(later));
        assert!(backoff.attempt(later + Duration::from_secs(2)));
    }
}

//! Policy for broken connections.

use std::time::Duration;

/// Number of attempts to reconnect, and the pauses between them.
///
/// A method that only replies (`ppeek`, `sockets` and others) is then sent again, which the caller doesn't
/// notice. For any other (`stop`, `configure`) the caller gets the error, because it may have been performed; the next
/// call connects. Sockids stay valid while the daemon runs; a restart is reported once, as
/// [`Error::Restarted`](crate::Error::Restarted).
///
/// ```
/// use std::time::Duration;
/// use monitor_client::Reconnect;
///
/// let policy = Reconnect {
///     attempts: 3,
///     pause: Duration::from_millis(10),
///     longest: Duration::from_millis(100),
/// };
/// assert_ne!(policy, Reconnect::NEVER);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reconnect {
    /// Number of attempts; 0: a broken connection stays broken.
    pub attempts: u32,
    /// Pause before the first attempt; doubled before each further one.
    pub pause: Duration,
    /// Maximum pause.
    pub longest: Duration,
}

impl Reconnect {
    /// No attempt.
    pub const NEVER: Self = Self {
        attempts: 0,
        pause: Duration::ZERO,
        longest: Duration::ZERO,
    };

    /// Returns the pause before each attempt.
    pub(super) fn pauses(self) -> impl Iterator<Item = Duration> {
        let mut pause = self.pause.min(self.longest);
        (0..self.attempts).map(move |_| {
            let next = (pause * 2).min(self.longest);
            std::mem::replace(&mut pause, next)
        })
    }
}

/// Long enough for a restart of the daemon: about 20 seconds, with short pauses first.
impl Default for Reconnect {
    fn default() -> Self {
        Self {
            attempts: 14,
            pause: Duration::from_millis(20),
            longest: Duration::from_secs(4),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_up_to_the_longest() {
        let policy = Reconnect {
            attempts: 5,
            pause: Duration::from_millis(10),
            longest: Duration::from_millis(50),
        };
        let pauses: Vec<_> = policy.pauses().map(|pause| pause.as_millis()).collect();
        assert_eq!(pauses, [10, 20, 40, 50, 50]);
        assert_eq!(Reconnect::NEVER.pauses().count(), 0);
        let whole: Duration = Reconnect::default().pauses().sum();
        assert!((15..30).contains(&whole.as_secs()), "{whole:?}");
    }
}

//! What a client does when its connection to the daemon breaks.

use std::time::Duration;

/// How often to connect anew, and how long to wait between.
///
/// What is sure to have no effect but its reply (`ppeek`, `sockets` and so on) is then asked again, and the caller sees
/// nothing of it. Of anything else (`stop`, `peek`...) nobody knows whether it was done: the caller gets the error, and
/// the next call connects. Sockids stay valid as long as the daemon lives; that another one answers is an error of its own
/// ([`crate::Error::Restarted`]), once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reconnect {
    /// How often it is tried; 0: not at all, the client stays broken.
    pub attempts: u32,
    /// Before the first try; doubled with each one after.
    pub pause: Duration,
    /// No pause is longer.
    pub longest: Duration,
}

impl Reconnect {
    /// Not at all.
    pub const NEVER: Self = Self {
        attempts: 0,
        pause: Duration::ZERO,
        longest: Duration::ZERO,
    };

    /// The pause before each try.
    pub(super) fn pauses(self) -> impl Iterator<Item = Duration> {
        let double = move |pause: &Duration| Some((*pause * 2).min(self.longest));
        let first = self.pause.min(self.longest);
        std::iter::successors(Some(first), double).take(self.attempts as usize)
    }
}

/// Long enough for a daemon that is restarted: some 20 seconds, the first tries close together.
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

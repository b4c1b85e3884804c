//! Timeouts of connections, by class.

use std::ops::Range;

use crate::TcpConfig;
use crate::flow::Class;

/// Timeout of a connection with an unanswered SYN, nanoseconds. Linux retries longer (tcp_syn_retries 6 is 127 s),
/// but each repeated SYN starts it again.
const HALF_OPEN_TIMEOUT: u64 = 60_000_000_000;
pub const MILLISECOND: u64 = 1_000_000;

impl TcpConfig {
    /// Returns the time that a connection of a class may be without a packet.
    pub(super) fn timeout(&self, class: Class) -> Option<u64> {
        let half_open = || self.idle_timeout.map(|idle| idle.min(HALF_OPEN_TIMEOUT));
        match class {
            Class::Free => None,
            Class::Closed => self.linger,
            Class::HalfOpen | Class::Unverified => half_open(),
            Class::EstablishedIdle | Class::Active => self.idle_timeout,
        }
    }

    /// Returns the shortest of all timeouts.
    pub(super) fn shortest_timeout(&self) -> u64 {
        let timeouts = Class::USED
            .into_iter()
            .filter_map(|class| self.timeout(class));
        timeouts.min().unwrap_or(u64::MAX)
    }
}

/// Converts a time to milliseconds, as the lists use them: they wrap.
pub fn millis(time: u64) -> u32 {
    (time / MILLISECOND) as u32
}

/// Pauses of the capture, in order. Timeouts don't count them.
#[derive(Debug, Default)]
pub(super) struct Pauses {
    list: Vec<Range<u64>>,
}

impl Pauses {
    /// Adds a pause after all others.
    pub(super) fn add(&mut self, pause: Range<u64>) {
        if pause.start < pause.end && self.list.last().is_none_or(|last| last.end <= pause.start) {
            self.list.push(pause);
        }
    }

    /// Returns the time at which a timeout that began at `since` is over.
    pub(super) fn deadline(&self, since: u64, timeout: u64) -> u64 {
        let mut deadline = since.saturating_add(timeout);
        let first = self.list.partition_point(|pause| pause.end <= since);
        for pause in &self.list[first..] {
            if pause.start >= deadline {
                break;
            }
            deadline = deadline.saturating_add(pause.end - pause.start.max(since));
        }
        deadline
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn timeouts_do_not_count_pauses() {
        let mut pauses = Pauses::default();
        pauses.add(100..200);
        pauses.add(250..1000);
        pauses.add(20..30);
        assert_eq!(pauses.deadline(10, 50), 60);
        assert_eq!(pauses.deadline(80, 50), 230);
        assert_eq!(pauses.deadline(80, 100), 1030, "both pauses");
        assert_eq!(pauses.deadline(150, 10), 210, "began within a pause");
        assert_eq!(pauses.deadline(200, 10), 210);
        assert_eq!(pauses.deadline(2000, u64::MAX), u64::MAX);
    }
}

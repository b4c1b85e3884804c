//! Timeouts of connections, by class.

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

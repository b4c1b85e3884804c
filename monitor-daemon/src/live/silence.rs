//! Guard against silence: detects a driver that accepts an XDP program and doesn't run it.
//!
//! One such driver is virtio_net on a host with `mrg_rxbuf=off`.

use std::time::{Duration, Instant};

/// Time without a packet at the program after which it counts as silent.
const TIME: Duration = Duration::from_secs(2);
/// Packets that the interface receives at least in that time. A few may be on their way while both are counted.
const PACKETS: u64 = 16;

/// Comparison of the packets that an interface received with those that its program saw.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct SilenceGuard(Option<Reading>);

#[derive(Clone, Copy, Debug)]
struct Reading {
    time: Instant,
    received: u64,
    seen: u64,
}

impl SilenceGuard {
    /// Returns whether the interface receives packets and the program has seen none for a while. `received` is read
    /// before `seen`.
    pub(super) fn is_silent(&mut self, time: Instant, received: u64, seen: u64) -> bool {
        match self.0 {
            Some(first) if first.seen == seen => {
                received.saturating_sub(first.received) >= PACKETS && time >= first.time + TIME
            }
            _ => {
                self.0 = Some(Reading {
                    time,
                    received,
                    seen,
                });
                false
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn silence_is_packets_without_the_program_for_two_seconds() {
        let start = Instant::now();
        let after = |seconds| start + Duration::from_secs(seconds);
        let mut guard = SilenceGuard::default();
        assert!(!guard.is_silent(start, 1000, 5));
        // No traffic.
        assert!(!guard.is_silent(after(9), 1000, 5));
        assert!(!guard.is_silent(after(1), 1100, 5), "too early");
        assert!(guard.is_silent(after(3), 1100, 5));
        // The program runs.
        assert!(!guard.is_silent(after(4), 1200, 6));
        assert!(!guard.is_silent(after(5), 1300, 6));
        assert!(guard.is_silent(after(6), 1300, 6));
    }
}

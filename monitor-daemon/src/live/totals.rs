//! Sums of the counters of interfaces and devices, by name.

use tracing::debug;

use crate::capture::bpf::{BpfError, Counter};
use crate::capture::statistics::Received;

/// Sums of the counters of interfaces and devices. None decreases.
#[derive(Clone, Default)]
pub(super) struct Totals {
    pub(super) received: Received,
    pub(super) device_dropped: u64,
    pub(super) verdicts: Vec<Counter>,
}

/// Verdicts for packets that are not captured.
const PASSED: [&str; 21] = [
    "xdp_shunted",
    "tap_shunted",
    "xdp_not_ip",
    "xdp_not_tcp",
    "xdp_filtered_network",
    "xdp_filtered_port",
    "xdp_malformed",
    "xdp_too_deep",
    "tap_not_ip",
    "tap_not_tcp",
    "tap_filtered_network",
    "tap_filtered_port",
    "tap_malformed",
    "tap_too_deep",
    "packet_shunted",
    "packet_not_ip",
    "packet_not_tcp",
    "packet_filtered_network",
    "packet_filtered_port",
    "packet_malformed",
    "packet_too_deep",
];

impl Totals {
    /// Adds a program's counters to those of the same name.
    pub(super) fn add_verdicts(&mut self, counters: Result<Vec<Counter>, BpfError>) {
        match counters {
            Ok(counters) => counters
                .into_iter()
                .for_each(|counter| self.add_verdict(counter)),
            Err(error) => debug!("cannot read the counters of a program: {error}"),
        }
    }

    fn add_verdict(&mut self, (name, doc, value): Counter) {
        match self.verdicts.iter_mut().find(|(own, ..)| *own == name) {
            Some((.., sum)) => *sum += value,
            None => self.verdicts.push((name, doc, value)),
        }
    }

    pub(super) fn add(&mut self, other: &Self) {
        self.received += other.received;
        self.device_dropped += other.device_dropped;
        other
            .verdicts
            .iter()
            .for_each(|counter| self.add_verdict(*counter));
    }

    /// Returns all counters as `stats` shows them.
    pub(super) fn named(self, handoffs_lost: u64) -> Vec<Counter> {
        let passed = self
            .verdicts
            .iter()
            .filter(|(name, ..)| PASSED.contains(name))
            .map(|(.., n)| n)
            .sum();
        let received = self.received;
        let mut all = vec![
            (
                "rx_packets",
                "Packets read by the workers.",
                received.packets,
            ),
            ("rx_bytes", "Bytes of those packets.", received.bytes),
            (
                "rx_dropped",
                "Packets lost because no packet buffer was free: a worker was too slow; raise [capture] buffers.",
                received.dropped,
            ),
            (
                "rx_ring_full",
                "Packets lost because a socket's ring was full.",
                received.ring_full,
            ),
            (
                "fill_ring_empty",
                "Number of times that the kernel found no free packet buffer.",
                received.fill_ring_empty,
            ),
            (
                "rx_oversized",
                "Packets lost because they had too many pieces.",
                received.oversized,
            ),
            (
                "device_dropped",
                "Packets lost before the program: in tap mode the monitor device's backlog was full \
                 (net.core.netdev_max_backlog); in mirror mode the port, its driver or the stack dropped them.",
                self.device_dropped,
            ),
            (
                "handoffs_lost",
                "Reassembled IP datagrams lost on their way to the worker of their flow.",
                handoffs_lost,
            ),
            (
                "passed",
                "Packets not captured: not TCP, filtered out, of stopped connections, or unreadable.",
                passed,
            ),
        ];
        all.extend(self.verdicts);
        all
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counters_are_summed_by_name() {
        let mut sum = Totals::default();
        sum.add_verdicts(Ok(vec![("tap_cloned", "", 5), ("tap_not_tcp", "", 2)]));
        sum.add_verdicts(Ok(vec![("tap_not_tcp", "", 3), ("xdp_redirected", "", 7)]));
        let mut total = Totals::default();
        total.add(&sum);
        total.add(&sum);
        let named = total.named(9);
        let get = |name| {
            named
                .iter()
                .find(|(own, ..)| *own == name)
                .map(|(.., n)| *n)
        };
        assert_eq!(get("tap_cloned"), Some(10));
        assert_eq!(get("passed"), Some(10));
        assert_eq!(get("xdp_redirected"), Some(14));
        assert_eq!(get("handoffs_lost"), Some(9));
    }

    #[test]
    fn passed_sums_counters_that_exist() {
        use monitor_common::abi::{Count, PacketCount, SteerCount, TapCount};
        let names = SteerCount::ALL
            .iter()
            .map(|c| c.name())
            .chain(TapCount::ALL.iter().map(|c| c.name()))
            .chain(PacketCount::ALL.iter().map(|c| c.name()));
        let names: Vec<_> = names.collect();
        assert!(PASSED.iter().all(|name| names.contains(name)));
    }
}

//! What is attached now, and what was counted by that and by what is gone.

use tracing::debug;

use super::devices::{Attached, Reading};
use crate::capture::bpf::{BpfError, Counter, Rules};
use crate::capture::xsk::Received;
use crate::status::{CaptureSnapshot, InterfaceSnapshot};

/// The interfaces of a capture, and the monitor devices that they share.
pub(super) struct State {
    pub(super) interfaces: Vec<Watched>,
    /// One for each kind that is needed; none in mirror mode.
    pub(super) monitors: Vec<Reading>,
    /// Gone, but workers may still read what is left in their sockets.
    pub(super) closing: Vec<Reading>,
    /// Counted by interfaces and devices that are gone.
    pub(super) retired: Numbers,
    /// Flows that the programs leave alone: those of the last sweep, and those that came since.
    pub(super) shunted: usize,
    /// Those that could not be shunted.
    pub(super) shunts_refused: u64,
}

/// An interface of the configuration.
pub(super) struct Watched {
    pub(super) name: String,
    /// Which interface of that name was attached.
    pub(super) index: u32,
    pub(super) up: bool,
    pub(super) attached: Option<Attached>,
    /// What was last said about it, so that it is said once.
    pub(super) said: String,
}

/// What interfaces and devices count. None goes down.
#[derive(Clone, Default)]
pub(super) struct Numbers {
    pub(super) received: Received,
    pub(super) device_dropped: u64,
    pub(super) verdicts: Vec<Counter>,
}

/// Verdicts that leave a packet to the network stack, or that keep it out of the clones.
const PASSED: [&str; 14] = [
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
];

impl State {
    pub(super) fn new(interfaces: &[String]) -> Self {
        let watched = |name: &String| Watched {
            name: name.clone(),
            index: 0,
            up: false,
            attached: None,
            said: String::new(),
        };
        Self {
            interfaces: interfaces.iter().map(watched).collect(),
            monitors: Vec::new(),
            closing: Vec::new(),
            retired: Numbers::default(),
            shunted: 0,
            shunts_refused: 0,
        }
    }

    /// Other rules for everything that is attached; the last that failed, if any did.
    pub(super) fn set_rules(&mut self, rules: &Rules<'_>) -> Result<(), BpfError> {
        let monitors = self
            .monitors
            .iter_mut()
            .map(|monitor| monitor.set_rules(rules));
        let attached = self
            .interfaces
            .iter_mut()
            .filter_map(|interface| interface.attached.as_mut());
        let results = monitors.chain(attached.map(|attached| attached.set_rules(rules)));
        results.filter_map(Result::err).last().map_or(Ok(()), Err)
    }

    /// Detaches its program; it goes on counting until [`State::closed`]. Returns its id.
    pub(super) fn close(&mut self, mut reading: Reading) -> u64 {
        reading.detach();
        let id = reading.id;
        self.closing.push(reading);
        id
    }

    /// Keeps the numbers of what was closing, and hands it out to be dropped.
    pub(super) fn closed(&mut self, id: u64) -> Option<Reading> {
        let place = self.closing.iter().position(|reading| reading.id == id)?;
        let reading = self.closing.swap_remove(place);
        let mut numbers = Numbers::default();
        reading.count(&mut numbers);
        self.retired.add(&numbers);
        Some(reading)
    }

    /// Detaches every program; sockets stay until their workers close them.
    pub(super) fn detach_all(&mut self) {
        let mut numbers = Numbers::default();
        for watched in &mut self.interfaces {
            match watched.attached.take() {
                Some(Attached::Port(mut port)) => {
                    port.detach();
                    port.count(&mut numbers);
                }
                Some(tapped @ Attached::Tapped(_)) => tapped.count(&mut numbers),
                None => {}
            }
            watched.up = false;
        }
        for mut reading in self.monitors.drain(..).chain(self.closing.drain(..)) {
            reading.detach();
            reading.count(&mut numbers);
        }
        self.retired.add(&numbers);
    }

    pub(super) fn snapshot(&self, handoffs_lost: u64) -> CaptureSnapshot {
        let mut numbers = self.retired.clone();
        self.monitors
            .iter()
            .chain(&self.closing)
            .for_each(|reading| reading.count(&mut numbers));
        self.interfaces
            .iter()
            .filter_map(|i| i.attached.as_ref())
            .for_each(|a| a.count(&mut numbers));
        let interfaces: Vec<_> = self.interfaces.iter().map(Watched::snapshot).collect();
        CaptureSnapshot {
            xdp: slowest(interfaces.iter().filter_map(|interface| interface.xdp)),
            interfaces,
            counters: numbers
                .named(handoffs_lost)
                .into_iter()
                .chain(self.shunt_counters())
                .collect(),
            ..CaptureSnapshot::default()
        }
    }
}

impl Watched {
    fn snapshot(&self) -> InterfaceSnapshot {
        let xdp = self.attached.as_ref().map(Attached::xdp);
        InterfaceSnapshot {
            name: self.name.clone(),
            up: self.up && xdp.is_some(),
            xdp: xdp.map(|(name, _)| name),
            queues: xdp.map_or(0, |(_, queues)| queues),
        }
    }
}

impl Numbers {
    /// Adds a program's counters to those of the same name.
    pub(super) fn add_verdicts(&mut self, counters: Result<Vec<Counter>, BpfError>) {
        match counters {
            Ok(counters) => counters
                .into_iter()
                .for_each(|counter| self.add_verdict(counter)),
            Err(error) => debug!("reading the counters of a program: {error}"),
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

    /// Everything, as `stats` shows it.
    fn named(self, handoffs_lost: u64) -> Vec<Counter> {
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
                "Packets that workers took in.",
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
                "How often the kernel found no free packet buffer.",
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
                "Packets left alone: no TCP, filtered out, of stopped connections, or unreadable.",
                passed,
            ),
        ];
        all.extend(self.verdicts);
        all
    }
}

fn slowest(names: impl Iterator<Item = &'static str>) -> Option<&'static str> {
    const ORDER: [&str; 3] = ["zerocopy", "native", "generic"];
    names.max_by_key(|name| ORDER.iter().position(|known| known == name))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_add_up_by_name() {
        let mut sum = Numbers::default();
        sum.add_verdicts(Ok(vec![("tap_cloned", "", 5), ("tap_not_tcp", "", 2)]));
        sum.add_verdicts(Ok(vec![("tap_not_tcp", "", 3), ("xdp_redirected", "", 7)]));
        let mut total = Numbers::default();
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
    fn the_slowest_interface_names_the_mode() {
        assert_eq!(
            slowest(["zerocopy", "generic", "native"].into_iter()),
            Some("generic")
        );
        assert_eq!(slowest(["native", "zerocopy"].into_iter()), Some("native"));
        assert_eq!(slowest([].into_iter()), None);
    }

    #[test]
    fn passed_names_counters_that_exist() {
        use monitor_common::abi::{Count, SteerCount, TapCount};
        let names = SteerCount::ALL
            .iter()
            .map(|c| c.name())
            .chain(TapCount::ALL.iter().map(|c| c.name()));
        let names: Vec<_> = names.collect();
        assert!(PASSED.iter().all(|name| names.contains(name)));
    }
}

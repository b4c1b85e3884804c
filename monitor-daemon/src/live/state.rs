//! State of a live capture: attached interfaces, monitor devices, and the counters of current and former ones.

use std::time::Instant;

use glob::Pattern;

use super::backoff::Backoff;
use super::devices::{Attached, CaptureDevice};
use super::silence::SilenceGuard;
use super::totals::Totals;
use crate::capture;
use crate::capture::bpf::{BpfError, CaptureFilter};
use crate::capture::netlink::Interface;
use crate::capture::tap::MONITOR_DEVICE;
use crate::config::is_pattern;
use crate::status::{CaptureSnapshot, InterfaceSnapshot};
use crate::util::interfaces;

/// Interfaces of a capture, and the monitor devices that they share.
pub(super) struct State {
    pub(super) interfaces: Vec<InterfaceState>,
    /// Patterns of the names of further interfaces.
    pub(super) patterns: Vec<Pattern>,
    /// Monitor devices, one for each link type in use, or the packet sockets on all interfaces.
    pub(super) shared: Vec<CaptureDevice>,
    /// Detached devices; the workers still read their remaining packets.
    pub(super) closing: Vec<CaptureDevice>,
    /// Counters of interfaces and devices that are gone.
    pub(super) retired: Totals,
    /// Number of shunted flows: counted by the last sweep, plus those added since.
    pub(super) shunted: usize,
    /// Number of flows that found a table full.
    pub(super) shunts_refused: u64,
}

/// Interface of the configuration.
pub(super) struct InterfaceState {
    pub(super) name: String,
    /// It was found by a pattern, and is forgotten when it is gone.
    pub(super) by_pattern: bool,
    /// Index of the interface that was attached: another one after the interface was recreated.
    pub(super) index: u32,
    pub(super) up: bool,
    /// Time of the attachment.
    pub(super) since: Instant,
    /// Number of times that it got a carrier, when last read.
    pub(super) carrier_ups: u32,
    /// Pauses between attachments.
    pub(super) backoff: Backoff,
    /// Comparison of its packets with those that its XDP program saw.
    pub(super) guard: SilenceGuard,
    /// Reason against XDP on this interface, once it was found silent.
    pub(super) refused_xdp: Option<String>,
    /// Number of receive queues and MTU of a port when it was attached.
    pub(super) layout: Option<(u32, u32)>,
    pub(super) attached: Option<Attached>,
    /// Text of the last warning about it, so that none is repeated.
    pub(super) last_warning: String,
}

impl State {
    pub(super) fn new(interfaces: &[String]) -> Self {
        let named = interfaces.iter().filter(|name| !is_pattern(name));
        let patterns = interfaces.iter().filter(|name| is_pattern(name));
        Self {
            interfaces: named.map(|name| InterfaceState::new(name, false)).collect(),
            // The configuration was checked.
            patterns: patterns
                .filter_map(|pattern| Pattern::new(pattern).ok())
                .collect(),
            shared: Vec::new(),
            closing: Vec::new(),
            retired: Totals::default(),
            shunted: 0,
            shunts_refused: 0,
        }
    }

    /// Adds the interfaces that match a pattern, and removes those that did and are gone.
    pub(super) fn match_patterns(&mut self, existing: &[Interface]) {
        self.interfaces.retain(|own| {
            let stays = !own.by_pattern
                || own.attached.is_some()
                || existing.iter().any(|interface| interface.name == own.name);
            if !stays {
                interfaces::release(&own.name);
            }
            stays
        });
        for interface in existing {
            let name = interface.name.as_str();
            let is_wanted = self.patterns.iter().any(|pattern| pattern.matches(name))
                && !name.starts_with(MONITOR_DEVICE)
                && capture::link_type(interface).is_ok();
            if is_wanted && !self.interfaces.iter().any(|own| own.name == name) {
                self.interfaces.push(InterfaceState::new(name, true));
            }
        }
    }

    /// Replaces the filter of every program; returns the last error, if any.
    pub(super) fn set_filter(&mut self, filter: &CaptureFilter<'_>) -> Result<(), BpfError> {
        let mut result = Ok(());
        for device in &mut self.shared {
            result = device.set_filter(filter).and(result);
        }
        for interface in &mut self.interfaces {
            if let Some(attached) = &mut interface.attached {
                result = attached.set_filter(filter).and(result);
            }
        }
        result
    }

    /// Detaches its program; its counters stay current until [`State::closed`]. Returns its key.
    pub(super) fn close(&mut self, mut device: CaptureDevice) -> u64 {
        device.detach();
        let id = device.id;
        self.closing.push(device);
        id
    }

    /// Retains the counters of a closing device, and returns it for dropping.
    pub(super) fn closed(&mut self, id: u64) -> Option<CaptureDevice> {
        let place = self.closing.iter().position(|device| device.id == id)?;
        let device = self.closing.swap_remove(place);
        let mut totals = Totals::default();
        device.count(&mut totals);
        self.retired.add(&totals);
        Some(device)
    }

    /// Detaches every program. Sockets stay open until their workers close them.
    pub(super) fn detach_all(&mut self) {
        let mut totals = Totals::default();
        for interface in &mut self.interfaces {
            match interface.attached.take() {
                Some(Attached::Own(mut device)) => {
                    device.detach();
                    device.count(&mut totals);
                }
                Some(attached) => attached.count(&mut totals),
                None => {}
            }
            interface.up = false;
        }
        for mut device in self.shared.drain(..).chain(self.closing.drain(..)) {
            device.detach();
            device.count(&mut totals);
        }
        self.retired.add(&totals);
    }

    pub(super) fn snapshot(&self, handoffs_lost: u64) -> CaptureSnapshot {
        let mut totals = self.retired.clone();
        for device in self.shared.iter().chain(&self.closing) {
            device.count(&mut totals);
        }
        for interface in &self.interfaces {
            if let Some(attached) = &interface.attached {
                attached.count(&mut totals);
            }
        }
        let interfaces: Vec<_> = self
            .interfaces
            .iter()
            .map(InterfaceState::snapshot)
            .collect();
        CaptureSnapshot {
            path: slowest(&["xdp", "packet"], interfaces.iter().filter_map(|i| i.path)),
            xdp: slowest(
                &["zerocopy", "native", "generic"],
                interfaces.iter().filter_map(|i| i.xdp),
            ),
            interfaces,
            counters: totals
                .named(handoffs_lost)
                .into_iter()
                .chain(self.shunt_counters())
                .collect(),
            ..CaptureSnapshot::default()
        }
    }
}

impl InterfaceState {
    fn new(name: &str, by_pattern: bool) -> Self {
        Self {
            name: name.to_owned(),
            by_pattern,
            index: 0,
            up: false,
            since: Instant::now(),
            carrier_ups: 0,
            backoff: Backoff::default(),
            guard: SilenceGuard::default(),
            refused_xdp: None,
            layout: None,
            attached: None,
            last_warning: String::new(),
        }
    }

    fn snapshot(&self) -> InterfaceSnapshot {
        let attached = self.attached.as_ref();
        InterfaceSnapshot {
            name: self.name.clone(),
            up: self.up && attached.is_some(),
            path: attached.map(Attached::path),
            xdp: attached.and_then(Attached::xdp),
            queues: attached.map_or(0, Attached::queues),
        }
    }
}

/// Returns the name that is last in `order`.
fn slowest(order: &[&str], names: impl Iterator<Item = &'static str>) -> Option<&'static str> {
    names.max_by_key(|name| order.iter().position(|known| known == name))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_slowest_interface_determines_the_reported_mode() {
        let order = ["zerocopy", "native", "generic"];
        let slowest = |names: &[&'static str]| slowest(&order, names.iter().copied());
        assert_eq!(slowest(&["zerocopy", "generic", "native"]), Some("generic"));
        assert_eq!(slowest(&["native", "zerocopy"]), Some("native"));
        assert_eq!(slowest(&[]), None);
    }
}

//! Attachments of an interface, in either mode: programs, sockets, and their counters.

use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::Relaxed;

use monitor_common::LinkType;

use super::state::Totals;
use crate::capture::bpf::{BpfError, CaptureFilter, Shunts, Steer};
use crate::capture::mirror::Port;
use crate::capture::netlink::{self, Interface};
use crate::capture::tap::{Device, MonitorDevice, Tapped};
use crate::capture::xsk::{Probe, RxSocket};
use crate::capture::{CaptureError, Settings};

/// Monitor device or port, with the sockets that workers read and the program that fills them.
pub(super) struct CaptureDevice {
    /// Key of its sockets in [`WorkerHandle::remove`](crate::worker::WorkerHandle::remove).
    pub(super) id: u64,
    pub(super) kind: DeviceKind,
    probes: Vec<Probe>,
    /// Interfaces on the packets' path to the program, which may drop them.
    path: Vec<DropCounter>,
}

/// Drop counter of an interface that packets pass before a program sees them.
struct DropCounter {
    name: String,
    index: u32,
    /// Packets dropped before the capture started.
    before: u64,
    /// Packets dropped since, when last read: an interface that is gone has no statistics.
    since: AtomicU64,
}

pub(super) enum DeviceKind {
    Monitor(MonitorDevice),
    Port(Port),
}

impl CaptureDevice {
    /// Creates a monitor device and its sockets, by worker.
    pub(super) fn monitor(
        id: u64,
        link_type: LinkType,
        frames: u32,
        settings: &Settings,
    ) -> Result<(Self, Vec<Vec<RxSocket>>), CaptureError> {
        let (device, sockets) = MonitorDevice::create(link_type, frames, settings)?;
        let mut path = vec![DropCounter::new(
            &device.device.name,
            device.device.index,
            0,
        )];
        path.extend(
            device
                .device
                .relay
                .as_ref()
                .map(|(name, index)| DropCounter::new(name, *index, 0)),
        );
        let sockets = sockets.into_iter().map(|socket| vec![socket]).collect();
        Self::new(id, DeviceKind::Monitor(device), sockets, path)
    }

    /// Opens a port and its sockets, by worker.
    pub(super) fn port(
        id: u64,
        interface: &Interface,
        frames: u32,
        settings: &Settings,
    ) -> Result<(Self, Vec<Vec<RxSocket>>), CaptureError> {
        let (port, sockets) = Port::open(interface, frames, settings)?;
        let path = vec![DropCounter::new(
            &interface.name,
            interface.index,
            interface.rx_dropped,
        )];
        Self::new(id, DeviceKind::Port(port), sockets, path)
    }

    fn new(
        id: u64,
        kind: DeviceKind,
        sockets: Vec<Vec<RxSocket>>,
        path: Vec<DropCounter>,
    ) -> Result<(Self, Vec<Vec<RxSocket>>), CaptureError> {
        let probes = sockets
            .iter()
            .flatten()
            .map(RxSocket::probe)
            .collect::<Result<_, _>>();
        let probes = probes.map_err(CaptureError::Probe)?;
        Ok((
            Self {
                id,
                kind,
                probes,
                path,
            },
            sockets,
        ))
    }

    /// Detaches the program: no further packet arrives.
    pub(super) fn detach(&mut self) {
        self.steer().detach();
    }

    /// Returns the identity of the monitor device; `None` for a port.
    pub(super) fn device(&self) -> Option<&Device> {
        match &self.kind {
            DeviceKind::Monitor(monitor) => Some(&monitor.device),
            DeviceKind::Port(_) => None,
        }
    }

    /// Adds its counters to `into`.
    pub(super) fn count(&self, into: &mut Totals) {
        for probe in &self.probes {
            into.received += probe.read();
        }
        into.device_dropped += self.path.iter().map(DropCounter::dropped).sum::<u64>();
        let steer = match &self.kind {
            DeviceKind::Monitor(device) => &device.steer,
            DeviceKind::Port(port) => &port.steer,
        };
        into.add_verdicts(steer.counters());
    }

    fn shunts(&mut self) -> Shunts<'_> {
        match &mut self.kind {
            DeviceKind::Monitor(device) => device.steer.shunts(),
            DeviceKind::Port(port) => port.steer.shunts(),
        }
    }

    pub(super) fn drain_log(&mut self) {
        self.steer().drain_log();
    }

    pub(super) fn set_filter(&mut self, filter: &CaptureFilter<'_>) -> Result<(), BpfError> {
        self.steer().set_filter(filter)
    }

    fn steer(&mut self) -> &mut Steer {
        match &mut self.kind {
            DeviceKind::Monitor(device) => &mut device.steer,
            DeviceKind::Port(port) => &mut port.steer,
        }
    }
}

impl DropCounter {
    fn new(name: &str, index: u32, before: u64) -> Self {
        Self {
            name: name.to_owned(),
            index,
            before,
            since: AtomicU64::new(0),
        }
    }

    /// Returns the packets dropped since the capture started.
    fn dropped(&self) -> u64 {
        if let Ok(Some(now)) = netlink::interface(&self.name)
            && now.index == self.index
        {
            self.since
                .fetch_max(now.rx_dropped.saturating_sub(self.before), Relaxed);
        }
        self.since.load(Relaxed)
    }
}

/// Attachment of an interface.
pub(super) enum Attached {
    /// Its packets are cloned into a monitor device.
    Tapped(Tapped),
    /// Its packets are read from its queues.
    Port(CaptureDevice),
}

impl Attached {
    /// Returns the XDP mode and the number of queues, as in [`InterfaceSnapshot`](crate::status::InterfaceSnapshot).
    pub(super) fn xdp(&self) -> (&'static str, u32) {
        match self {
            Self::Port(CaptureDevice {
                kind: DeviceKind::Port(port),
                ..
            }) => (port.xdp, port.queues),
            // Monitor devices run XDP in the network stack and have one queue.
            _ => ("generic", 1),
        }
    }

    pub(super) fn count(&self, into: &mut Totals) {
        match self {
            Self::Tapped(tapped) => into.add_verdicts(tapped.tap.counters()),
            Self::Port(device) => device.count(into),
        }
    }

    /// Returns the table of flows that its program skips.
    pub(super) fn shunts(&mut self) -> Shunts<'_> {
        match self {
            Self::Tapped(tapped) => tapped.tap.shunts(),
            Self::Port(device) => device.shunts(),
        }
    }

    pub(super) fn drain_log(&mut self) {
        match self {
            Self::Tapped(tapped) => tapped.tap.drain_log(),
            Self::Port(device) => device.drain_log(),
        }
    }

    pub(super) fn set_filter(&mut self, filter: &CaptureFilter<'_>) -> Result<(), BpfError> {
        match self {
            Self::Tapped(tapped) => tapped.tap.set_filter(filter),
            Self::Port(device) => device.set_filter(filter),
        }
    }
}

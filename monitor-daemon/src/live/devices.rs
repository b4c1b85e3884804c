//! What is attached to an interface, in either mode.

use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::Relaxed;

use super::state::Numbers;
use crate::capture::bpf::{BpfError, Rules, Shunts, Steer};
use crate::capture::mirror::Port;
use crate::capture::netlink::{self, Interface};
use crate::capture::tap::{Device, Layer, MonitorDevice, Tapped};
use crate::capture::xsk::{Probe, RxSocket};
use crate::capture::{CaptureError, Settings};

/// Sockets that workers read, with the program that fills them.
pub(super) struct Reading {
    /// What [`Place::remove`](crate::worker::Place::remove) calls its sockets.
    pub(super) id: u64,
    pub(super) kind: Kind,
    probes: Vec<Probe>,
    /// The interfaces that packets go through on their way to the program.
    way: Vec<Lossy>,
}

/// An interface that may lose packets before a program sees them.
struct Lossy {
    name: String,
    index: u32,
    /// What it had lost before we came.
    before: u64,
    /// What it has lost since, as last seen: when it is gone, it cannot be asked.
    since: AtomicU64,
}

pub(super) enum Kind {
    Monitor(MonitorDevice),
    Port(Port),
}

impl Reading {
    /// A monitor device and its sockets, by worker.
    pub(super) fn monitor(
        id: u64,
        layer: Layer,
        frames: u32,
        settings: &Settings,
    ) -> Result<(Self, Vec<Vec<RxSocket>>), CaptureError> {
        let (device, sockets) = MonitorDevice::create(layer, frames, settings)?;
        let mut way = vec![Lossy::new(&device.device.name, device.device.index, 0)];
        way.extend(
            device
                .device
                .relay
                .as_ref()
                .map(|(name, index)| Lossy::new(name, *index, 0)),
        );
        let sockets = sockets.into_iter().map(|socket| vec![socket]).collect();
        Self::new(id, Kind::Monitor(device), sockets, way)
    }

    /// A port and its sockets, by worker.
    pub(super) fn port(
        id: u64,
        interface: &Interface,
        frames: u32,
        settings: &Settings,
    ) -> Result<(Self, Vec<Vec<RxSocket>>), CaptureError> {
        let (port, sockets) = Port::open(interface, frames, settings)?;
        let way = vec![Lossy::new(
            &interface.name,
            interface.index,
            interface.rx_lost,
        )];
        Self::new(id, Kind::Port(port), sockets, way)
    }

    fn new(
        id: u64,
        kind: Kind,
        sockets: Vec<Vec<RxSocket>>,
        way: Vec<Lossy>,
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
                way,
            },
            sockets,
        ))
    }

    /// Detaches the program: no packet comes any more.
    pub(super) fn detach(&mut self) {
        self.steer().detach();
    }

    /// The monitor device's identity; `None` for a port.
    pub(super) fn device(&self) -> Option<&Device> {
        match &self.kind {
            Kind::Monitor(monitor) => Some(&monitor.device),
            Kind::Port(_) => None,
        }
    }

    /// Adds what it counted so far.
    pub(super) fn count(&self, into: &mut Numbers) {
        for probe in &self.probes {
            into.received += probe.read();
        }
        into.device_dropped += self.way.iter().map(Lossy::lost).sum::<u64>();
        let steer = match &self.kind {
            Kind::Monitor(device) => &device.steer,
            Kind::Port(port) => &port.steer,
        };
        into.add_verdicts(steer.counters());
    }

    fn shunts(&mut self) -> Shunts<'_> {
        match &mut self.kind {
            Kind::Monitor(device) => device.steer.shunts(),
            Kind::Port(port) => port.steer.shunts(),
        }
    }

    pub(super) fn drain_log(&mut self) {
        self.steer().drain_log();
    }

    pub(super) fn set_rules(&mut self, rules: &Rules<'_>) -> Result<(), BpfError> {
        self.steer().set_rules(rules)
    }

    fn steer(&mut self) -> &mut Steer {
        match &mut self.kind {
            Kind::Monitor(device) => &mut device.steer,
            Kind::Port(port) => &mut port.steer,
        }
    }
}

impl Lossy {
    fn new(name: &str, index: u32, before: u64) -> Self {
        Self {
            name: name.to_owned(),
            index,
            before,
            since: AtomicU64::new(0),
        }
    }

    /// Packets that it lost since we came.
    fn lost(&self) -> u64 {
        if let Ok(Some(now)) = netlink::interface(&self.name)
            && now.index == self.index
        {
            self.since
                .fetch_max(now.rx_lost.saturating_sub(self.before), Relaxed);
        }
        self.since.load(Relaxed)
    }
}

/// How packets of an interface are had.
pub(super) enum Attached {
    /// Cloned into a monitor device.
    Tapped(Tapped),
    /// Read from its queues.
    Port(Reading),
}

impl Attached {
    /// As [`InterfaceSnapshot`](crate::status::InterfaceSnapshot) has it: mode of XDP, number of queues.
    pub(super) fn xdp(&self) -> (&'static str, u32) {
        match self {
            Self::Port(Reading {
                kind: Kind::Port(port),
                ..
            }) => (port.xdp, port.queues),
            // Monitor devices run XDP in the network stack and have one queue.
            _ => ("generic", 1),
        }
    }

    pub(super) fn count(&self, into: &mut Numbers) {
        match self {
            Self::Tapped(tapped) => into.add_verdicts(tapped.tap.counters()),
            Self::Port(reading) => reading.count(into),
        }
    }

    /// The flows that its program leaves alone.
    pub(super) fn shunts(&mut self) -> Shunts<'_> {
        match self {
            Self::Tapped(tapped) => tapped.tap.shunts(),
            Self::Port(reading) => reading.shunts(),
        }
    }

    pub(super) fn drain_log(&mut self) {
        match self {
            Self::Tapped(tapped) => tapped.tap.drain_log(),
            Self::Port(reading) => reading.drain_log(),
        }
    }

    pub(super) fn set_rules(&mut self, rules: &Rules<'_>) -> Result<(), BpfError> {
        match self {
            Self::Tapped(tapped) => tapped.tap.set_rules(rules),
            Self::Port(reading) => reading.set_rules(rules),
        }
    }
}

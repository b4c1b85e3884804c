//! What is attached to an interface, in either mode.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use crate::{
    capture::{
        CaptureError, Settings,
        mirror::Port,
        netlink::{self, Interface},
        tap::{Device, Layer, MonitorDevice, Tapped},
        xsk::{Probe, RxSocket},
    },
    service::live::state::Numbers,
};

/// Sockets that workers read, with the program that fills them.
pub(super) struct Reading {
    /// What [`Command::Remove`](crate::worker::Command::Remove) calls its sockets.
    pub(super) id: u64,
    pub(super) kind: Kind,
    probes: Vec<Probe>,
    /// The interface whose queues are read.
    interface: (String, u32),
    /// What it had lost before we came.
    lost_before: u64,
    /// What it has lost since, as last seen: when it is gone, it cannot be asked.
    lost: AtomicU64,
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
        let interface = (device.device.name.clone(), device.device.index);
        let sockets = sockets.into_iter().map(|socket| vec![socket]).collect();
        Self::new(id, Kind::Monitor(device), sockets, interface, 0)
    }

    /// A port and its sockets, by worker.
    pub(super) fn port(
        id: u64,
        interface: &Interface,
        frames: u32,
        settings: &Settings,
    ) -> Result<(Self, Vec<Vec<RxSocket>>), CaptureError> {
        let (port, sockets) = Port::open(interface, frames, settings)?;
        let named = (interface.name.clone(), interface.index);
        Self::new(id, Kind::Port(port), sockets, named, interface.rx_lost)
    }

    fn new(
        id: u64,
        kind: Kind,
        sockets: Vec<Vec<RxSocket>>,
        interface: (String, u32),
        lost_before: u64,
    ) -> Result<(Self, Vec<Vec<RxSocket>>), CaptureError> {
        let probes = sockets.iter().flatten().map(RxSocket::probe).collect::<Result<_, _>>();
        let probes = probes.map_err(CaptureError::Probe)?;
        Ok((Self { id, kind, probes, interface, lost_before, lost: AtomicU64::new(0) }, sockets))
    }

    /// Detaches the program: no packet comes any more.
    pub(super) fn detach(&mut self) {
        match &mut self.kind {
            Kind::Monitor(device) => device.steer.detach(),
            Kind::Port(port) => port.steer.detach(),
        }
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
        into.device_dropped += self.device_dropped();
        let steer = match &self.kind {
            Kind::Monitor(device) => &device.steer,
            Kind::Port(port) => &port.steer,
        };
        into.add_verdicts(steer.counters());
    }

    /// Packets that it lost before the program saw them.
    fn device_dropped(&self) -> u64 {
        let (name, index) = &self.interface;
        if let Ok(Some(now)) = netlink::interface(name)
            && now.index == *index
        {
            self.lost.fetch_max(now.rx_lost.saturating_sub(self.lost_before), Relaxed);
        }
        self.lost.load(Relaxed)
    }

    pub(super) fn drain_log(&mut self) {
        match &mut self.kind {
            Kind::Monitor(device) => device.steer.drain_log(),
            Kind::Port(port) => port.steer.drain_log(),
        }
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
            Self::Port(Reading { kind: Kind::Port(port), .. }) => (port.xdp, port.queues),
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

    pub(super) fn drain_log(&mut self) {
        match self {
            Self::Tapped(tapped) => tapped.tap.drain_log(),
            Self::Port(reading) => reading.drain_log(),
        }
    }
}

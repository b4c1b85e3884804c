//! Attachments of an interface: programs, sockets, and their counters.

use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::Relaxed;

use monitor_common::LinkType;

use super::totals::Totals;
use crate::capture::bpf::{BpfError, CaptureFilter, Shunts};
use crate::capture::checksums::ChecksumTrial;
use crate::capture::mirror::Port;
use crate::capture::netlink::{self, Interface};
use crate::capture::packet::{Direction, PacketGroup};
use crate::capture::socket::{CaptureSocket, Probe};
use crate::capture::tap::{Device, MonitorDevice, Tapped};
use crate::capture::{CaptureError, Settings};

/// Sockets of a device, in a list for each worker.
pub(super) type Sockets = Vec<Vec<CaptureSocket>>;

/// Monitor device, port or group of packet sockets: sockets that workers read, with the programs that fill them.
pub(super) struct CaptureDevice {
    /// Key of its sockets in [`WorkerHandle::remove`](crate::worker::WorkerHandle::remove).
    pub(super) id: u64,
    kind: DeviceKind,
    probes: Vec<Probe>,
    /// Trial of the checksums of its first segments.
    checksums: Arc<ChecksumTrial>,
    /// Interfaces on the packets' path to the program, which may drop them.
    path: Vec<DropCounter>,
}

enum DeviceKind {
    Monitor(MonitorDevice),
    Port(Port),
    Packet(PacketGroup),
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

impl CaptureDevice {
    /// Creates a monitor device.
    pub(super) fn monitor(
        id: u64,
        link_type: LinkType,
        frames: u32,
        settings: &Settings,
    ) -> Result<(Self, Sockets), CaptureError> {
        let (monitor, sockets) = MonitorDevice::create(link_type, frames, settings)?;
        let device = &monitor.device;
        let mut path = vec![DropCounter::new(&device.name, device.index, 0)];
        if let Some((name, index)) = &device.relay {
            path.push(DropCounter::new(name, *index, 0));
        }
        let trial = Arc::default();
        let sockets = sockets.into_iter().map(|socket| vec![socket]).collect();
        let sockets = convert(sockets, |socket| {
            CaptureSocket::Xdp(socket, Arc::clone(&trial))
        });
        Self::new(id, DeviceKind::Monitor(monitor), sockets, trial, path)
    }

    /// Opens a port by XDP.
    pub(super) fn port(
        id: u64,
        interface: &Interface,
        frames: u32,
        settings: &Settings,
    ) -> Result<(Self, Sockets), CaptureError> {
        let (port, sockets) = Port::open(interface, frames, settings)?;
        let trial = Arc::default();
        let sockets = convert(sockets, |socket| {
            CaptureSocket::Xdp(socket, Arc::clone(&trial))
        });
        Self::new(
            id,
            DeviceKind::Port(port),
            sockets,
            trial,
            vec![DropCounter::of(interface)],
        )
    }

    /// Opens packet sockets on an interface.
    pub(super) fn packet(
        id: u64,
        interface: &Interface,
        direction: Direction,
        memory: u64,
        settings: &Settings,
    ) -> Result<(Self, Sockets), CaptureError> {
        let (group, sockets) = PacketGroup::open(interface, direction, memory, settings)?;
        Self::new(
            id,
            DeviceKind::Packet(group),
            convert(sockets, CaptureSocket::Packet),
            Arc::default(),
            vec![DropCounter::of(interface)],
        )
    }

    /// Opens packet sockets on all interfaces.
    pub(super) fn packet_all(
        id: u64,
        memory: u64,
        settings: &Settings,
    ) -> Result<(Self, Sockets), CaptureError> {
        let (group, sockets) = PacketGroup::open_all(memory, settings)?;
        Self::new(
            id,
            DeviceKind::Packet(group),
            convert(sockets, CaptureSocket::Packet),
            Arc::default(),
            Vec::new(),
        )
    }

    fn new(
        id: u64,
        kind: DeviceKind,
        sockets: Sockets,
        checksums: Arc<ChecksumTrial>,
        path: Vec<DropCounter>,
    ) -> Result<(Self, Sockets), CaptureError> {
        let mut probes = Vec::new();
        for socket in sockets.iter().flatten() {
            probes.push(socket.probe()?);
        }
        let device = Self {
            id,
            kind,
            probes,
            checksums,
            path,
        };
        Ok((device, sockets))
    }

    /// Detaches the program: no further packet arrives.
    pub(super) fn detach(&mut self) {
        match &mut self.kind {
            DeviceKind::Monitor(monitor) => monitor.steer.detach(),
            DeviceKind::Port(port) => port.steer.detach(),
            DeviceKind::Packet(_) => self.probes.iter().for_each(Probe::stop),
        }
    }

    /// Returns the identity of the monitor device; `None` for other devices.
    pub(super) fn device(&self) -> Option<&Device> {
        match &self.kind {
            DeviceKind::Monitor(monitor) => Some(&monitor.device),
            _ => None,
        }
    }

    /// Returns the packet sockets; `None` for other devices.
    pub(super) fn group_mut(&mut self) -> Option<&mut PacketGroup> {
        match &mut self.kind {
            DeviceKind::Packet(group) => Some(group),
            _ => None,
        }
    }

    /// Requests promiscuous mode again, if the device needs it.
    fn renew_promiscuous(&mut self, interface: &Interface) -> Result<(), CaptureError> {
        let request = match &mut self.kind {
            DeviceKind::Monitor(_) => None,
            DeviceKind::Port(port) => Some(&mut port.promiscuous),
            DeviceKind::Packet(group) => group.promiscuous_mut(),
        };
        request.map_or(Ok(()), |request| request.renew(interface))
    }

    /// Returns the number of packets that the XDP program of a port saw; `None` for other devices.
    fn seen(&self) -> Option<u64> {
        match &self.kind {
            DeviceKind::Port(port) => {
                let counters = port.steer.counters().ok()?;
                Some(counters.iter().map(|(.., count)| count).sum())
            }
            _ => None,
        }
    }

    /// Adds its counters to `into`.
    pub(super) fn count(&self, into: &mut Totals) {
        for probe in &self.probes {
            into.received += probe.read();
        }
        into.device_dropped += self.path.iter().map(DropCounter::dropped).sum::<u64>();
        match &self.kind {
            DeviceKind::Monitor(monitor) => into.add_verdicts(monitor.steer.counters()),
            DeviceKind::Port(port) => into.add_verdicts(port.steer.counters()),
            DeviceKind::Packet(group) => {
                if let Some(filter) = group.filter() {
                    into.add_verdicts(filter.counters());
                }
            }
        }
    }

    /// Returns the table of flows that its program skips. A monitor device has none: the flows are not cloned.
    pub(super) fn shunts(&mut self) -> Option<Shunts<'_>> {
        match &mut self.kind {
            DeviceKind::Monitor(_) => None,
            DeviceKind::Port(port) => Some(port.steer.shunts()),
            DeviceKind::Packet(group) => Some(group.filter_mut()?.shunts()),
        }
    }

    pub(super) fn drain_log(&mut self) {
        match &mut self.kind {
            DeviceKind::Monitor(monitor) => monitor.steer.drain_log(),
            DeviceKind::Port(port) => port.steer.drain_log(),
            DeviceKind::Packet(_) => {}
        }
    }

    pub(super) fn set_filter(&mut self, filter: &CaptureFilter<'_>) -> Result<(), BpfError> {
        match &mut self.kind {
            DeviceKind::Monitor(monitor) => monitor.steer.set_filter(filter),
            DeviceKind::Port(port) => port.steer.set_filter(filter),
            DeviceKind::Packet(group) => group
                .filter_mut()
                .map_or(Ok(()), |programs| programs.set_filter(filter)),
        }
    }
}

fn convert<S>(sockets: Vec<Vec<S>>, convert: impl Fn(S) -> CaptureSocket) -> Sockets {
    sockets
        .into_iter()
        .map(|list| list.into_iter().map(&convert).collect())
        .collect()
}

impl DropCounter {
    fn of(interface: &Interface) -> Self {
        Self::new(&interface.name, interface.index, interface.rx_dropped)
    }

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
    /// It has a device of its own: a port, or packet sockets.
    Own(CaptureDevice),
    /// It is captured by the packet sockets on all interfaces.
    Shared,
}

impl Attached {
    /// Returns the path: `xdp` or `packet`.
    pub(super) fn path(&self) -> &'static str {
        match self {
            Self::Own(CaptureDevice {
                kind: DeviceKind::Packet(_),
                ..
            })
            | Self::Shared => "packet",
            Self::Tapped(_) | Self::Own(_) => "xdp",
        }
    }

    /// Returns the XDP mode, as in [`InterfaceSnapshot`](crate::status::InterfaceSnapshot).
    pub(super) fn xdp(&self) -> Option<&'static str> {
        match self {
            // Monitor devices run XDP in the network stack.
            Self::Tapped(_) => Some("generic"),
            Self::Own(device) => match &device.kind {
                DeviceKind::Port(port) => Some(port.xdp),
                _ => None,
            },
            Self::Shared => None,
        }
    }

    /// Returns the number of receive queues with sockets of their own.
    pub(super) fn queues(&self) -> u32 {
        match self {
            Self::Own(CaptureDevice {
                kind: DeviceKind::Port(port),
                ..
            }) => port.queues,
            // Monitor devices have one queue; packet sockets have no queues.
            _ => 1,
        }
    }

    /// Returns the device of its own, if it has one.
    fn own(&self) -> Option<&CaptureDevice> {
        match self {
            Self::Own(device) => Some(device),
            Self::Tapped(_) | Self::Shared => None,
        }
    }

    /// Requests promiscuous mode again, if the interface needs it.
    pub(super) fn renew_promiscuous(&mut self, interface: &Interface) -> Result<(), CaptureError> {
        match self {
            Self::Own(device) => device.renew_promiscuous(interface),
            Self::Tapped(_) | Self::Shared => Ok(()),
        }
    }

    /// Returns the number of packets that the XDP program of a port saw; `None` for other attachments.
    pub(super) fn seen(&self) -> Option<u64> {
        self.own()?.seen()
    }

    /// Returns whether the checksums of its first segments were all bad.
    pub(super) fn has_bad_checksums(&self) -> bool {
        self.own()
            .is_some_and(|device| device.checksums.has_failed())
    }

    pub(super) fn count(&self, into: &mut Totals) {
        match self {
            Self::Tapped(tapped) => into.add_verdicts(tapped.tap.counters()),
            Self::Own(device) => device.count(into),
            Self::Shared => {}
        }
    }

    /// Returns the table of flows that its program skips.
    pub(super) fn shunts(&mut self) -> Option<Shunts<'_>> {
        match self {
            Self::Tapped(tapped) => Some(tapped.tap.shunts()),
            Self::Own(device) => device.shunts(),
            Self::Shared => None,
        }
    }

    pub(super) fn drain_log(&mut self) {
        match self {
            Self::Tapped(tapped) => tapped.tap.drain_log(),
            Self::Own(device) => device.drain_log(),
            Self::Shared => {}
        }
    }

    pub(super) fn set_filter(&mut self, filter: &CaptureFilter<'_>) -> Result<(), BpfError> {
        match self {
            Self::Tapped(tapped) => tapped.tap.set_filter(filter),
            Self::Own(device) => device.set_filter(filter),
            Self::Shared => Ok(()),
        }
    }
}

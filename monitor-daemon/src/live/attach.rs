//! Attaching interfaces: the choice of the path, and the devices that packets pass.

use std::time::Instant;

use aya::util::KernelVersion;
use monitor_common::LinkType;
use tracing::{info, warn};

use super::devices::{Attached, CaptureDevice, Sockets};
use super::silence::SilenceGuard;
use super::supervisor::Supervisor;
use crate::capture::bpf::BpfError;
use crate::capture::mirror;
use crate::capture::netlink::{self, Interface};
use crate::capture::packet::{self, Direction};
use crate::capture::tap::{self, Device, Tapped};
use crate::capture::xsk::XskError;
use crate::capture::{self, CaptureError};
use crate::config::{CapturePath, Mode};
use crate::util::chain::Chain;
use crate::util::interfaces;

/// First kernel with TCX links for the programs of tap mode and with multi-buffer AF_XDP sockets.
const FIRST_WITH_XDP_TAP: KernelVersion = KernelVersion::new(6, 6, 0);

impl Supervisor {
    /// Attaches every interface; returns the error of the first that cannot be attached.
    pub(super) fn attach_all(&self) -> Result<(), CaptureError> {
        if !self.shared.state().patterns.is_empty() {
            let existing = netlink::interfaces().map_err(CaptureError::Netlink)?;
            self.shared.state().match_patterns(&existing);
        }
        let names: Vec<_> = self
            .shared
            .state()
            .interfaces
            .iter()
            .map(|i| i.name.clone())
            .collect();
        let mut interfaces = Vec::new();
        for name in &names {
            let interface = find(name)?;
            capture::link_type(&interface)?;
            interfaces.push(interface);
        }
        if interfaces.is_empty() {
            warn!("no interface matches [capture] interfaces yet");
        }
        if self.shared.mode == Mode::Tap && self.shared.path == CapturePath::Auto {
            if let Some(reason) = self.reason_against_xdp(&interfaces) {
                self.fall_back(reason);
            } else {
                match self.attach_each(&interfaces) {
                    Ok(()) => return Ok(()),
                    Err(error) if is_busy(&error) => return Err(error),
                    Err(error) => self.fall_back(Chain(&error).to_string()),
                }
            }
        }
        self.attach_each(&interfaces)
    }

    fn attach_each(&self, interfaces: &[Interface]) -> Result<(), CaptureError> {
        self.prepare(interfaces)
            .and_then(|()| {
                (0..)
                    .zip(interfaces)
                    .try_for_each(|(place, interface)| self.attach(place, interface))
            })
            .inspect_err(|_| self.undo())
    }

    /// Creates the devices that interfaces share.
    fn prepare(&self, interfaces: &[Interface]) -> Result<(), CaptureError> {
        if self.shared.mode == Mode::Mirror {
            return Ok(());
        }
        if self.uses_packet_sockets() {
            packet::supported()?;
            // Without BPF the sockets cannot select interfaces.
            let is_open = !self.shared.state().patterns.is_empty();
            if (is_open || interfaces.len() > packet::MOST_BOUND) && self.shared.bpf {
                let memory = self.shared.memory;
                let (device, sockets) =
                    CaptureDevice::packet_all(self.new_id(), memory, &self.shared.settings())?;
                self.share(device, sockets);
            }
            return Ok(());
        }
        if is_before_xdp_tap() {
            return Err(CaptureError::OldKernel);
        }
        capture::supported()?;
        tap::supported().map_err(CaptureError::TunDevice)?;
        let mut types = Vec::new();
        for interface in interfaces {
            let link_type = tap::device_type(interface)?;
            if !types.contains(&link_type) {
                types.push(link_type);
            }
        }
        for link_type in &types {
            self.add_monitor(*link_type, types.len() as u32)?;
        }
        Ok(())
    }

    /// Attaches an interface again after it was recreated.
    pub(super) fn reattach(&self, place: usize, interface: &Interface) {
        if self.shared.mode == Mode::Tap
            && !self.uses_packet_sockets()
            && let Ok(link_type) = tap::device_type(interface)
            && self.monitor(link_type).is_none()
        {
            let share = self.shared.state().shared.len() as u32 + 1;
            if let Err(error) = self.add_monitor(link_type, share) {
                self.warn_once(place, &format!("cannot be captured: {}", Chain(&error)));
                return;
            }
        }
        if let Err(error) = self.attach(place, interface) {
            self.warn_once(
                place,
                &format!("cannot be captured: {}; retrying", Chain(&error)),
            );
        }
    }

    fn attach(&self, place: usize, interface: &Interface) -> Result<(), CaptureError> {
        interfaces::set_index(&interface.name, interface.index);
        let attached = match self.shared.mode {
            Mode::Tap if self.uses_packet_sockets() => self.tap_by_packet_sockets(interface)?,
            Mode::Tap => Attached::Tapped(self.tap(interface)?),
            Mode::Mirror => Attached::Own(self.mirror(place, interface)?),
        };
        // Read afterwards: some drivers add queues when a program is attached.
        let layout = match self.shared.mode {
            Mode::Mirror => mirror::layout(interface),
            Mode::Tap => None,
        };
        match (self.shared.mode, attached.xdp()) {
            (Mode::Tap, _) => info!("{}: tapping this host's connections", interface.name),
            (Mode::Mirror, None) => info!("{}: capturing through packet sockets", interface.name),
            (Mode::Mirror, Some(xdp)) => info!(
                "{}: capturing, {xdp}, {} queues",
                interface.name,
                attached.queues()
            ),
        }
        let mut state = self.shared.state();
        let own = &mut state.interfaces[place];
        own.index = interface.index;
        own.attached = Some(attached);
        own.layout = layout;
        own.since = Instant::now();
        own.carrier_ups = interface.carrier_ups;
        own.guard = SilenceGuard::default();
        own.up = true;
        own.last_warning.clear();
        drop(state);
        if !interface.up {
            self.set_up(place, interface);
        }
        Ok(())
    }

    fn tap(&self, interface: &Interface) -> Result<Tapped, CaptureError> {
        let link_type = tap::device_type(interface)?;
        let device = self.monitor(link_type).ok_or(CaptureError::NoMonitor)?;
        Tapped::attach(interface, &device, &self.shared.settings())
    }

    fn tap_by_packet_sockets(&self, interface: &Interface) -> Result<Attached, CaptureError> {
        let mut state = self.shared.state();
        if let Some(group) = state.shared.iter_mut().find_map(CaptureDevice::group_mut) {
            group.add(interface)?;
            return Ok(Attached::Shared);
        }
        drop(state);
        self.packet_sockets(interface, Direction::Both)
            .map(Attached::Own)
    }

    /// Opens a port by XDP if the driver runs it natively, or else by packet sockets.
    fn mirror(&self, place: usize, interface: &Interface) -> Result<CaptureDevice, CaptureError> {
        let refused = self.shared.state().interfaces[place].refused_xdp.clone();
        let reason = match self.shared.path {
            CapturePath::Packet => None,
            CapturePath::Auto if refused.is_some() => refused,
            CapturePath::Auto if self.shared.xdp_missing.is_some() => {
                self.shared.xdp_missing.clone()
            }
            path => match self.port(interface) {
                Err(error) if path == CapturePath::Auto && !is_busy(&error) => {
                    Some(Chain(&error).to_string())
                }
                result => return result,
            },
        };
        let device = self.packet_sockets(interface, Direction::Received)?;
        if let Some(reason) = reason {
            self.fall_back(reason);
        }
        Ok(device)
    }

    fn port(&self, interface: &Interface) -> Result<CaptureDevice, CaptureError> {
        capture::supported()?;
        let frames = self.shared.frames / self.interfaces();
        let (device, sockets) =
            CaptureDevice::port(self.new_id(), interface, frames, &self.shared.settings())?;
        self.distribute(device.id, sockets);
        Ok(device)
    }

    fn packet_sockets(
        &self,
        interface: &Interface,
        direction: Direction,
    ) -> Result<CaptureDevice, CaptureError> {
        let memory = self.shared.memory / u64::from(self.interfaces());
        let settings = self.shared.settings();
        let (device, sockets) =
            CaptureDevice::packet(self.new_id(), interface, direction, memory, &settings)?;
        self.distribute(device.id, sockets);
        Ok(device)
    }

    fn interfaces(&self) -> u32 {
        self.shared.state().interfaces.len().max(1) as u32
    }

    fn add_monitor(&self, link_type: LinkType, share: u32) -> Result<(), CaptureError> {
        let frames = self.shared.frames / share;
        let (device, sockets) =
            CaptureDevice::monitor(self.new_id(), link_type, frames, &self.shared.settings())?;
        self.share(device, sockets);
        Ok(())
    }

    fn share(&self, device: CaptureDevice, sockets: Sockets) {
        self.distribute(device.id, sockets);
        self.shared.state().shared.push(device);
    }

    fn distribute(&self, device: u64, sockets: Sockets) {
        for (handle, sockets) in self.shared.handles.iter().zip(sockets) {
            for socket in sockets {
                handle.add(device, socket);
            }
        }
    }

    fn monitor(&self, link_type: LinkType) -> Option<Device> {
        let state = self.shared.state();
        state
            .shared
            .iter()
            .filter_map(CaptureDevice::device)
            .find(|device| device.link_type == link_type)
            .cloned()
    }

    /// Detaches everything, so that it can be attached by another path.
    fn undo(&self) {
        let count = self.shared.state().interfaces.len();
        for place in 0..count {
            self.detach(place);
        }
        let mut state = self.shared.state();
        let devices = std::mem::take(&mut state.shared);
        let ids: Vec<_> = devices
            .into_iter()
            .map(|device| state.close(device))
            .collect();
        drop(state);
        for id in ids {
            self.retire(id);
        }
    }

    fn uses_packet_sockets(&self) -> bool {
        match self.shared.path {
            CapturePath::Packet => true,
            CapturePath::Xdp => false,
            CapturePath::Auto => self.shared.fallback().is_some(),
        }
    }

    /// Records and logs the reason for packet sockets, once.
    fn fall_back(&self, reason: String) {
        let mut fallback = self.shared.fallback();
        if fallback.as_ref() != Some(&reason) {
            info!("capturing through packet sockets: {reason}");
            *fallback = Some(reason);
        }
    }

    /// Returns a reason against XDP in tap mode that is known without trying it.
    fn reason_against_xdp(&self, interfaces: &[Interface]) -> Option<String> {
        if let Some(missing) = &self.shared.xdp_missing {
            return Some(missing.clone());
        }
        if interfaces.len() > 1 || !self.shared.state().patterns.is_empty() {
            return Some(
                "with several interfaces, only packet sockets show where a packet was captured"
                    .to_owned(),
            );
        }
        if is_before_xdp_tap() {
            return Some("XDP in tap mode needs Linux 6.6".to_owned());
        }
        if let Err(error) = capture::supported() {
            return Some(Chain(&error).to_string());
        }
        if let Err(error) = tap::supported() {
            return Some(Chain(&CaptureError::TunDevice(error)).to_string());
        }
        None
    }
}

fn is_before_xdp_tap() -> bool {
    KernelVersion::current().is_ok_and(|kernel| kernel < FIRST_WITH_XDP_TAP)
}

/// Returns whether another program uses the interface or its queue. Packet sockets would see none of its packets.
fn is_busy(error: &CaptureError) -> bool {
    match error {
        CaptureError::Bpf(error) => matches!(**error, BpfError::Busy { .. }),
        CaptureError::Xsk(error) => matches!(error, XskError::Busy { .. }),
        _ => false,
    }
}

/// Returns the interface of that name, or an error that lists the existing ones.
fn find(name: &str) -> Result<Interface, CaptureError> {
    let found = netlink::interface(name).map_err(CaptureError::Netlink)?;
    match found {
        Some(interface) => Ok(interface),
        None => {
            let there = netlink::names().map_err(CaptureError::Netlink)?;
            Err(CaptureError::NoInterface {
                interface: name.to_owned(),
                there,
            })
        }
    }
}

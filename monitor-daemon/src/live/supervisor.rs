//! Supervisor thread: keeps the interfaces attached. It checks them when the kernel reports a change, and once a second.
//!
//! Each check compares the interfaces that exist with those that are attached, so that a missed report does no harm.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, mpsc};
use std::time::{Duration, Instant};

use monitor_common::LinkType;
use rustix::event::{PollFd, PollFlags, poll};
use rustix::fd::OwnedFd;
use rustix::time::Timespec;
use tracing::{error, info, warn};

use super::Shared;
use super::devices::{Attached, CaptureDevice};
use super::state::Totals;
use crate::capture::netlink::{self, Changes, Interface};
use crate::capture::tap::{self, Device, Tapped};
use crate::capture::xsk::RxSocket;
use crate::capture::{CaptureError, mirror};
use crate::config::Mode;
use crate::util::chain::Chain;

/// Interval of checks without a report, and of draining the programs' messages into the log.
const PERIOD: Timespec = Timespec {
    tv_sec: 1,
    tv_nsec: 0,
};
/// Least time between two periodic checks: a little less than the period, since poll() may return early.
const CHECK: Duration = Duration::from_millis(900);
/// Interval of removing shunted flows that were quiet for too long.
const SWEEP: Duration = Duration::from_secs(10);
/// Time that a worker has for closing its sockets.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(5);

pub(super) struct Supervisor {
    shared: Arc<Shared>,
    changes: Changes,
    stop: OwnedFd,
    next_id: AtomicU64,
}

impl Supervisor {
    pub(super) fn new(shared: Arc<Shared>, changes: Changes, stop: OwnedFd) -> Self {
        Self {
            shared,
            changes,
            stop,
            next_id: AtomicU64::new(0),
        }
    }

    /// Attaches every interface; returns the error of the first that cannot be attached.
    pub(super) fn attach_all(&self) -> Result<(), CaptureError> {
        let names: Vec<_> = self
            .shared
            .state()
            .interfaces
            .iter()
            .map(|i| i.name.clone())
            .collect();
        let interfaces = names
            .iter()
            .map(|name| find(name))
            .collect::<Result<Vec<_>, _>>()?;
        if self.shared.mode == Mode::Tap {
            tap::supported().map_err(CaptureError::TunDevice)?;
            let mut types = Vec::new();
            for interface in &interfaces {
                let link_type = tap::device_type(interface)?;
                if !types.contains(&link_type) {
                    types.push(link_type);
                }
            }
            for link_type in &types {
                self.add_monitor(*link_type, types.len() as u32)?;
            }
        }
        for (place, interface) in interfaces.iter().enumerate() {
            self.attach(place, interface)
                .inspect_err(|_| self.shared.state().detach_all())?;
        }
        Ok(())
    }

    /// Runs until the stop descriptor is readable.
    pub(super) fn run(self) {
        let (mut checked, mut swept) = (Instant::now(), Instant::now());
        loop {
            let mut list = [
                PollFd::new(&self.changes, PollFlags::IN),
                PollFd::new(&self.stop, PollFlags::IN),
                PollFd::new(&*self.shared.shunts, PollFlags::IN),
            ];
            // An interrupted wait is a short one.
            let _ = poll(&mut list, Some(&PERIOD));
            if !list[1].revents().is_empty() {
                return;
            }
            let timeout = self.shared.settings().shunt_timeout;
            self.shared
                .state()
                .apply_shunts(self.shared.shunts.take(), timeout);
            if swept.elapsed() >= SWEEP {
                self.shared.state().sweep_shunts(timeout);
                swept = Instant::now();
            }
            if list[0].revents().is_empty() && checked.elapsed() < CHECK {
                continue;
            }
            checked = Instant::now();
            self.changes.clear();
            let attaching = self.shared.attaching();
            self.check_monitors();
            self.check_interfaces();
            drop(attaching);
            self.drain_logs();
        }
    }

    fn check_interfaces(&self) {
        let count = self.shared.state().interfaces.len();
        for place in 0..count {
            let (name, attached_to) = {
                let state = self.shared.state();
                let interface_state = &state.interfaces[place];
                (
                    interface_state.name.clone(),
                    interface_state
                        .attached
                        .as_ref()
                        .map(|_| interface_state.index),
                )
            };
            match (netlink::interface(&name), attached_to) {
                (Ok(Some(now)), Some(index)) if now.index == index => {
                    self.update_up(place, &now);
                    if self.queues_changed(place, &now) {
                        self.warn_once(place, "has another number of queues; reopening it");
                        self.detach(place);
                        self.reattach(place, &now);
                    }
                }
                (Ok(now), Some(_)) => {
                    self.warn_once(
                        place,
                        "is gone; the capture continues without it and attaches it when it is back",
                    );
                    self.detach(place);
                    if let Some(now) = now {
                        self.reattach(place, &now);
                    }
                }
                (Ok(Some(now)), None) => self.reattach(place, &now),
                (Ok(None), None) => {}
                (Err(error), _) => {
                    self.warn_once(place, &format!("cannot be checked: {}", Chain(&error)));
                }
            }
        }
    }

    /// Returns whether a port has another number of queues: packets of a queue without a socket are not captured.
    fn queues_changed(&self, place: usize, interface: &Interface) -> bool {
        let state = self.shared.state();
        match &state.interfaces[place].attached {
            Some(port @ Attached::Port(_)) => {
                mirror::queues(interface).is_ok_and(|now| now != port.xdp().1)
            }
            _ => false,
        }
    }

    fn reattach(&self, place: usize, interface: &Interface) {
        if self.shared.mode == Mode::Tap
            && let Ok(link_type) = tap::device_type(interface)
            && self.monitor(link_type).is_none()
        {
            let share = self.shared.state().monitors.len() as u32 + 1;
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
        let attached = match self.shared.mode {
            Mode::Tap => Attached::Tapped(self.tap(interface)?),
            Mode::Mirror => {
                let frames = self.shared.frames / self.shared.state().interfaces.len() as u32;
                let (device, sockets) =
                    CaptureDevice::port(self.new_id(), interface, frames, &self.shared.settings())?;
                self.distribute(device.id, sockets);
                Attached::Port(device)
            }
        };
        let (xdp, queues) = attached.xdp();
        let mut state = self.shared.state();
        let interface_state = &mut state.interfaces[place];
        match self.shared.mode {
            Mode::Tap => info!("{}: tapping this host's connections", interface.name),
            Mode::Mirror => info!("{}: capturing, {xdp}, {queues} queues", interface.name),
        }
        interface_state.index = interface.index;
        interface_state.attached = Some(attached);
        interface_state.up = true;
        interface_state.last_warning.clear();
        drop(state);
        self.update_up(place, interface);
        if interface.veth && self.shared.verify_checksums {
            warn!(
                "{}: what a host sends into a veth has no checksum yet and will be dropped as damaged (counted as \
                 bad_checksum); set [tcp] verify_checksums = \"never\" to see it",
                interface.name
            );
        }
        Ok(())
    }

    fn tap(&self, interface: &Interface) -> Result<Tapped, CaptureError> {
        let link_type = tap::device_type(interface)?;
        let device = self.monitor(link_type).ok_or(CaptureError::NoMonitor)?;
        Tapped::attach(interface, &device, &self.shared.settings())
    }

    fn add_monitor(&self, link_type: LinkType, share: u32) -> Result<(), CaptureError> {
        let frames = self.shared.frames / share;
        let (device, sockets) =
            CaptureDevice::monitor(self.new_id(), link_type, frames, &self.shared.settings())?;
        self.distribute(device.id, sockets);
        self.shared.state().monitors.push(device);
        Ok(())
    }

    /// Brings monitor devices up that were taken down, and replaces deleted ones.
    fn check_monitors(&self) {
        let identity = |device: &CaptureDevice| Some((device.id, device.device()?.clone()));
        let devices: Vec<_> = self
            .shared
            .state()
            .monitors
            .iter()
            .filter_map(identity)
            .collect();
        for (id, device) in devices {
            let name = &device.name;
            match netlink::interface(name) {
                Ok(Some(now)) if now.index == device.index && now.up => {}
                Ok(Some(now)) if now.index == device.index => {
                    warn!("{name}: the monitor device was taken down; bringing it up again");
                    if let Err(error) = device.bring_up() {
                        error!("{}", Chain(&error));
                    }
                }
                Ok(_) => {
                    error!("{name}: the monitor device was removed; creating another");
                    self.replace_monitor(id);
                }
                Err(error) => warn!("{name}: cannot be checked: {error}"),
            }
        }
    }

    /// Detaches a monitor device and its interfaces. The next check attaches them to another device.
    fn replace_monitor(&self, id: u64) {
        let mut state = self.shared.state();
        let Some(place) = state.monitors.iter().position(|monitor| monitor.id == id) else {
            return;
        };
        let monitor = state.monitors.remove(place);
        let index = monitor.device().map(|device| device.index);
        let clones = |attached: &Attached| matches!(attached, Attached::Tapped(t) if Some(t.monitor) == index);
        let places = state.interfaces.iter().enumerate();
        let places = places
            .filter(|(_, interface_state)| interface_state.attached.as_ref().is_some_and(clones));
        let places: Vec<_> = places.map(|(place, _)| place).collect();
        let id = state.close(monitor);
        drop(state);
        places.into_iter().for_each(|place| self.detach(place));
        self.retire(id);
    }

    fn detach(&self, place: usize) {
        let mut state = self.shared.state();
        let interface_state = &mut state.interfaces[place];
        interface_state.up = false;
        let Some(attached) = interface_state.attached.take() else {
            return;
        };
        match attached {
            tapped @ Attached::Tapped(_) => {
                let mut totals = Totals::default();
                tapped.count(&mut totals);
                state.retired.add(&totals);
            }
            Attached::Port(port) => {
                let id = state.close(port);
                drop(state);
                self.retire(id);
            }
        }
    }

    /// Lets the workers read the remaining packets, closes the sockets, and retains the counters.
    fn retire(&self, id: u64) {
        let (closed, wait) = mpsc::channel();
        for handle in self.shared.handles.iter() {
            handle.remove(id, closed.clone());
        }
        drop(closed);
        if wait.recv_timeout(CLOSE_TIMEOUT) == Err(mpsc::RecvTimeoutError::Timeout) {
            error!("a worker does not answer; its sockets stay open");
        }
        let closed = self.shared.state().closed(id);
        // Its descriptors are closed here, not under the lock.
        drop(closed);
    }

    fn distribute(&self, device: u64, sockets: Vec<Vec<RxSocket>>) {
        for (handle, sockets) in self.shared.handles.iter().zip(sockets) {
            sockets
                .into_iter()
                .for_each(|source| handle.add(device, source));
        }
    }

    fn update_up(&self, place: usize, interface: &Interface) {
        let was = std::mem::replace(&mut self.shared.state().interfaces[place].up, interface.up);
        match (was, interface.up) {
            (true, false) => self.warn_once(place, "is down; nothing comes until it is up"),
            (false, true) => {
                info!("{}: is up again", interface.name);
                self.shared.state().interfaces[place].last_warning.clear();
            }
            _ => {}
        }
    }

    /// Logs a warning about an interface, unless it repeats the last one.
    fn warn_once(&self, place: usize, text: &str) {
        let mut state = self.shared.state();
        let interface_state = &mut state.interfaces[place];
        if interface_state.last_warning != text {
            warn!("{}: {text}", interface_state.name);
            text.clone_into(&mut interface_state.last_warning);
        }
    }

    fn monitor(&self, link_type: LinkType) -> Option<Device> {
        let state = self.shared.state();
        state
            .monitors
            .iter()
            .filter_map(CaptureDevice::device)
            .find(|device| device.link_type == link_type)
            .cloned()
    }

    fn drain_logs(&self) {
        let mut state = self.shared.state();
        state.monitors.iter_mut().for_each(CaptureDevice::drain_log);
        state
            .interfaces
            .iter_mut()
            .filter_map(|i| i.attached.as_mut())
            .for_each(Attached::drain_log);
    }

    fn new_id(&self) -> u64 {
        self.next_id.fetch_add(1, Ordering::Relaxed)
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

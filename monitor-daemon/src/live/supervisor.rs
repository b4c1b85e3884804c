//! Keeps the interfaces attached: looks at them when the kernel says that one changed, and once a second.
//!
//! It compares what there is with what is attached, and never relies on having seen every change.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, mpsc};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, poll};
use rustix::fd::OwnedFd;
use rustix::time::Timespec;
use tracing::{error, info, warn};

use super::Shared;
use super::devices::{Attached, Reading};
use super::state::Numbers;
use crate::capture::netlink::{self, Changes, Interface};
use crate::capture::tap::{self, Device, Layer, Tapped};
use crate::capture::xsk::RxSocket;
use crate::capture::{CaptureError, mirror};
use crate::config::Mode;

/// How often is looked without being told, and the programs' messages are taken to the log.
const PERIOD: Timespec = Timespec {
    tv_sec: 1,
    tv_nsec: 0,
};
/// A little less, so that a whole period is never told from it.
const LOOK: Duration = Duration::from_millis(900);
/// How often flows are looked for that are shunted and have been quiet for too long.
const SWEEP: Duration = Duration::from_secs(10);
/// A worker that has not closed a socket after so long hangs.
const PATIENCE: Duration = Duration::from_secs(5);

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

    /// Attaches every interface, or says why one cannot be.
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
            let mut kinds = Vec::new();
            for interface in &interfaces {
                let layer = Layer::of(interface)?;
                if !kinds.contains(&layer) {
                    kinds.push(layer);
                }
            }
            for layer in &kinds {
                self.add_monitor(*layer, kinds.len() as u32)?;
            }
        }
        for (place, interface) in interfaces.iter().enumerate() {
            self.attach(place, interface)
                .inspect_err(|_| self.shared.state().detach_all())?;
        }
        Ok(())
    }

    /// Works until it is told to stop.
    pub(super) fn run(self) {
        let (mut looked, mut swept) = (Instant::now(), Instant::now());
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
            let patience = self.shared.settings().shunt_patience;
            self.shared
                .state()
                .follow(self.shared.shunts.take(), patience);
            if swept.elapsed() >= SWEEP {
                self.shared.state().sweep_shunts(patience);
                swept = Instant::now();
            }
            if list[0].revents().is_empty() && looked.elapsed() < LOOK {
                continue;
            }
            looked = Instant::now();
            self.changes.clear();
            let attaching = self.shared.attaching();
            self.look_at_monitors();
            self.look_at_interfaces();
            drop(attaching);
            self.drain_logs();
        }
    }

    fn look_at_interfaces(&self) {
        let count = self.shared.state().interfaces.len();
        for place in 0..count {
            let (name, attached_to) = {
                let state = self.shared.state();
                let watched = &state.interfaces[place];
                (
                    watched.name.clone(),
                    watched.attached.as_ref().map(|_| watched.index),
                )
            };
            match (netlink::interface(&name), attached_to) {
                (Ok(Some(now)), Some(index)) if now.index == index => {
                    self.note_up(place, &now);
                    if self.queues_changed(place, &now) {
                        self.say(place, "has another number of queues; opening it again");
                        self.detach(place);
                        self.reattach(place, &now);
                    }
                }
                (Ok(now), Some(_)) => {
                    self.say(
                        place,
                        "is gone; the capture goes on without it and picks it up when it is back",
                    );
                    self.detach(place);
                    if let Some(now) = now {
                        self.reattach(place, &now);
                    }
                }
                (Ok(Some(now)), None) => self.reattach(place, &now),
                (Ok(None), None) => {}
                (Err(error), _) => self.say(place, &format!("cannot be looked at: {error}")),
            }
        }
    }

    /// Packets of a queue without a socket would go unseen.
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
            && let Ok(layer) = Layer::of(interface)
            && self.monitor(layer).is_none()
        {
            let share = self.shared.state().monitors.len() as u32 + 1;
            if let Err(error) = self.add_monitor(layer, share) {
                self.say(place, &format!("cannot be captured: {error}"));
                return;
            }
        }
        if let Err(error) = self.attach(place, interface) {
            self.say(place, &format!("cannot be captured: {error}; trying again"));
        }
    }

    fn attach(&self, place: usize, interface: &Interface) -> Result<(), CaptureError> {
        let attached = match self.shared.mode {
            Mode::Tap => Attached::Tapped(self.tap(interface)?),
            Mode::Mirror => {
                let frames = self.shared.frames / self.shared.state().interfaces.len() as u32;
                let (reading, sockets) =
                    Reading::port(self.new_id(), interface, frames, &self.shared.settings())?;
                self.hand_out(reading.id, sockets);
                Attached::Port(reading)
            }
        };
        let (xdp, queues) = attached.xdp();
        let mut state = self.shared.state();
        let watched = &mut state.interfaces[place];
        match self.shared.mode {
            Mode::Tap => info!("{}: tapping this host's connections", interface.name),
            Mode::Mirror => info!("{}: capturing, {xdp}, {queues} queues", interface.name),
        }
        watched.index = interface.index;
        watched.attached = Some(attached);
        watched.up = true;
        watched.said.clear();
        drop(state);
        self.note_up(place, interface);
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
        let layer = Layer::of(interface)?;
        let device = self.monitor(layer).ok_or(CaptureError::NoMonitor)?;
        Tapped::attach(interface, &device, &self.shared.settings())
    }

    fn add_monitor(&self, layer: Layer, share: u32) -> Result<(), CaptureError> {
        let frames = self.shared.frames / share;
        let (reading, sockets) =
            Reading::monitor(self.new_id(), layer, frames, &self.shared.settings())?;
        self.hand_out(reading.id, sockets);
        self.shared.state().monitors.push(reading);
        Ok(())
    }

    /// Monitor devices that somebody took down come up again; for one that was deleted a new one is made.
    fn look_at_monitors(&self) {
        let identity = |reading: &Reading| Some((reading.id, reading.device()?.clone()));
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
                        error!("{error}");
                    }
                }
                Ok(_) => {
                    error!("{name}: the monitor device was removed; making a new one");
                    self.replace_monitor(id);
                }
                Err(error) => warn!("{name}: cannot be looked at: {error}"),
            }
        }
    }

    /// Detaches its interfaces; they are attached again, to a new device, with those that came back.
    fn replace_monitor(&self, id: u64) {
        let mut state = self.shared.state();
        let Some(place) = state.monitors.iter().position(|monitor| monitor.id == id) else {
            return;
        };
        let monitor = state.monitors.remove(place);
        let index = monitor.device().map(|device| device.index);
        let clones = |attached: &Attached| matches!(attached, Attached::Tapped(t) if Some(t.monitor) == index);
        let places = state.interfaces.iter().enumerate();
        let places = places.filter(|(_, watched)| watched.attached.as_ref().is_some_and(clones));
        let places: Vec<_> = places.map(|(place, _)| place).collect();
        let id = state.close(monitor);
        drop(state);
        places.into_iter().for_each(|place| self.detach(place));
        self.retire(id);
    }

    fn detach(&self, place: usize) {
        let mut state = self.shared.state();
        let watched = &mut state.interfaces[place];
        watched.up = false;
        let Some(attached) = watched.attached.take() else {
            return;
        };
        match attached {
            tapped @ Attached::Tapped(_) => {
                let mut numbers = Numbers::default();
                tapped.count(&mut numbers);
                state.retired.add(&numbers);
            }
            Attached::Port(port) => {
                let id = state.close(port);
                drop(state);
                self.retire(id);
            }
        }
    }

    /// Lets the workers read what is left, closes the sockets and keeps the numbers.
    fn retire(&self, id: u64) {
        let (gone, wait) = mpsc::channel();
        for place in self.shared.places.iter() {
            place.remove(id, gone.clone());
        }
        drop(gone);
        if wait.recv_timeout(PATIENCE) == Err(mpsc::RecvTimeoutError::Timeout) {
            error!("a worker does not answer; its sockets stay open");
        }
        let closed = self.shared.state().closed(id);
        // Its descriptors are closed here, not under the lock.
        drop(closed);
    }

    fn hand_out(&self, port: u64, sockets: Vec<Vec<RxSocket>>) {
        for (place, sockets) in self.shared.places.iter().zip(sockets) {
            sockets
                .into_iter()
                .for_each(|source| place.add(port, source));
        }
    }

    fn note_up(&self, place: usize, interface: &Interface) {
        let was = std::mem::replace(&mut self.shared.state().interfaces[place].up, interface.up);
        match (was, interface.up) {
            (true, false) => self.say(place, "is down; nothing comes until it is up"),
            (false, true) => {
                info!("{}: is up again", interface.name);
                self.shared.state().interfaces[place].said.clear();
            }
            _ => {}
        }
    }

    /// A warning about an interface, unless it was the last thing said about it.
    fn say(&self, place: usize, what: &str) {
        let mut state = self.shared.state();
        let watched = &mut state.interfaces[place];
        if watched.said != what {
            warn!("{}: {what}", watched.name);
            what.clone_into(&mut watched.said);
        }
    }

    fn monitor(&self, layer: Layer) -> Option<Device> {
        let state = self.shared.state();
        state
            .monitors
            .iter()
            .filter_map(Reading::device)
            .find(|device| device.layer == layer)
            .cloned()
    }

    fn drain_logs(&self) {
        let mut state = self.shared.state();
        state.monitors.iter_mut().for_each(Reading::drain_log);
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

/// The interface of that name, or an error that lists those there are.
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

//! Supervisor thread: keeps the interfaces attached. It checks them when the kernel reports a change, and once a second.
//!
//! Each check compares the interfaces that exist with those that are attached, so that a missed report does no harm.

use std::io;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, mpsc};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, poll};
use rustix::thread::CapabilitySet;
use rustix::time::Timespec;
use tracing::{debug, error, info, warn};

use super::devices::{Attached, CaptureDevice};
use super::shared::Shared;
use super::totals::Totals;
use crate::capture::mirror;
use crate::capture::netlink::{self, Changes, Interface};
use crate::config::CapturePath;
use crate::util::capabilities;
use crate::util::chain::Chain;
use crate::util::notifier::Notifier;

/// Interval of checks without a report, and of draining the programs' messages into the log.
const PERIOD: Timespec = Timespec {
    tv_sec: 1,
    tv_nsec: 0,
};
/// Least time between two periodic checks: a little less than the period, since poll() may return early.
const CHECK: Duration = Duration::from_millis(900);
/// Interval of removing shunted flows that were quiet for too long.
const SWEEP: Duration = Duration::from_secs(10);
/// Time in which a link may be down after a program was attached: some drivers reset the card then.
const BOUNCE: Duration = Duration::from_secs(5);
/// Time that a worker has for closing its sockets.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(5);

/// Capabilities for attaching interfaces: to open sockets, to load programs and to register packet buffers.
const CAPABILITIES: CapabilitySet = CapabilitySet::NET_ADMIN
    .union(CapabilitySet::NET_RAW)
    .union(CapabilitySet::BPF)
    .union(CapabilitySet::PERFMON)
    .union(CapabilitySet::IPC_LOCK);

pub(super) struct Supervisor {
    pub(super) shared: Arc<Shared>,
    changes: Changes,
    stop: Arc<Notifier>,
    next_id: AtomicU64,
}

impl Supervisor {
    pub(super) fn new(shared: Arc<Shared>, changes: Changes, stop: Arc<Notifier>) -> Self {
        Self {
            shared,
            changes,
            stop,
            next_id: AtomicU64::new(0),
        }
    }

    /// Runs until the stop notification, then detaches all programs. Keeps only the capabilities for attaching further
    /// interfaces.
    pub(super) fn run(self) {
        capabilities::keep(CAPABILITIES);
        let shared = Arc::clone(&self.shared);
        let _closed_at_the_end = shared.requests.close_guard();
        self.watch();
        shared.state().detach_all();
    }

    fn watch(self) {
        let (mut checked, mut swept) = (Instant::now(), Instant::now());
        loop {
            let mut list = [
                PollFd::new(&self.changes, PollFlags::IN),
                PollFd::new(&*self.stop, PollFlags::IN),
                PollFd::new(&*self.shared.shunts, PollFlags::IN),
                PollFd::new(&self.shared.requests, PollFlags::IN),
            ];
            // An interrupted wait is a short one.
            let _ = poll(&mut list, Some(&PERIOD));
            if !list[1].revents().is_empty() {
                return;
            }
            self.shared.requests.run_pending();
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
            self.check_monitors();
            self.check_interfaces();
            self.drain_logs();
        }
    }

    fn check_interfaces(&self) {
        let (monitored, has_patterns) = {
            let state = self.shared.state();
            (state.interfaces.len(), !state.patterns.is_empty())
        };
        let found = Found::new(monitored, has_patterns);
        if let Found::All(Ok(all)) = &found {
            self.shared.state().match_patterns(all);
        }
        let interfaces: Vec<_> = {
            let state = self.shared.state();
            let own = state.interfaces.iter().map(|interface| {
                let attached = interface.attached.as_ref().map(|_| interface.index);
                (interface.name.clone(), attached)
            });
            own.collect()
        };
        for (place, (name, attached_to)) in interfaces.into_iter().enumerate() {
            match (found.interface(&name), attached_to) {
                (Ok(Some(now)), Some(index)) if now.index == index => {
                    self.update_up(place, &now);
                    self.check_checksums(place);
                    let reason = if self.layout_changed(place, &now) {
                        Some("has another number of queues or another MTU; reopening it")
                    } else {
                        self.silence(place, &now)
                    };
                    if let Some(reason) = reason
                        && self.may_attach(place)
                    {
                        self.warn_once(place, reason);
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
                (Ok(Some(now)), None) => {
                    if self.may_attach(place) {
                        self.reattach(place, &now);
                    }
                }
                (Ok(None), None) => {}
                (Err(error), _) => {
                    self.warn_once(place, &format!("cannot be checked: {}", Chain(&error)));
                }
            }
        }
    }

    /// Returns whether a port has another number of queues or another MTU. Packets of a queue without a socket are not
    /// captured, larger ones may not fit into a frame, and the driver may run XDP with one layout but not with another.
    fn layout_changed(&self, place: usize, interface: &Interface) -> bool {
        let before = self.shared.state().interfaces[place].layout;
        before.is_some() && mirror::layout(interface).is_some_and(|now| Some(now) != before)
    }

    /// Returns whether an interface may be attached now, and counts the attempt.
    fn may_attach(&self, place: usize) -> bool {
        let mut state = self.shared.state();
        state.interfaces[place].backoff.attempt(Instant::now())
    }

    /// Returns the warning about a port whose XDP program sees none of its packets. If another path is possible, the next
    /// attachment takes it.
    fn silence(&self, place: usize, interface: &Interface) -> Option<&'static str> {
        const SILENT: &str = "its driver does not run the XDP program that it accepted";
        let mut state = self.shared.state();
        let own = &mut state.interfaces[place];
        let seen = own.attached.as_ref()?.seen()?;
        if !own
            .guard
            .is_silent(Instant::now(), interface.rx_packets, seen)
        {
            return None;
        }
        if self.shared.path == CapturePath::Auto {
            own.refused_xdp = Some(format!("{}: {SILENT}", own.name));
            return Some(
                "receives packets, but its XDP program sees none; capturing it through packet sockets",
            );
        }
        drop(state);
        self.warn_once(
            place,
            "receives packets, but its XDP program sees none; set capture.path to \"auto\" or \"packet\"",
        );
        None
    }

    /// Warns of an interface that delivers segments before their checksums are filled in.
    fn check_checksums(&self, place: usize) {
        let has_failed = {
            let state = self.shared.state();
            let attached = state.interfaces[place].attached.as_ref();
            attached.is_some_and(Attached::has_bad_checksums)
        };
        if has_failed {
            self.warn_once(
                place,
                "the checksums of its first 100 TCP segments are all wrong, so that they are dropped (bad_checksum): \
                 its driver leaves them to the card; set [tcp] verify_checksums = \"never\", or capture.path = \
                 \"packet\", which knows their state",
            );
        }
    }

    /// Brings monitor devices up that were taken down, and replaces deleted ones.
    fn check_monitors(&self) {
        let mut devices = Vec::new();
        for device in &self.shared.state().shared {
            if let Some(monitor) = device.device() {
                devices.push((device.id, monitor.clone()));
            }
        }
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
        let Some(place) = state.shared.iter().position(|monitor| monitor.id == id) else {
            return;
        };
        let monitor = state.shared.remove(place);
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

    pub(super) fn detach(&self, place: usize) {
        let mut state = self.shared.state();
        let interface_state = &mut state.interfaces[place];
        interface_state.up = false;
        let index = interface_state.index;
        let Some(attached) = interface_state.attached.take() else {
            return;
        };
        match attached {
            Attached::Own(device) => {
                let id = state.close(device);
                drop(state);
                self.retire(id);
            }
            Attached::Tapped(_) => {
                let mut totals = Totals::default();
                attached.count(&mut totals);
                state.retired.add(&totals);
            }
            Attached::Shared => {
                let group = state.shared.iter_mut().find_map(CaptureDevice::group_mut);
                // Fails when the interface was not added.
                if let Some(Err(error)) = group.map(|group| group.remove(index)) {
                    debug!("removing interface {index}: {}", Chain(&error));
                }
            }
        }
    }

    /// Lets the workers read the remaining packets, closes the sockets, and retains the counters.
    pub(super) fn retire(&self, id: u64) {
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

    /// Follows an interface that goes down or comes up.
    fn update_up(&self, place: usize, interface: &Interface) {
        let mut state = self.shared.state();
        let own = &mut state.interfaces[place];
        if own.up && !interface.up && own.since.elapsed() < BOUNCE {
            return;
        }
        let is_new = own.carrier_ups != interface.carrier_ups;
        if interface.up && (is_new || !own.up) {
            own.carrier_ups = interface.carrier_ups;
            if let Some(attached) = &mut own.attached
                && let Err(error) = attached.renew_promiscuous(interface)
            {
                warn!("{}: {}", interface.name, Chain(&error));
            }
        }
        drop(state);
        self.set_up(place, interface);
    }

    pub(super) fn set_up(&self, place: usize, interface: &Interface) {
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
    pub(super) fn warn_once(&self, place: usize, text: &str) {
        let mut state = self.shared.state();
        let interface_state = &mut state.interfaces[place];
        if interface_state.last_warning != text {
            warn!("{}: {text}", interface_state.name);
            text.clone_into(&mut interface_state.last_warning);
        }
    }

    fn drain_logs(&self) {
        let mut state = self.shared.state();
        state.shared.iter_mut().for_each(CaptureDevice::drain_log);
        state
            .interfaces
            .iter_mut()
            .filter_map(|i| i.attached.as_mut())
            .for_each(Attached::drain_log);
    }

    pub(super) fn new_id(&self) -> u64 {
        self.next_id.fetch_add(1, Ordering::Relaxed)
    }
}

/// Interfaces at the time of a check.
enum Found {
    /// All of them, by one request.
    All(io::Result<Vec<Interface>>),
    /// Each is requested.
    Each,
}

impl Found {
    /// Above this number of monitored interfaces, one request for all is faster than one for each.
    const MOST_REQUESTS: usize = 8;

    /// `has_patterns`: others may match.
    fn new(monitored: usize, has_patterns: bool) -> Self {
        if has_patterns || monitored > Self::MOST_REQUESTS {
            Self::All(netlink::interfaces())
        } else {
            Self::Each
        }
    }

    fn interface(&self, name: &str) -> io::Result<Option<Interface>> {
        match self {
            Self::All(Ok(all)) => Ok(all.iter().find(|found| found.name == name).cloned()),
            Self::All(Err(_)) | Self::Each => netlink::interface(name),
        }
    }
}

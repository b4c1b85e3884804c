//! Subscriptions of a context's sockets: their events and packets, in the order in which callbacks see them.
//!
//! A socket of connections has a subscription to events, and a capture where its callbacks want packets. Both are merged by
//! time, after a delay that lets the slower one catch up. A subscription that needs more kinds of events is replaced: the
//! old one is read for a while and until it's empty. Events that both report are recognized by their receiver.

use std::collections::{HashMap, VecDeque};
use std::ffi::c_int;
use std::os::fd::{AsRawFd, RawFd};
use std::sync::Arc;
use std::time::{Duration, Instant};

use monitor_client::types::{CaptureParams, EventKind, SubscribeParams};
use monitor_client::{Client, Error, EventBody, Events, Notification, Packets};
use monitor_common::SockId;

use crate::context::Context;
use crate::event_types::mos_event_type;
use crate::failure::Failure;
use crate::frame::Frame;
use crate::item::{Item, Purpose};
use crate::merge::Merge;
use crate::monitor::Listener;
use crate::sys;

/// Time after which a broken subscription is made again.
const RETRY: Duration = Duration::from_millis(200);
/// Time for which a replaced subscription is read at least: earlier events may still be on their way.
const OVERLAP: Duration = Duration::from_millis(100);
/// Most events of each worker that wait in the daemon.
const QUEUE: u64 = 65_536;

/// Subscription that a socket needs.
#[derive(Clone, Debug, PartialEq)]
enum Want {
    Events(String, Vec<EventKind>),
    Packets(String, Purpose),
}

#[derive(Debug)]
struct Feed {
    listener: c_int,
    want: Want,
    events: Option<Events>,
    /// Predecessor, and the time at which it was replaced.
    old: Option<(Events, Instant)>,
    seen: Seen,
    retry: Instant,
    /// Events may be missing when it opens.
    was_open: bool,
}

/// Times of the last events, by worker: a worker's events are in order.
#[derive(Debug, Default)]
struct Seen {
    times: HashMap<u16, f64>,
    /// Kinds that the predecessor of a subscription has shown until then.
    kinds: Vec<EventKind>,
    /// Times until which it has shown them.
    until: HashMap<u16, f64>,
}

impl Seen {
    /// Returns whether the predecessor has shown an event. `is_old`: it comes from the predecessor.
    fn is_repeated(&mut self, notification: &Notification, is_old: bool) -> bool {
        let sockid = notification.sockid.and_then(SockId::from_u64);
        let (Some(sockid), Some(time)) = (sockid, notification.time) else {
            return false;
        };
        let worker = sockid.worker();
        if is_old {
            self.until.insert(worker, time);
        } else if self.until.get(&worker).is_some_and(|until| time <= *until) {
            let name = notification.body.name();
            return self.kinds.iter().any(|kind| kind.name() == name);
        }
        self.times.insert(worker, time);
        false
    }
}

/// Subscriptions of a context.
#[derive(Debug, Default)]
pub(crate) struct Feeds {
    list: Vec<Feed>,
    items: VecDeque<(c_int, Item)>,
    merge: Merge,
    /// Changes of the sockets that the list includes.
    changes: Option<u64>,
}

impl Feeds {
    /// Makes the subscriptions that the sockets of a context need, and ends the others.
    pub(crate) fn sync(&mut self, context: &Context, now: Instant) -> Result<(), Failure> {
        if self.changes != Some(context.monitor.changes) {
            let wants = wants(context);
            self.list
                .retain(|feed| wants.iter().any(|(own, want)| feed.serves(*own, want)));
            for (listener, want) in wants {
                let index = self
                    .list
                    .iter()
                    .position(|feed| feed.serves(listener, &want));
                match index {
                    Some(index) => self.list[index].change(want, now),
                    None => self.list.push(Feed::new(listener, want, now)),
                }
            }
            let is_merged = |listener: c_int| {
                let mut own = self.list.iter().filter(|feed| feed.listener == listener);
                own.any(|feed| {
                    matches!(feed.want, Want::Packets(_, Purpose::Flow | Purpose::Orphan))
                })
            };
            let merged = self.list.iter().map(|feed| feed.listener);
            let merged = merged.filter(|listener| is_merged(*listener)).collect();
            self.merge.set(merged);
            self.changes = Some(context.monitor.changes);
        }
        let mut result = Ok(());
        for feed in &mut self.list {
            if feed.events.is_some() || feed.retry > now {
                continue;
            }
            match feed.open(context) {
                Ok(()) => {
                    if let Some((_, since)) = &mut feed.old {
                        *since = now;
                    }
                    if std::mem::replace(&mut feed.was_open, true) {
                        self.items.push_back((feed.listener, Item::Reopened));
                    }
                }
                Err(error) => {
                    feed.retry = now + RETRY;
                    result = Err(error.into());
                }
            }
        }
        result
    }

    /// Reads the subscriptions whose sockets are readable, and all that was received before.
    pub(crate) fn read(&mut self, ready: &[RawFd], now: Instant) {
        for feed in &mut self.list {
            feed.read(ready, now, &mut self.items, &mut self.merge);
        }
    }

    /// Returns the next thing that is due.
    pub(crate) fn next(&mut self, now: Instant) -> Option<(c_int, Item)> {
        let item = self.items.pop_front();
        item.or_else(|| self.merge.next(now))
    }

    /// Returns the sockets of the subscriptions.
    pub(crate) fn sockets(&self) -> impl Iterator<Item = RawFd> {
        let events = self.list.iter().filter_map(|feed| match &feed.old {
            Some((old, _)) => old.socket(),
            None => feed.events.as_ref()?.socket(),
        });
        events.map(|fd| fd.as_raw_fd())
    }

    /// Returns the time at which something is due without a readable socket.
    pub(crate) fn deadline(&self) -> Option<Instant> {
        let feeds = self.list.iter().filter_map(|feed| {
            if feed.events.is_none() {
                return Some(feed.retry);
            }
            feed.old.as_ref().map(|(_, since)| *since + OVERLAP)
        });
        feeds.chain(self.merge.deadline()).min()
    }

    /// Ends all subscriptions.
    pub(crate) fn clear(&mut self) {
        *self = Self::default();
    }
}

impl Feed {
    fn new(listener: c_int, want: Want, now: Instant) -> Self {
        Self {
            listener,
            want,
            events: None,
            old: None,
            seen: Seen::default(),
            retry: now,
            was_open: false,
        }
    }

    /// Returns whether it's the subscription for a want, perhaps with other kinds or another filter.
    fn serves(&self, listener: c_int, want: &Want) -> bool {
        let same = match (&self.want, want) {
            (Want::Events(..), Want::Events(..)) => true,
            (Want::Packets(_, own), Want::Packets(_, purpose)) => own == purpose,
            _ => false,
        };
        same && self.listener == listener
    }

    fn change(&mut self, want: Want, now: Instant) {
        match (&self.want, &want) {
            (own, want) if own == want => return,
            (Want::Events(own, had), Want::Events(filter, kinds)) if own == filter => {
                if kinds.iter().all(|kind| had.contains(kind)) {
                    // More events than needed harm nothing.
                    return;
                }
                if self.seen.times.is_empty() {
                    // The program still sets its callbacks up.
                    self.events = None;
                    self.was_open = false;
                } else if self.old.is_none() {
                    self.seen.kinds = had.clone();
                    self.seen.until = self.seen.times.clone();
                    self.old = self.events.take().map(|events| (events, now));
                } else {
                    self.events = None;
                }
            }
            _ => {
                self.events = None;
                self.old = None;
                self.was_open = false;
            }
        }
        self.retry = now;
        self.want = want;
    }

    fn open(&mut self, context: &Context) -> Result<(), Error> {
        let mut client = Client::connect(context.path())?;
        let worker = context.worker();
        self.events = Some(match &self.want {
            Want::Events(filter, kinds) => client.subscribe(&SubscribeParams {
                events: Some(kinds.clone()),
                filter: Some(filter.clone()),
                queue: Some(QUEUE),
                worker,
                ..SubscribeParams::default()
            })?,
            Want::Packets(filter, _) => client.capture(&CaptureParams {
                filter: Some(filter.clone()),
                worker,
                ..CaptureParams::default()
            })?,
        });
        Ok(())
    }

    fn read(
        &mut self,
        ready: &[RawFd],
        now: Instant,
        items: &mut VecDeque<(c_int, Item)>,
        merge: &mut Merge,
    ) {
        let is_old = self.old.is_some();
        let is_over = self.events.is_some()
            && self
                .old
                .as_ref()
                .is_some_and(|(_, since)| *since + OVERLAP <= now);
        let source = match &mut self.old {
            Some((old, _)) => Some(old),
            None => self.events.as_mut(),
        };
        let Some(source) = source else {
            return;
        };
        let is_ready = source.socket().is_some_and(|socket| {
            let fd = socket.as_raw_fd();
            ready.contains(&fd) || (is_over && !sys::wait(&[fd], Some(Duration::ZERO)).is_empty())
        });
        let mut next = source.received();
        if next.is_none() && is_ready {
            next = source
                .next_within(Some(Duration::ZERO))
                .and_then(Result::transpose);
        }
        let mut is_broken = source.socket().is_none();
        let mut count = 0;
        while let Some(notification) = next {
            count += 1;
            match notification {
                Ok(notification) if self.seen.is_repeated(&notification, is_old) => {}
                Ok(notification) => self
                    .want
                    .push(self.listener, notification, now, items, merge),
                Err(_) => is_broken = true,
            }
            next = source.received();
        }
        if is_old && (is_broken || (is_over && count == 0)) {
            // Its successor has all later events, however many there are.
            self.old = None;
            self.read(ready, now, items, merge);
        } else if is_broken && !is_old {
            self.events = None;
            self.retry = now + RETRY;
        }
    }
}

impl Want {
    /// Queues what a notification brings.
    fn push(
        &self,
        listener: c_int,
        notification: Notification,
        now: Instant,
        items: &mut VecDeque<(c_int, Item)>,
        merge: &mut Merge,
    ) {
        let mut add = |item| {
            if let Some(item) = merge.add(listener, item, now) {
                items.push_back((listener, item));
            }
        };
        match (self, notification.body) {
            (Want::Events(..), body) => add(Item::Event(Box::new(Notification {
                body,
                ..notification
            }))),
            (
                Want::Packets(_, purpose),
                EventBody::Packets {
                    link,
                    data: Some(data),
                    ..
                },
            ) => {
                for packet in Packets::new(&data.0) {
                    if let Some(frame) = Frame::parse(packet.time, link, packet.bytes) {
                        add(Item::Packet(Arc::new(frame), *purpose));
                    }
                }
            }
            (Want::Packets(..), _) => {}
        }
    }
}

/// Returns the subscriptions that the sockets of a context need.
fn wants(context: &Context) -> Vec<(c_int, Want)> {
    let monitor = &context.monitor;
    let mut wants = Vec::new();
    if context.is_beyond() {
        return wants;
    }
    for (&number, listener) in &monitor.listeners {
        let filter = || Listener::v4(listener.filter.as_deref());
        let wants_flow = monitor.wants(number, mos_event_type::MOS_ON_PKT_IN);
        let wants_orphans = monitor.wants(number, mos_event_type::MOS_ON_ORPHAN);
        if listener.is_raw {
            if wants_flow || wants_orphans {
                wants.push((number, Want::Packets(filter(), Purpose::Raw)));
            }
            continue;
        }
        if monitor.has_callbacks(number) {
            wants.push((number, Want::Events(filter(), monitor.kinds(number))));
        }
        if wants_flow {
            wants.push((number, Want::Packets(filter(), Purpose::Flow)));
        }
        if wants_orphans {
            let filter = Listener::v4(listener.orphan_filter.as_deref());
            wants.push((number, Want::Packets(filter, Purpose::Orphan)));
        }
    }
    wants
}

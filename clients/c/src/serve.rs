//! `mtcp_app_join`: the loop that runs callbacks.
//!
//! One thread runs the callbacks of a context, one at a time. A program may create several contexts in a thread and join them
//! one after the other, so the loop also serves the contexts of its thread that no thread has joined.

use std::ffi::c_int;
use std::os::fd::RawFd;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::thread;
use std::time::Instant;

use monitor_client::EventBody;

use crate::context::Context;
use crate::dispatch::{deliver, expire};
use crate::event_types::mos_event_type;
use crate::failure::Failure;
use crate::frame::Frame;
use crate::item::{Item, Purpose};
use crate::registry::{self, Locked, Node};
use crate::step::{Outcome, Step};
use crate::sys;
use crate::types::mctx_t;

/// Events of a context before timers and other contexts get their turn.
const TURN: usize = 256;

/// Context with its subscriptions.
type Served<'a> = (&'a Node, Locked<'a>);

/// Runs the callbacks of a context until it's destroyed.
pub(crate) fn join(mctx: mctx_t) -> Result<(), Failure> {
    let node = registry::find(mctx)?;
    node.is_joined.store(true, Ordering::Release);
    // Another thread may serve it in passing.
    node.notify();
    let mut own: Served<'_> = (node, node.feeds());
    while node.exists() {
        let mut others = others(node);
        let mut has_more = false;
        for served in std::iter::once(&mut own).chain(&mut others) {
            has_more |= serve(served);
        }
        if !node.exists() {
            break;
        }
        if !has_more {
            wait(std::iter::once(&mut own).chain(&mut others).collect());
        }
    }
    own.1.clear();
    Ok(())
}

/// Makes the subscriptions that a context needs, unless the thread that runs its callbacks does that.
pub(crate) fn subscribe(mctx: mctx_t) -> Result<(), Failure> {
    let node = registry::find(mctx)?;
    match node.try_feeds() {
        Some(mut feeds) => node.within(|context| feeds.sync(context, Instant::now())),
        None => {
            node.notify();
            Ok(())
        }
    }
}

/// Returns the other contexts that this thread created, and that no thread has joined.
fn others(node: &Node) -> Vec<Served<'static>> {
    let this = thread::current().id();
    let others = registry::nodes().filter(|other| {
        other.creator == this
            && other.exists()
            && !other.is_joined.load(Ordering::Acquire)
            && !std::ptr::eq(*other, node)
    });
    others
        .filter_map(|other| Some((other, other.try_feeds()?)))
        .collect()
}

/// Runs the callbacks that are due. Returns true if there are more.
fn serve((node, feeds): &mut Served<'_>) -> bool {
    let now = Instant::now();
    let expired = node.within(|context| {
        // A failure is repeated later.
        let _ = feeds.sync(context, now);
        Ok((context.timers.expired(now), context.pending.expired(now)))
    });
    let (timers, packets) = expired.unwrap_or_default();
    for timer in timers {
        expire(node, timer.id, timer.callback);
    }
    for (listener, (frame, purpose)) in packets {
        if purpose == Purpose::Orphan {
            let step = Step::of_packet(listener, mos_event_type::MOS_ON_ORPHAN, false);
            deliver(node, step, frame.time_ns / 1000, Some(&frame));
        }
    }
    feeds.read(&[], Instant::now());
    for _ in 0..TURN {
        let Some((listener, item)) = feeds.next(Instant::now()) else {
            return false;
        };
        if !node.exists() {
            return false;
        }
        run(node, listener, item);
        // Callbacks may have changed the subscriptions.
        let _ = node.within(|context| feeds.sync(context, Instant::now()));
    }
    true
}

/// Waits until a context has something to do.
fn wait(mut served: Vec<&mut Served<'_>>) {
    let mut fds: Vec<RawFd> = Vec::new();
    let mut deadline: Option<Instant> = None;
    for (node, feeds) in &mut served {
        fds.push(node.wake());
        fds.extend(feeds.sockets());
        let own = node.within(|context| Ok([context.timers.next(), context.pending.deadline()]));
        let own = own
            .into_iter()
            .flatten()
            .chain([feeds.deadline(), deadline]);
        deadline = own.flatten().min();
    }
    let timeout = deadline.map(|at| at.saturating_duration_since(Instant::now()));
    let ready = sys::wait(&fds, timeout);
    for (node, feeds) in &mut served {
        if ready.contains(&node.wake()) {
            sys::clear(node.wake());
        }
        feeds.read(&ready, Instant::now());
    }
}

/// Runs the callbacks of an event or packet.
fn run(node: &Node, listener: c_int, item: Item) {
    match item {
        Item::Event(notification) => {
            let outcome = node.within(|context| {
                let Context {
                    monitor, numbers, ..
                } = context;
                let outcome = monitor.on_event(numbers, listener, &notification)?;
                if let (Some(sockid), Some(step)) = (notification.sockid, outcome.steps.first()) {
                    context.enter_new(step.sock, sockid);
                }
                Ok(outcome)
            });
            let time_us = notification.time.map_or(0, |time| (time * 1e6) as u64);
            let Ok(outcome) = outcome else {
                return;
            };
            if outcome.is_incomplete {
                resync(node, listener);
            }
            finish(node, &outcome, time_us);
            if let EventBody::Opened { client, server, .. } = notification.body {
                let held =
                    node.within(|context| Ok(context.pending.take(listener, [client, server])));
                for (frame, purpose) in held.unwrap_or_default() {
                    run_packet(node, listener, &frame, purpose);
                }
            }
        }
        Item::Packet(frame, purpose) => run_packet(node, listener, &frame, purpose),
        Item::Reopened => resync(node, listener),
    }
}

/// Runs the callbacks of a packet.
fn run_packet(node: &Node, listener: c_int, frame: &Arc<Frame>, purpose: Purpose) {
    let steps = node.within(|context| Ok(context.steps_of(listener, frame, purpose)));
    for step in steps.unwrap_or_default() {
        deliver(node, step, frame.time_ns / 1000, Some(frame));
    }
}

/// Runs the callbacks of events that are missing.
fn resync(node: &Node, listener: c_int) {
    for outcome in node
        .within(|context| context.resync(listener))
        .unwrap_or_default()
    {
        finish(node, &outcome, 0);
    }
}

/// Runs callbacks, then closes the socket of a connection that is over.
fn finish(node: &Node, outcome: &Outcome, time_us: u64) {
    for &step in &outcome.steps {
        deliver(node, step, time_us, None);
    }
    if let Some(sock) = outcome.over {
        // EBADF: a callback has closed it.
        let _ = node.within(|context| context.close(sock));
    }
}

impl Context {
    /// Returns the callbacks of a packet.
    fn steps_of(&mut self, listener: c_int, frame: &Arc<Frame>, purpose: Purpose) -> Vec<Step> {
        let packet = |event, is_raw| Step::of_packet(listener, event, is_raw);
        if purpose == Purpose::Raw {
            return vec![
                packet(mos_event_type::MOS_ON_PKT_IN, true),
                packet(mos_event_type::MOS_ON_ORPHAN, true),
            ];
        }
        let Some(segment) = frame.segment() else {
            return Vec::new();
        };
        let ends = [segment.source, segment.destination];
        let syn = segment.has_syn.then_some(segment.seq);
        let known = self.monitor.on_packet(listener, ends, syn);
        match (known, purpose) {
            (Some(outcome), Purpose::Flow) => outcome.steps,
            (Some(_), _) => Vec::new(),
            (None, _) => {
                let held = (Arc::clone(frame), purpose);
                let is_held = self.pending.hold(listener, held, Instant::now());
                if is_held || purpose == Purpose::Flow {
                    return Vec::new();
                }
                vec![packet(mos_event_type::MOS_ON_ORPHAN, false)]
            }
        }
    }
}

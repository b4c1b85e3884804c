//! `watch`: patterns in streams, searched in the store's bytes on the client's own task.
//!
//! Workers report only that there are bytes. They are read from the store, so that the next report makes up for a lost
//! one.
//!
//! **Invariant:** a turn on a server thread is bounded by work, not by bytes: after [`TURN`] steps the task yields, also
//! between the matches of one piece. Everything that a search holds is leased before it grows further.

mod search;

use std::collections::HashMap;
use std::io;

use monitor_engine::{EndReason, Event, NextKind, Reader, Side, SockId};
use monitor_rpc::types::{EventBody, Notification, PatternId, SideRange};

use crate::events::{Delivery, EventRecord, RecordedEvent};
use crate::rpc::access::account::Lease;
use crate::rpc::access::limits;
use crate::rpc::subscriptions::notification_writer::NotificationWriter;
use crate::rpc::subscriptions::subscription::Subscription;
use crate::rpc::view;
use crate::scan::ScanState;
pub(crate) use search::Search;
use search::{Look, Stored, surroundings};

/// Steps of automata, some nanoseconds each, before other tasks of this thread get their turn.
const TURN: usize = 128 * 1024;
/// Cost of one event record, and of one match with its notification, in the same unit.
const RECORD: usize = 256;
const MATCH: usize = 1024;
/// Largest piece, in bytes: its matches are held until they are sent.
const PIECE: usize = 8 * 1024;
/// Memory of a search grows in leases of this size.
const LEASE: usize = 64 * 1024;

/// `watch` of one client.
pub(crate) struct Watch {
    subscription: Subscription,
    search: Search,
    /// `None`: searched to its end; reports of bytes that were read before may still arrive.
    states: HashMap<(SockId, Side), Option<ScanState>>,
    /// Heap memory of the states, in bytes.
    state_bytes: usize,
    /// Sides to scan, the next one last.
    looks: Vec<Look>,
    more: bool,
    /// Steps since the last yield.
    spent: usize,
    memory: Memory,
}

/// Memory leased for a search.
struct Memory {
    first: Lease,
    /// Bytes of the first lease.
    fixed: usize,
    /// [`LEASE`] bytes each.
    more: Vec<Lease>,
}

impl Watch {
    /// Creates a search; `memory` leases [`Search::memory`] bytes.
    pub(crate) fn new(subscription: Subscription, search: Search, memory: Lease) -> Self {
        let fixed = search.memory();
        Self {
            subscription,
            search,
            states: HashMap::new(),
            state_bytes: 0,
            looks: Vec::new(),
            more: false,
            spent: 0,
            memory: Memory {
                first: memory,
                fixed,
                more: Vec::new(),
            },
        }
    }

    pub(crate) fn number(&self) -> u64 {
        self.subscription.number()
    }

    pub(crate) fn is_ready(&self) -> bool {
        self.more || self.subscription.is_ready()
    }

    pub(crate) async fn notify(&mut self, writer: &mut NotificationWriter<'_>) -> io::Result<()> {
        self.subscription.take_ready();
        self.spent = 0;
        while self.spent < TURN {
            if let Some(look) = self.looks.last().copied() {
                if !self.step(look, writer).await? {
                    self.looks.pop();
                }
                continue;
            }
            self.spent += RECORD;
            match self.subscription.next() {
                Some(Delivery::Record(record)) => self.on_event(&record, writer),
                Some(Delivery::Lost(losses)) => self.lost(losses.count, writer),
                None => {
                    self.more = false;
                    return Ok(());
                }
            }
            writer.out.flush_if_full().await?;
        }
        self.more = true;
        Ok(())
    }

    fn on_event(&mut self, record: &EventRecord, writer: &mut NotificationWriter<'_>) {
        let RecordedEvent::Event(event) = record.what else {
            return;
        };
        let look = |id, side, over| Look {
            id,
            side,
            time: record.time,
            over,
        };
        match event {
            Event::Data { id, side, off, len } => {
                if self.know(id, side, off, writer) {
                    self.looks.push(look(id, side, false));
                } else {
                    self.not_searched(look(id, side, false), off, len, writer);
                }
            }
            Event::Closed { id, .. } => self
                .looks
                .extend(Side::BOTH.map(|side| look(id, side, true))),
            // A FIN without bytes.
            Event::State { id, .. } => self
                .looks
                .extend(Side::BOTH.map(|side| look(id, side, false))),
            Event::Evicted { id } => Side::BOTH
                .into_iter()
                .for_each(|side| self.forget(id, side)),
            _ => {}
        }
    }

    /// Scans all sides: the lost records may have been about any of them.
    fn lost(&mut self, count: u64, writer: &mut NotificationWriter<'_>) {
        writer.lost(self.number(), count, None);
        self.sweep(&writer.shared.status.readers);
        self.looks
            .extend(self.states.keys().map(|&(id, side)| Look {
                id,
                side,
                time: 0,
                over: false,
            }));
    }

    /// Returns whether the side is searched; a new one from `off` on.
    fn know(&mut self, id: SockId, side: Side, off: u64, writer: &NotificationWriter<'_>) -> bool {
        if self.states.contains_key(&(id, side)) {
            return true;
        }
        if self.states.len() >= limits::SIDES {
            self.sweep(&writer.shared.status.readers);
        }
        if self.states.len() >= limits::SIDES {
            return false;
        }
        self.insert(id, side, Some(self.search.set.start(off)));
        if self.lease() {
            return true;
        }
        self.forget(id, side);
        false
    }

    /// Removes the sides of connections that are gone.
    fn sweep(&mut self, readers: &[Reader]) {
        let mut freed = 0;
        self.states.retain(|(id, _), state| {
            let exists = readers
                .get(usize::from(id.worker()))
                .is_some_and(|reader| reader.connection(*id).is_some());
            if !exists {
                freed += bytes(state.as_ref());
            }
            exists
        });
        self.state_bytes -= freed;
    }

    fn insert(&mut self, id: SockId, side: Side, state: Option<ScanState>) {
        self.state_bytes += bytes(state.as_ref());
        if let Some(old) = self.states.insert((id, side), state) {
            self.state_bytes -= bytes(old.as_ref());
        }
    }

    fn forget(&mut self, id: SockId, side: Side) {
        if let Some(old) = self.states.remove(&(id, side)) {
            self.state_bytes -= bytes(old.as_ref());
        }
    }

    /// Leases the memory in use, or frees what is leased beyond it. Returns false when there is no more to lease.
    fn lease(&mut self) -> bool {
        let entry = size_of::<((SockId, Side), Option<ScanState>)>() + 1;
        // A hash table is at most 7/8 full.
        let table = self.states.capacity() * entry * 8 / 7;
        let looks = self.looks.capacity() * size_of::<Look>();
        let used = self.search.memory() + self.state_bytes + table + looks;
        let Memory { first, fixed, more } = &mut self.memory;
        let wanted = used.saturating_sub(*fixed).div_ceil(LEASE);
        while more.len() < wanted {
            match first.another(LEASE) {
                Some(lease) => more.push(lease),
                None => return false,
            }
        }
        more.truncate(wanted);
        true
    }

    /// Scans the next piece of a side, and sends its matches; returns false when there is nothing more for now.
    async fn step(&mut self, look: Look, writer: &mut NotificationWriter<'_>) -> io::Result<bool> {
        let Look { id, side, over, .. } = look;
        let readers = &writer.shared.status.readers;
        let Search { set, scratch, .. } = &mut self.search;
        let state = self.states.get_mut(&(id, side)).and_then(Option::as_mut);
        let (Some(reader), Some(state)) = (readers.get(usize::from(id.worker())), state) else {
            if over {
                self.forget(id, side);
            }
            return Ok(false);
        };
        let (at, before) = (state.at(), state.memory());
        let buffer = writer.peeks.own(PIECE.min(set.max_piece()));
        let next = reader.next_from(id, side, at, buffer);
        // Whether a piece was scanned, whether the stream ends after it, and whether the search ends.
        let (scanned, fin, last) = match next.kind {
            NextKind::Bytes { len, eof, .. } => {
                set.scan(scratch, state, writer.peeks.filled(len));
                writer.shared.metrics.searched_bytes.add(len as u64);
                (true, eof, eof)
            }
            NextKind::Lost { to } | NextKind::Gap { to } => {
                set.skip(scratch, state, to);
                (true, false, false)
            }
            NextKind::End(EndReason::Eof) => (false, true, true),
            NextKind::End(EndReason::Closed) if over => {
                // The byte that a match waits for will not arrive.
                set.skip(scratch, state, at);
                (false, false, true)
            }
            NextKind::Pending | NextKind::End(EndReason::Closed) => (false, false, false),
            NextKind::Busy => {
                // Read again, after other tasks.
                tokio::task::yield_now().await;
                return Ok(true);
            }
            NextKind::End(EndReason::Disabled | EndReason::Gone) => (false, false, true),
        };
        self.state_bytes = self.state_bytes + state.memory() - before;
        self.spent += RECORD;
        self.send(look, writer).await?;
        if fin && let Some(Some(state)) = self.states.get_mut(&(id, side)) {
            let before = state.memory();
            self.search.set.finish(&mut self.search.scratch, state);
            self.state_bytes = self.state_bytes + state.memory() - before;
            self.send(look, writer).await?;
        }
        if over && last {
            self.forget(id, side);
        } else if last {
            self.insert(id, side, None);
        }
        if let NextKind::Lost { to } = next.kind {
            self.not_searched(look, at, to - at, writer);
        }
        if !self.lease() && !last {
            // The search of this side restarts: matches over this offset will be missed.
            let at = self
                .states
                .get(&(id, side))
                .and_then(Option::as_ref)
                .map_or(at, ScanState::at);
            self.insert(id, side, Some(self.search.set.start(at)));
            self.not_searched(look, at, 0, writer);
        }
        Ok(scanned)
    }

    /// Sends the matches of the last piece. Other tasks get their turns in between.
    async fn send(&mut self, look: Look, writer: &mut NotificationWriter<'_>) -> io::Result<()> {
        let shared = writer.shared;
        let Some(reader) = shared.status.readers.get(usize::from(look.id.worker())) else {
            return Ok(());
        };
        let mut stream = Stored {
            reader,
            id: look.id,
            side: look.side,
        };
        loop {
            let Search { set, scratch, .. } = &mut self.search;
            let found = set.next_match(scratch, &mut stream);
            self.spent += scratch.take_work();
            if self.spent >= 2 * TURN {
                tokio::task::yield_now().await;
                self.spent -= TURN;
            }
            let Some(found) = found else {
                break;
            };
            self.spent += MATCH;
            let body = EventBody::Match {
                range: SideRange {
                    side: look.side,
                    off: found.off,
                    len: found.len,
                },
                // Every pattern has a name.
                pattern: match self.search.names.get(found.pattern as usize) {
                    Some(name) => name.clone(),
                    None => PatternId::Number(u64::from(found.pattern)),
                },
                cut: found.cut,
                context: self
                    .search
                    .context
                    .and_then(|around| surroundings(reader, look, &found, around)),
            };
            let time = (look.time > 0).then(|| view::seconds(look.time));
            writer.event(&self.event(look.id, time, body));
            writer.out.flush_if_full().await?;
        }
        let dropped = self.search.scratch.take_dropped();
        if dropped > 0 {
            let lost = EventBody::Lost {
                count: Some(dropped),
                ends: None,
                side: Some(look.side),
                off: None,
                len: None,
            };
            writer.event(&self.event(look.id, None, lost));
        }
        Ok(())
    }

    fn not_searched(&self, look: Look, off: u64, len: u64, writer: &mut NotificationWriter<'_>) {
        let lost = EventBody::Lost {
            count: None,
            ends: None,
            side: Some(look.side),
            off: Some(off),
            len: Some(len),
        };
        writer.event(&self.event(look.id, None, lost));
    }

    fn event(&self, id: SockId, time: Option<f64>, body: EventBody) -> Notification {
        Notification {
            listener: self.number(),
            time,
            sockid: Some(id.as_u64()),
            body,
        }
    }
}

/// Returns the heap memory of a state, in bytes.
fn bytes(state: Option<&ScanState>) -> usize {
    state.map_or(0, ScanState::memory)
}

//! Subscriber: reads a worker's event log, and puts the events that pass its filter into its queue.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use monitor_engine::{Event, EventKind, Reader, Side, SockId};
use tokio::sync::Notify;

use super::entry::Entry;
use super::filter::subject;
use super::log::LogRead;
use super::{
    EventFilter, EventKinds, EventLog, EventQueue, EventRecord, Losses, RecordedEvent, Scope,
};
use crate::filter::Filter;

/// Cost of one turn, in entries read and tests of filters: about 20 µs.
const TURN: usize = 2048;
/// Events by which a connection ends. Their losses are counted apart: a client can list ended connections.
const ENDS: [EventKind; 2] = [EventKind::Closed, EventKind::Evicted];

/// Wakes a session that has something to deliver.
#[derive(Clone, Debug, Default)]
pub struct Wakeup {
    /// Set when there is something.
    ready: Arc<AtomicBool>,
    wake: Arc<Notify>,
}

/// Filter of one subscription, and the queue for its events, for one worker.
#[derive(Debug)]
pub struct Subscriber {
    number: u64,
    kinds: EventKinds,
    side: Option<Side>,
    scope: Wanted,
    log: Arc<EventLog>,
    /// Position in the log.
    at: u64,
    /// Connections of the worker.
    reader: Reader,
    queue: Arc<EventQueue>,
    wakeup: Wakeup,
    /// Data that may still grow.
    held: Option<Entry>,
    /// Something was queued, or lost, in this turn.
    touched: bool,
    lost: Losses,
}

#[derive(Debug)]
enum Wanted {
    All,
    One(SockId),
    Some(Judged),
}

/// Filter with its verdict on each connection, by slot.
#[derive(Debug)]
struct Judged {
    filter: Arc<Filter>,
    known: Box<[u64]>,
    wanted: Box<[u64]>,
}

impl Wakeup {
    /// Creates one that is set; `wake` is notified.
    #[must_use]
    pub fn new(wake: &Arc<Notify>) -> Self {
        Self {
            ready: Arc::new(AtomicBool::new(true)),
            wake: Arc::clone(wake),
        }
    }

    /// Wakes the session.
    pub fn signal(&self) {
        self.ready.store(true, Ordering::Release);
        self.wake.notify_one();
    }

    /// Clears the flag, and returns whether it was set. The caller then takes everything that there is.
    pub fn take(&self) -> bool {
        self.ready.swap(false, Ordering::AcqRel)
    }

    /// Returns whether there is something.
    #[must_use]
    pub fn is_set(&self) -> bool {
        self.ready.load(Ordering::Acquire)
    }
}

impl Subscriber {
    /// Returns the memory of the verdicts of a filter, in bytes, for a worker with this number of slots.
    #[must_use]
    pub fn memory(filter: &EventFilter, slots: u32) -> usize {
        match &filter.scope {
            Scope::Some(_) => slots as usize / 4,
            Scope::All | Scope::One(_) => 0,
        }
    }

    /// Creates a subscriber to the events of a log from a position on. `number` identifies it; `reader` is that of the
    /// same worker.
    #[must_use]
    pub fn new(
        number: u64,
        filter: &EventFilter,
        (log, at): (Arc<EventLog>, u64),
        reader: Reader,
        queue: Arc<EventQueue>,
        wakeup: Wakeup,
    ) -> Box<Self> {
        let scope = match &filter.scope {
            Scope::All => Wanted::All,
            Scope::One(id) => Wanted::One(*id),
            Scope::Some(filter) => Wanted::Some(Judged::new(Arc::clone(filter), reader.slots())),
        };
        Box::new(Self {
            number,
            kinds: filter.kinds,
            side: filter.side,
            scope,
            log,
            at,
            reader,
            queue,
            wakeup,
            held: None,
            touched: false,
            lost: Losses::default(),
        })
    }

    /// Returns its number.
    #[must_use]
    pub fn number(&self) -> u64 {
        self.number
    }

    /// Reads a limited part of the log. Returns true if there is more.
    pub fn turn(&mut self) -> bool {
        let mut left = TURN;
        let more = loop {
            if left == 0 {
                break true;
            }
            match self.log.read(self.at) {
                LogRead::Entry(entry) => {
                    self.at += 1;
                    left = left.saturating_sub(1 + self.on_event(&entry));
                }
                LogRead::Empty => break false,
                LogRead::Overwritten => self.skip(),
            }
        };
        if std::mem::take(&mut self.touched) {
            self.forward();
            self.wakeup.signal();
        }
        more
    }

    /// Counts entries that were overwritten before they were read: the processor was busy for longer than the log lasts.
    /// Some of them may not pass the filter.
    fn skip(&mut self) {
        let to = self.log.resume();
        self.forward();
        let count = to - self.at;
        let ends = ENDS.iter().any(|kind| self.kinds.contains(*kind));
        self.lost += Losses {
            count,
            ends: if ends { count } else { 0 },
        };
        self.queue.set_lost(self.lost);
        self.at = to;
        self.touched = true;
        if let Wanted::Some(judged) = &mut self.scope {
            // A slot may have had another occupant since.
            judged.known.fill(0);
        }
    }

    /// Queues an event that passes the filter. Returns the number of tests that this took.
    fn on_event(&mut self, entry: &Entry) -> usize {
        let kind = entry.event.kind();
        let (id, side) = subject(&entry.event);
        if let (EventKind::Opened, Wanted::Some(judged)) = (kind, &mut self.scope) {
            judged.forget(id.slot());
        }
        if !self.kinds.contains(kind)
            || side.is_some_and(|side| self.side.is_some_and(|own| own != side))
        {
            return 0;
        }
        let (wanted, tests) = match &mut self.scope {
            Wanted::All => (true, 0),
            Wanted::One(own) => (*own == id, 0),
            Wanted::Some(judged) => judged.wants(id, entry, &self.reader),
        };
        if wanted {
            self.take(entry);
        }
        tests
    }

    fn take(&mut self, entry: &Entry) {
        self.touched = true;
        if self.held.as_mut().is_some_and(|held| held.grow(entry)) {
            return;
        }
        self.forward();
        if matches!(entry.event, Event::Data { .. }) {
            self.held = Some(*entry);
        } else {
            self.push(entry);
        }
    }

    fn forward(&mut self) {
        if let Some(held) = self.held.take() {
            self.push(&held);
        }
    }

    fn push(&mut self, entry: &Entry) {
        let what = match (entry.event, entry.ends) {
            (Event::Opened { id }, Some(ends)) => RecordedEvent::Opened { id, ends },
            (Event::Opened { .. }, None) => return,
            (event, _) => RecordedEvent::Event(event),
        };
        let record = EventRecord {
            time: entry.time,
            what,
            lost: self.lost,
        };
        if !self.queue.push(record) {
            self.lost += Losses {
                count: 1,
                ends: u64::from(ENDS.contains(&entry.event.kind())),
            };
            self.queue.set_lost(self.lost);
        }
    }
}

impl Judged {
    fn new(filter: Arc<Filter>, slots: u32) -> Self {
        let words = slots.div_ceil(u64::BITS) as usize;
        Self {
            filter,
            known: vec![0; words].into(),
            wanted: vec![0; words].into(),
        }
    }

    /// Forgets the verdict: the slot has a new occupant.
    fn forget(&mut self, slot: u32) {
        let (word, bit) = place(slot);
        if let Some(known) = self.known.get_mut(word) {
            *known &= !bit;
        }
    }

    /// Returns the verdict, and the number of tests that it took. The filter is evaluated at the first event of a
    /// connection only.
    fn wants(&mut self, id: SockId, entry: &Entry, reader: &Reader) -> (bool, usize) {
        let (word, bit) = place(id.slot());
        let (Some(known), Some(wanted)) = (self.known.get_mut(word), self.wanted.get_mut(word))
        else {
            return (false, 0);
        };
        if *known & bit != 0 {
            return (*wanted & bit != 0, 0);
        }
        let matches = match &entry.ends {
            Some(ends) => self
                .filter
                .matches_ends(ends.client(), ends.server(), ends.vlan()),
            None => match reader.connection(id) {
                Some(connection) => self.filter.matches(&connection),
                // Gone, and its slot may have another occupant.
                None => return (false, 0),
            },
        };
        *known |= bit;
        *wanted = if matches {
            *wanted | bit
        } else {
            *wanted & !bit
        };
        (matches, self.filter.tests())
    }
}

fn place(slot: u32) -> (usize, u64) {
    ((slot / u64::BITS) as usize, 1 << (slot % u64::BITS))
}

//! Subscriber: the worker's part of a subscription.

use std::sync::Arc;

use monitor_engine::{Event, Side, SockId};

use super::filter::subject;
use super::notifier::EventNotifier;
use super::subject::Subject;
use super::{
    Endpoints, EventFilter, EventKind, EventKinds, EventQueue, EventRecord, RecordedEvent, Scope,
};
use crate::filter::Filter;

/// Filter, and the queue for its events. Created by the subscribing thread, used by one worker.
#[derive(Debug)]
pub struct Subscriber {
    number: u64,
    kinds: EventKinds,
    side: Option<Side>,
    scope: Wanted,
    queue: Arc<EventQueue>,
    notifier: Arc<EventNotifier>,
    /// Data record that may still grow in this batch.
    held: Option<EventRecord>,
    /// It got an event of this batch.
    touched: bool,
    lost: u64,
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

impl Subscriber {
    /// Creates a subscriber. `number` identifies it; `slots` is the number of connections that the worker can
    /// hold.
    #[must_use]
    pub fn new(
        number: u64,
        interest: &EventFilter,
        slots: u32,
        queue: Arc<EventQueue>,
        notifier: Arc<EventNotifier>,
    ) -> Box<Self> {
        let scope = match &interest.scope {
            Scope::All => Wanted::All,
            Scope::One(id) => Wanted::One(*id),
            Scope::Some(filter) => Wanted::Some(Judged::new(Arc::clone(filter), slots)),
        };
        Box::new(Self {
            number,
            kinds: interest.kinds,
            side: interest.side,
            scope,
            queue,
            notifier,
            held: None,
            touched: false,
            lost: 0,
        })
    }

    /// Returns its number.
    #[must_use]
    pub fn number(&self) -> u64 {
        self.number
    }

    /// Returns the kinds that it must get; with a filter also `opened`, since a slot then has a new occupant.
    pub(super) fn sees(&self) -> EventKinds {
        match self.scope {
            Wanted::Some(_) => self.kinds.with(EventKind::Opened),
            _ => self.kinds,
        }
    }

    /// Takes an event that passes the filter.
    pub(super) fn on_event(&mut self, event: &Event, time: u64, about: &mut Subject<'_>) {
        let kind = event.kind();
        let (id, side) = subject(event);
        if let (EventKind::Opened, Wanted::Some(judged)) = (kind, &mut self.scope) {
            judged.forget(id.slot());
        }
        if !self.kinds.contains(kind)
            || side.is_some_and(|side| self.side.is_some_and(|own| own != side))
        {
            return;
        }
        let wanted = match &mut self.scope {
            Wanted::All => true,
            Wanted::One(own) => *own == id,
            Wanted::Some(judged) => judged.wants(id.slot(), about),
        };
        if wanted {
            self.take(event, time, about);
        }
    }

    fn take(&mut self, event: &Event, time: u64, about: &mut Subject<'_>) {
        self.touched = true;
        if !self.queue.has_queue()
            || self
                .held
                .as_mut()
                .is_some_and(|held| held.grow(event, time))
        {
            return;
        }
        let what = match *event {
            Event::Opened { id } => match about.connection() {
                Some(connection) => RecordedEvent::Opened {
                    id,
                    ends: Endpoints::of(connection),
                },
                None => return,
            },
            event => RecordedEvent::Event(event),
        };
        self.forward();
        let record = EventRecord {
            time,
            what,
            lost: 0,
        };
        if matches!(event, Event::Data { .. }) {
            self.held = Some(record);
        } else {
            self.push(record);
        }
    }

    fn forward(&mut self) {
        if let Some(record) = self.held.take() {
            self.push(record);
        }
    }

    fn push(&mut self, record: EventRecord) {
        if !self.queue.push(EventRecord {
            lost: self.lost,
            ..record
        }) {
            self.lost += 1;
            self.queue.set_lost(self.lost);
        }
    }

    /// Passes on the events of a batch.
    pub(super) fn flush(&mut self) {
        if std::mem::take(&mut self.touched) {
            self.forward();
            self.queue.announce();
            self.notifier.notify();
        }
    }

    /// Returns it to the dispatcher, which frees it.
    pub(super) fn give_back(self: Box<Self>) {
        let notifier = Arc::clone(&self.notifier);
        notifier.give_back(self);
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

    /// Returns the verdict. The filter is evaluated at the first event of a connection only.
    fn wants(&mut self, slot: u32, about: &mut Subject<'_>) -> bool {
        let (word, bit) = place(slot);
        let (Some(known), Some(wanted)) = (self.known.get_mut(word), self.wanted.get_mut(word))
        else {
            return false;
        };
        if *known & bit == 0 {
            let matches = about
                .connection()
                .is_some_and(|connection| self.filter.matches(connection));
            *known |= bit;
            *wanted = if matches {
                *wanted | bit
            } else {
                *wanted & !bit
            };
        }
        *wanted & bit != 0
    }
}

fn place(slot: u32) -> (usize, u64) {
    ((slot / u64::BITS) as usize, 1 << (slot % u64::BITS))
}

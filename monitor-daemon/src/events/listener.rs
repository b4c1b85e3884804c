//! What a worker holds of one who listens.

use std::sync::Arc;

use monitor_engine::{Event, Side, SockId};

use super::interest::subject;
use super::publisher::Subject;
use super::{Bell, Ends, Interest, Kind, Kinds, Line, Note, What, Whose};
use crate::filter::Filter;

/// An interest, and the line that the notes go into. Made by who listens, used by one worker.
#[derive(Debug)]
pub struct Listener {
    number: u64,
    kinds: Kinds,
    side: Option<Side>,
    whose: Wanted,
    line: Arc<Line>,
    bell: Arc<Bell>,
    /// May still grow in this batch.
    held: Option<Note>,
    /// Something happened in this batch.
    touched: bool,
    lost: u64,
}

#[derive(Debug)]
enum Wanted {
    All,
    One(SockId),
    Some(Judged),
}

/// A filter, and what it said of each connection, by slot.
#[derive(Debug)]
struct Judged {
    filter: Arc<Filter>,
    known: Box<[u64]>,
    wanted: Box<[u64]>,
}

impl Listener {
    /// `number` is its name. `slots`: how many connections the worker can hold.
    #[must_use]
    pub fn new(
        number: u64,
        interest: &Interest,
        slots: u32,
        line: Arc<Line>,
        bell: Arc<Bell>,
    ) -> Box<Self> {
        let whose = match &interest.whose {
            Whose::All => Wanted::All,
            Whose::One(id) => Wanted::One(*id),
            Whose::Some(filter) => Wanted::Some(Judged::new(Arc::clone(filter), slots)),
        };
        Box::new(Self {
            number,
            kinds: interest.kinds,
            side: interest.side,
            whose,
            line,
            bell,
            held: None,
            touched: false,
            lost: 0,
        })
    }

    /// Its name.
    #[must_use]
    pub fn number(&self) -> u64 {
        self.number
    }

    /// The kinds of events that it must see; with a filter, also that slots change their inhabitants.
    pub(super) fn sees(&self) -> Kinds {
        match self.whose {
            Wanted::Some(_) => self.kinds.with(Kind::Opened),
            _ => self.kinds,
        }
    }

    /// Takes an event if it is of interest.
    pub(super) fn hear(&mut self, event: &Event, time: u64, about: &mut Subject<'_>) {
        let kind = Kind::of(event);
        let (id, side) = subject(event);
        if let (Kind::Opened, Wanted::Some(judged)) = (kind, &mut self.whose) {
            judged.forget(id.slot());
        }
        if !self.kinds.contains(kind)
            || side.is_some_and(|side| self.side.is_some_and(|own| own != side))
        {
            return;
        }
        let wanted = match &mut self.whose {
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
        if !self.line.has_queue()
            || self
                .held
                .as_mut()
                .is_some_and(|held| held.grow(event, time))
        {
            return;
        }
        let what = match *event {
            Event::Opened { id } => match about.connection() {
                Some(connection) => What::Opened {
                    id,
                    ends: Ends::of(connection),
                },
                None => return,
            },
            event => What::Event(event),
        };
        self.hand_on();
        let note = Note {
            time,
            what,
            lost: 0,
        };
        if matches!(event, Event::Data { .. }) {
            self.held = Some(note);
        } else {
            self.push(note);
        }
    }

    fn hand_on(&mut self) {
        if let Some(note) = self.held.take() {
            self.push(note);
        }
    }

    fn push(&mut self, note: Note) {
        if !self.line.push(Note {
            lost: self.lost,
            ..note
        }) {
            self.lost += 1;
            self.line.set_lost(self.lost);
        }
    }

    /// The batch is over: what was heard is handed on.
    pub(super) fn flush(&mut self) {
        if std::mem::take(&mut self.touched) {
            self.hand_on();
            self.line.announce();
            self.bell.ring();
        }
    }

    /// The worker is done with it.
    pub(super) fn give_back(self: Box<Self>) {
        let bell = Arc::clone(&self.bell);
        bell.give_back(self);
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

    /// Another connection moves in.
    fn forget(&mut self, slot: u32) {
        let (word, bit) = place(slot);
        if let Some(known) = self.known.get_mut(word) {
            *known &= !bit;
        }
    }

    /// Asks the filter at the first event of a connection, and then never again.
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

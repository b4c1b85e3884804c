//! Event log of a worker: the latest events, written once for all subscribers.
//!
//! A ring of slots. The worker overwrites the oldest one and never waits; each reader has a position of its own and
//! checks afterwards that the slot was not overwritten during its copy. The cost of an event for the worker is
//! therefore that of one slot, for any number of subscribers with any filters.
//!
//! **Invariant:** one thread writes. The sequence number of a slot is odd while the slot changes, and otherwise names
//! the event in it.

use std::sync::Arc;
use std::sync::atomic::Ordering::{Acquire, Relaxed, Release};
use std::sync::atomic::{AtomicU64, fence};

use monitor_engine::{EventKind, Side, SockId};

use super::EventNotifier;
use super::entry::{Entry, WORDS};
use super::filter::subject;

/// Latest events of one worker.
#[derive(Debug)]
pub struct EventLog {
    slots: Box<[Slot]>,
    /// Number of events ever written.
    head: AtomicU64,
    notifier: Arc<EventNotifier>,
}

#[derive(Debug, Default)]
struct Slot {
    /// 0: never written.
    sequence: AtomicU64,
    words: [AtomicU64; WORDS],
}

/// Event as far as a reader needs it that doesn't queue events.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogEvent {
    /// Event.
    Event {
        /// Connection.
        id: SockId,
        /// Side, if it belongs to one.
        side: Option<Side>,
        /// Kind.
        kind: EventKind,
    },
    /// Events that were overwritten before they were read.
    Lost,
}

/// Result of a read.
pub(super) enum LogRead {
    Entry(Entry),
    /// Not written yet.
    Empty,
    /// The event was overwritten.
    Overwritten,
}

impl EventLog {
    /// Capacity of a log for a server: the longest queue of a subscriber, so that a burst that fits there fits here.
    /// About 4.5 MiB.
    pub const CAPACITY: usize = 65_536;

    /// Creates an empty log. Its writer signals the notifier.
    #[must_use]
    pub fn new(capacity: usize, notifier: Arc<EventNotifier>) -> Arc<Self> {
        Arc::new(Self {
            slots: (0..capacity.max(1)).map(|_| Slot::default()).collect(),
            head: AtomicU64::new(0),
            notifier,
        })
    }

    /// Returns the position behind the latest event.
    #[must_use]
    pub fn head(&self) -> u64 {
        self.head.load(Acquire)
    }

    /// Returns the event at a position, which is advanced; `None` at the end.
    pub fn next(&self, at: &mut u64) -> Option<LogEvent> {
        match self.read(*at) {
            LogRead::Entry(entry) => {
                *at += 1;
                let (id, side) = subject(&entry.event);
                Some(LogEvent::Event {
                    id,
                    side,
                    kind: entry.event.kind(),
                })
            }
            LogRead::Overwritten => {
                *at = self.resume();
                Some(LogEvent::Lost)
            }
            LogRead::Empty => None,
        }
    }

    /// Returns the notifier that its writer signals.
    pub(super) fn notifier(&self) -> &Arc<EventNotifier> {
        &self.notifier
    }

    /// Appends an event. For the worker.
    pub(super) fn push(&self, entry: &Entry) {
        let at = self.head.load(Relaxed);
        let slot = self.slot(at);
        slot.sequence.store(2 * at + 1, Relaxed);
        // Readers that see one of the new words also see the odd number.
        fence(Release);
        for (cell, word) in slot.words.iter().zip(entry.words()) {
            cell.store(word, Relaxed);
        }
        slot.sequence.store(2 * at + 2, Release);
        self.head.store(at + 1, Release);
    }

    /// Reads the event at a position.
    pub(super) fn read(&self, at: u64) -> LogRead {
        if at >= self.head() {
            return LogRead::Empty;
        }
        let slot = self.slot(at);
        if slot.sequence.load(Acquire) != 2 * at + 2 {
            return LogRead::Overwritten;
        }
        let words = std::array::from_fn(|index| slot.words[index].load(Relaxed));
        fence(Acquire);
        if slot.sequence.load(Relaxed) != 2 * at + 2 {
            return LogRead::Overwritten;
        }
        LogRead::Entry(Entry::from_words(&words))
    }

    /// Returns the position at which a reader continues after it was overtaken: an eighth of the log ahead of the writer,
    /// so that it is not overtaken at once again.
    pub(super) fn resume(&self) -> u64 {
        let retained = self.slots.len() as u64;
        self.head().saturating_sub(retained - retained / 8)
    }

    fn slot(&self, at: u64) -> &Slot {
        // The remainder is below the number of slots.
        &self.slots[(at % self.slots.len() as u64) as usize]
    }
}

#[cfg(test)]
mod tests {
    use monitor_engine::{Event, Side, SockId};

    use super::*;

    fn entry(number: u64) -> Entry {
        let event = Event::Data {
            id: SockId::new(0, 1, 0),
            side: Side::Server,
            off: number,
            len: !number,
        };
        Entry {
            batch: number as u32,
            time: number,
            event,
            ends: None,
        }
    }

    #[test]
    fn an_overtaken_reader_notices_and_every_other_read_is_whole() {
        const EVENTS: u64 = 300_000;
        let log = EventLog::new(64, Arc::new(EventNotifier::new().unwrap()));
        let writer = Arc::clone(&log);
        let writer = std::thread::spawn(move || {
            for number in 0..EVENTS {
                writer.push(&entry(number));
            }
        });
        let (mut at, mut read, mut skipped) = (0, 0, 0);
        while at < EVENTS {
            match log.read(at) {
                LogRead::Entry(found) => {
                    assert_eq!(found, entry(at));
                    (at, read) = (at + 1, read + 1);
                }
                LogRead::Empty => std::thread::yield_now(),
                LogRead::Overwritten => {
                    let to = log.resume();
                    assert!(to > at, "{to} is not past {at}");
                    (skipped, at) = (skipped + to - at, to);
                }
            }
        }
        writer.join().unwrap();
        assert_eq!(read + skipped, EVENTS);
        assert!(read > 0);
    }
}

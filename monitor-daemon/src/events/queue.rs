//! A line from one worker to one who listens: the worker writes, one other reads, neither waits.

use std::sync::Arc;
use std::sync::atomic::Ordering::{Acquire, Release, SeqCst};
use std::sync::atomic::{AtomicBool, AtomicU64};

use crossbeam_queue::ArrayQueue;

use super::EventRecord;

/// What both ends of a line share.
#[derive(Debug)]
pub struct EventQueue {
    /// `None`: all that counts is that something happened.
    queue: Option<ArrayQueue<EventRecord>>,
    /// Notes that found the queue full.
    lost: AtomicU64,
    /// Something came since somebody looked.
    pending: AtomicBool,
}

/// The end of a line that is read.
#[derive(Debug)]
pub struct EventReceiver {
    queue: Arc<EventQueue>,
    /// Losses that were told of.
    told: u64,
    /// Taken from the queue; losses are told of first.
    held: Option<EventRecord>,
}

/// What comes out of a queue.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Delivery {
    /// A note.
    Record(EventRecord),
    /// So many notes were lost here.
    Lost(u64),
}

impl EventQueue {
    /// Memory that a note takes in a queue.
    pub const RECORD_BYTES: usize = size_of::<EventRecord>() + size_of::<usize>();

    /// A line that keeps up to `notes` notes (at least one), or that only says whether there were any.
    #[must_use]
    pub fn new(notes: Option<usize>) -> Arc<Self> {
        Arc::new(Self {
            queue: notes.map(|notes| ArrayQueue::new(notes.max(1))),
            lost: AtomicU64::new(0),
            pending: AtomicBool::new(false),
        })
    }

    /// Whether something came since the last call. For the one who answers the notifier.
    pub fn take_pending(&self) -> bool {
        self.pending.swap(false, SeqCst)
    }

    pub(super) fn has_queue(&self) -> bool {
        self.queue.is_some()
    }

    /// False if there is no room. For the worker.
    pub(super) fn push(&self, note: EventRecord) -> bool {
        self.queue
            .as_ref()
            .is_none_or(|queue| queue.push(note).is_ok())
    }

    /// Notes lost so far. For the worker, before it pushes the next one.
    pub(super) fn set_lost(&self, lost: u64) {
        self.lost.store(lost, Release);
    }

    /// To be followed by the notifier. For the worker.
    pub(super) fn announce(&self) {
        // In one order with the notifier's flag: see there.
        self.pending.store(true, SeqCst);
    }
}

impl EventReceiver {
    /// The one reading end of a queue.
    #[must_use]
    pub fn new(queue: Arc<EventQueue>) -> Self {
        Self {
            queue,
            told: 0,
            held: None,
        }
    }
}

/// Notes and losses, in the order in which they happened. After `None` there may be more.
impl Iterator for EventReceiver {
    type Item = Delivery;

    fn next(&mut self) -> Option<Delivery> {
        // Before the look at the queue: if that is empty, all that was in it when these were lost has been read, so
        // they come next. Those lost later may stand behind notes that are still to come.
        let lost = self.queue.lost.load(Acquire);
        let note = self
            .held
            .take()
            .or_else(|| self.queue.queue.as_ref()?.pop());
        let lost = note.map_or(lost, |note| note.lost);
        if lost > self.told {
            let count = lost - self.told;
            self.told = lost;
            self.held = note;
            return Some(Delivery::Lost(count));
        }
        note.map(Delivery::Record)
    }
}

#[cfg(test)]
mod tests {
    use monitor_engine::{Event, SockId};

    use super::super::RecordedEvent;
    use super::*;

    fn note(time: u64, lost: u64) -> EventRecord {
        EventRecord {
            time,
            lost,
            what: RecordedEvent::Event(Event::Established {
                id: SockId::new(0, 1, 0),
            }),
        }
    }

    #[test]
    fn losses_are_told_in_their_place() {
        let queue = EventQueue::new(Some(2));
        let mut tail = EventReceiver::new(Arc::clone(&queue));
        assert!(queue.push(note(1, 0)) && queue.push(note(2, 0)) && !queue.push(note(3, 0)));
        queue.set_lost(1);
        assert_eq!(tail.next(), Some(Delivery::Record(note(1, 0))));
        assert!(queue.push(note(4, 1)) && !queue.push(note(5, 1)));
        queue.set_lost(2);
        assert_eq!(tail.next(), Some(Delivery::Record(note(2, 0))));
        assert_eq!(tail.next(), Some(Delivery::Lost(1)));
        assert_eq!(tail.next(), Some(Delivery::Record(note(4, 1))));
        assert_eq!(
            tail.next(),
            Some(Delivery::Lost(1)),
            "at the end, without a note after it"
        );
        assert_eq!(tail.next(), None);
    }

    #[test]
    fn every_note_is_told_or_counted_while_both_ends_run() {
        const NOTES: u64 = 200_000;
        let queue = EventQueue::new(Some(8));
        let mut tail = EventReceiver::new(Arc::clone(&queue));
        let writer = std::thread::spawn(move || {
            let mut lost = 0;
            for time in 1..=NOTES {
                if !queue.push(note(time, lost)) {
                    lost += 1;
                    queue.set_lost(lost);
                }
            }
        });
        // The time that the next note has unless some were lost.
        let mut expected = 1;
        loop {
            let over = writer.is_finished();
            match tail.next() {
                Some(Delivery::Lost(count)) => expected += count,
                Some(Delivery::Record(note)) => {
                    assert_eq!(
                        note.time, expected,
                        "losses are told exactly, and before what follows"
                    );
                    expected += 1;
                }
                None if over => break,
                None => std::hint::spin_loop(),
            }
        }
        assert_eq!(expected, NOTES + 1);
    }
}

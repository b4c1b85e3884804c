//! Event queue from a subscriber to its receiver; neither waits for the other.

use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::{Acquire, Release};

use crossbeam_queue::ArrayQueue;

use super::{EventRecord, Losses};

/// State that both ends of a queue share.
#[derive(Debug)]
pub struct EventQueue {
    queue: ArrayQueue<EventRecord>,
    /// Number of lost records.
    lost: AtomicU64,
    /// Number of ends of connections among them. Written before `lost`.
    ends: AtomicU64,
}

/// Receiving end of a queue.
#[derive(Debug)]
pub struct EventReceiver {
    queue: Arc<EventQueue>,
    /// Losses that were delivered.
    told: Losses,
    /// Record taken from the queue; the losses before it are delivered first.
    held: Option<EventRecord>,
}

/// Item of a queue.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Delivery {
    /// Record of an event.
    Record(EventRecord),
    /// Records lost at this point.
    Lost(Losses),
}

impl EventQueue {
    /// Memory of one record in a queue, in bytes.
    pub const RECORD_BYTES: usize = size_of::<EventRecord>() + size_of::<usize>();

    /// Creates a queue of at most `records` records, at least one.
    #[must_use]
    pub fn new(records: usize) -> Arc<Self> {
        Arc::new(Self {
            queue: ArrayQueue::new(records.max(1)),
            lost: AtomicU64::new(0),
            ends: AtomicU64::new(0),
        })
    }

    /// Returns false if the queue is full. For the subscriber.
    pub(super) fn push(&self, record: EventRecord) -> bool {
        self.queue.push(record).is_ok()
    }

    /// Sets the number of lost records. For the subscriber, before its next push.
    pub(super) fn set_lost(&self, lost: Losses) {
        self.ends.store(lost.ends, Release);
        self.lost.store(lost.count, Release);
    }
}

impl EventReceiver {
    /// Creates the receiving end; a queue has only one.
    #[must_use]
    pub fn new(queue: Arc<EventQueue>) -> Self {
        Self {
            queue,
            told: Losses::default(),
            held: None,
        }
    }
}

/// Returns records and losses in order. After `None` there may be more.
impl Iterator for EventReceiver {
    type Item = Delivery;

    fn next(&mut self) -> Option<Delivery> {
        // Read before the queue: if that is empty, every record that was in it when these were lost has
        // been delivered, so the losses come next. Later losses may belong behind records that are still to
        // come.
        let count = self.queue.lost.load(Acquire);
        let record = self.held.take().or_else(|| self.queue.queue.pop());
        let lost = record.map_or_else(
            || Losses {
                count,
                // These may include later ones, which are then reported too early.
                ends: self.queue.ends.load(Acquire),
            },
            |record| record.lost,
        );
        let losses = lost.since(self.told);
        if losses.count > 0 {
            self.told += losses;
            self.held = record;
            return Some(Delivery::Lost(losses));
        }
        record.map(Delivery::Record)
    }
}

#[cfg(test)]
mod tests {
    use monitor_engine::{Event, SockId};

    use super::*;
    use crate::events::RecordedEvent;

    fn losses(count: u64) -> Losses {
        Losses {
            count,
            ends: count / 2,
        }
    }

    fn record(time: u64, lost: u64) -> EventRecord {
        EventRecord {
            time,
            lost: losses(lost),
            what: RecordedEvent::Event(Event::Established {
                id: SockId::new(0, 1, 0),
            }),
        }
    }

    #[test]
    fn losses_are_reported_in_their_place() {
        let queue = EventQueue::new(2);
        let mut tail = EventReceiver::new(Arc::clone(&queue));
        assert!(queue.push(record(1, 0)) && queue.push(record(2, 0)) && !queue.push(record(3, 0)));
        queue.set_lost(losses(1));
        assert_eq!(tail.next(), Some(Delivery::Record(record(1, 0))));
        assert!(queue.push(record(4, 1)) && !queue.push(record(5, 1)));
        queue.set_lost(losses(2));
        assert_eq!(tail.next(), Some(Delivery::Record(record(2, 0))));
        let lost = |count, ends| Some(Delivery::Lost(Losses { count, ends }));
        assert_eq!(tail.next(), lost(1, 0));
        assert_eq!(tail.next(), Some(Delivery::Record(record(4, 1))));
        assert_eq!(
            tail.next(),
            lost(1, 1),
            "at the end, without a record after it"
        );
        assert_eq!(tail.next(), None);
    }

    #[test]
    fn every_record_is_delivered_or_counted_while_both_ends_run() {
        const NOTES: u64 = 200_000;
        let queue = EventQueue::new(8);
        let mut tail = EventReceiver::new(Arc::clone(&queue));
        let writer = std::thread::spawn(move || {
            let mut lost = 0;
            for time in 1..=NOTES {
                if !queue.push(record(time, lost)) {
                    lost += 1;
                    queue.set_lost(losses(lost));
                }
            }
        });
        // Time of the next record unless some were lost.
        let (mut expected, mut lost, mut ends) = (1, 0, 0);
        loop {
            let over = writer.is_finished();
            match tail.next() {
                Some(Delivery::Lost(losses)) => {
                    assert!(losses.ends <= losses.count, "{losses:?}");
                    lost += losses.count;
                    ends += losses.ends;
                    expected += losses.count;
                }
                Some(Delivery::Record(record)) => {
                    assert_eq!(
                        record.time, expected,
                        "losses are told exactly, and before what follows"
                    );
                    expected += 1;
                }
                None if over => break,
                None => std::hint::spin_loop(),
            }
        }
        assert_eq!(expected, NOTES + 1);
        assert_eq!(ends, lost / 2);
    }
}

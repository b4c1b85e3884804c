//! A line from one worker to one who listens: the worker writes, one other reads, neither waits.

use std::sync::Arc;
use std::sync::atomic::Ordering::{Acquire, Release, SeqCst};
use std::sync::atomic::{AtomicBool, AtomicU64};

use crossbeam_queue::ArrayQueue;

use super::Note;

/// What both ends of a line share.
#[derive(Debug)]
pub struct Line {
    /// `None`: all that counts is that something happened.
    queue: Option<ArrayQueue<Note>>,
    /// Notes that found the queue full.
    lost: AtomicU64,
    /// Something came since somebody looked.
    news: AtomicBool,
}

/// The end of a line that is read.
#[derive(Debug)]
pub struct Tail {
    line: Arc<Line>,
    /// Losses that were told of.
    told: u64,
    /// Taken from the queue; losses are told of first.
    held: Option<Note>,
}

/// What comes out of a line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Told {
    /// A note.
    Note(Note),
    /// So many notes were lost here.
    Lost(u64),
}

impl Line {
    /// Memory that a note takes in a queue.
    pub const NOTE: usize = size_of::<Note>() + size_of::<usize>();

    /// A line that keeps up to `notes` notes (at least one), or that only says whether there were any.
    #[must_use]
    pub fn new(notes: Option<usize>) -> Arc<Self> {
        Arc::new(Self {
            queue: notes.map(|notes| ArrayQueue::new(notes.max(1))),
            lost: AtomicU64::new(0),
            news: AtomicBool::new(false),
        })
    }

    /// Whether something came since the last call. For the one who answers the bell.
    pub fn take_news(&self) -> bool {
        self.news.swap(false, SeqCst)
    }

    pub(super) fn has_queue(&self) -> bool {
        self.queue.is_some()
    }

    /// False if there is no room. For the worker.
    pub(super) fn push(&self, note: Note) -> bool {
        self.queue
            .as_ref()
            .is_none_or(|queue| queue.push(note).is_ok())
    }

    /// Notes lost so far. For the worker, before it pushes the next one.
    pub(super) fn set_lost(&self, lost: u64) {
        self.lost.store(lost, Release);
    }

    /// To be followed by the bell. For the worker.
    pub(super) fn announce(&self) {
        // In one order with the bell's flag: see there.
        self.news.store(true, SeqCst);
    }
}

impl Tail {
    /// The one reading end of a line.
    #[must_use]
    pub fn new(line: Arc<Line>) -> Self {
        Self {
            line,
            told: 0,
            held: None,
        }
    }
}

/// Notes and losses, in the order in which they happened. After `None` there may be more.
impl Iterator for Tail {
    type Item = Told;

    fn next(&mut self) -> Option<Told> {
        // Before the look at the queue: if that is empty, all that was in it when these were lost has been read, so
        // they come next. Those lost later may stand behind notes that are still to come.
        let lost = self.line.lost.load(Acquire);
        let note = self.held.take().or_else(|| self.line.queue.as_ref()?.pop());
        let lost = note.map_or(lost, |note| note.lost);
        if lost > self.told {
            let count = lost - self.told;
            self.told = lost;
            self.held = note;
            return Some(Told::Lost(count));
        }
        note.map(Told::Note)
    }
}

#[cfg(test)]
mod tests {
    use monitor_engine::{Event, SockId};

    use super::super::What;
    use super::*;

    fn note(time: u64, lost: u64) -> Note {
        Note {
            time,
            lost,
            what: What::Event(Event::Established {
                id: SockId::new(0, 1, 0),
            }),
        }
    }

    #[test]
    fn losses_are_told_in_their_place() {
        let line = Line::new(Some(2));
        let mut tail = Tail::new(Arc::clone(&line));
        assert!(line.push(note(1, 0)) && line.push(note(2, 0)) && !line.push(note(3, 0)));
        line.set_lost(1);
        assert_eq!(tail.next(), Some(Told::Note(note(1, 0))));
        assert!(line.push(note(4, 1)) && !line.push(note(5, 1)));
        line.set_lost(2);
        assert_eq!(tail.next(), Some(Told::Note(note(2, 0))));
        assert_eq!(tail.next(), Some(Told::Lost(1)));
        assert_eq!(tail.next(), Some(Told::Note(note(4, 1))));
        assert_eq!(
            tail.next(),
            Some(Told::Lost(1)),
            "at the end, without a note after it"
        );
        assert_eq!(tail.next(), None);
    }

    #[test]
    fn every_note_is_told_or_counted_while_both_ends_run() {
        const NOTES: u64 = 200_000;
        let line = Line::new(Some(8));
        let mut tail = Tail::new(Arc::clone(&line));
        let writer = std::thread::spawn(move || {
            let mut lost = 0;
            for time in 1..=NOTES {
                if !line.push(note(time, lost)) {
                    lost += 1;
                    line.set_lost(lost);
                }
            }
        });
        // The time that the next note has unless some were lost.
        let mut expected = 1;
        loop {
            let over = writer.is_finished();
            match tail.next() {
                Some(Told::Lost(count)) => expected += count,
                Some(Told::Note(note)) => {
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

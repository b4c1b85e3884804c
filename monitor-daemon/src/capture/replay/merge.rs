//! Order in which several capture files are read: by the times of their packets.
//!
//! A file is opened when its first packet is next, so that thousands of files that follow one another need one descriptor.

use std::ops::Range;

use super::file::CaptureFile;

/// Time of a file's first packet, nanoseconds since the epoch, and the file's index.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Start {
    pub time: u64,
    pub index: usize,
}

/// A file that is being read.
pub(super) struct Open {
    pub file: CaptureFile,
    pub index: usize,
    /// Time of its next packet.
    next: u64,
}

/// Files of a replay: those that are open, and those whose turn comes later.
pub(super) struct Merge<'a> {
    later: &'a [Start],
    open: Vec<Open>,
    /// Position in `open` of the file whose turn it is.
    current: usize,
    /// Latest time of the files that were read to their end.
    read_to: Option<u64>,
}

/// Next step of the replay.
pub(super) enum Turn<'m> {
    /// This file is to be opened and [added](Merge::add).
    Open(Start),
    /// This file is to be read up to a time; then [`Merge::turn_done`] is called.
    Read(&'m mut Open, u64),
}

/// Position of a file relative to those before it.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Join {
    First,
    /// Others have packets of the same time.
    Overlaps,
    /// All others were read, and this one begins after a pause.
    After(Range<u64>),
}

impl<'a> Merge<'a> {
    /// `starts`: in their order.
    pub(super) fn new(starts: &'a [Start]) -> Self {
        Self {
            later: starts,
            open: Vec::new(),
            current: 0,
            read_to: None,
        }
    }

    /// Returns the next step; `None` at the end of all files.
    pub(super) fn next_turn(&mut self) -> Option<Turn<'_>> {
        let earliest = (0..self.open.len()).min_by_key(|at| self.open[*at].next);
        if let Some((start, rest)) = self.later.split_first()
            && earliest.is_none_or(|at| start.time <= self.open[at].next)
        {
            self.later = rest;
            return Some(Turn::Open(*start));
        }
        self.current = earliest?;
        let others = self.open.iter().enumerate();
        let until = others
            .filter(|(at, _)| *at != self.current)
            .map(|(_, open)| open.next)
            .chain(self.later.first().map(|start| start.time))
            .min()
            .unwrap_or(u64::MAX);
        let open = self.open.get_mut(self.current)?;
        Some(Turn::Read(open, until))
    }

    /// Adds an opened file.
    pub(super) fn add(&mut self, start: Start, file: CaptureFile) -> Join {
        let join = match self.read_to {
            _ if !self.open.is_empty() => Join::Overlaps,
            Some(end) => Join::After(end.min(start.time)..start.time),
            None => Join::First,
        };
        self.open.push(Open {
            file,
            index: start.index,
            next: start.time,
        });
        join
    }

    /// Notes the time of the next packet of the file that was read; `None` at its end.
    pub(super) fn turn_done(&mut self, next: Option<u64>) {
        match next {
            Some(next) => self.open[self.current].next = next,
            None => {
                let done = self.open.swap_remove(self.current);
                self.read_to = self.read_to.max(done.file.time());
            }
        }
    }
}

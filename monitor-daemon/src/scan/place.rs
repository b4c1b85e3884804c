//! What is remembered of a side, and what is found on it.

/// How far back the begin of a match is looked for, in bytes. The window holds at least as much, and a pattern that
/// goes on and on costs no more than this for each of its ends.
pub const REACH: u64 = 4096;

/// A match.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Match {
    /// Its place among the set's patterns.
    pub pattern: u32,
    /// Offset of its first byte.
    pub off: u64,
    /// How long it is.
    pub len: u64,
    /// It is longer: where it begins lies further back than [`REACH`], or than what is kept.
    pub cut: bool,
}

/// The bytes of a side that were looked at before, for the begin of matches.
pub trait Stream {
    /// Copies bytes from `off` on; false if they are not all there any more.
    fn read(&mut self, off: u64, to: &mut [u8]) -> bool;
}

/// Where the search of one side stands.
#[derive(Clone, Debug)]
pub struct Place {
    /// Offset of the next byte.
    pub(super) at: u64,
    /// No match begins below: the start of the stream, or the end of a hole.
    pub(super) since: u64,
    /// One of each automaton.
    pub(super) states: Box<[u32]>,
    /// Patterns whose last match ended within reach, and where.
    ended: Vec<(u32, u64)>,
}

/// Ends that are remembered of one side. More of them within reach are forgotten, the oldest first: their patterns may
/// then be found again, overlapping.
const MOST_ENDED: usize = 1024;

impl Place {
    pub(super) fn new(at: u64, states: Box<[u32]>) -> Self {
        Self { at, since: at, states, ended: Vec::new() }
    }

    /// Offset of the byte that is to be looked at next.
    #[must_use]
    pub fn at(&self) -> u64 {
        self.at
    }

    /// Memory that it takes, in bytes.
    #[must_use]
    pub fn memory(&self) -> usize {
        size_of::<Self>() + size_of_val(&*self.states) + self.ended.capacity() * size_of::<(u32, u64)>()
    }

    /// The lowest offset at which a match of this pattern may begin.
    pub(super) fn free(&self, pattern: u32) -> u64 {
        let ended = self.ended.iter().find(|(of, _)| *of == pattern);
        ended.map_or(self.since, |(_, end)| self.since.max(*end))
    }

    /// A match of this pattern ended there.
    pub(super) fn end(&mut self, pattern: u32, end: u64) {
        if let Some(known) = self.ended.iter_mut().find(|(of, _)| *of == pattern) {
            known.1 = end;
            return;
        }
        self.ended.retain(|(_, known)| known + REACH > end);
        if self.ended.len() >= MOST_ENDED
            && let Some(oldest) = (0..self.ended.len()).min_by_key(|&index| self.ended[index].1)
        {
            self.ended.swap_remove(oldest);
        }
        self.ended.push((pattern, end));
    }
}

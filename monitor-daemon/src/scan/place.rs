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
    /// Patterns whose last match ended within reach, in their order, and where.
    ended: Vec<(u32, u64)>,
}

/// Ends that are remembered of one side. More of them within reach are forgotten, the oldest first: their patterns may
/// then be found again, overlapping.
const MOST_ENDED: usize = 1024;

impl Place {
    pub(super) fn new(at: u64, states: Box<[u32]>) -> Self {
        Self {
            at,
            since: at,
            states,
            ended: Vec::new(),
        }
    }

    /// Offset of the byte that is to be looked at next.
    #[must_use]
    pub fn at(&self) -> u64 {
        self.at
    }

    /// Memory that it takes, in bytes.
    #[must_use]
    pub fn memory(&self) -> usize {
        size_of::<Self>()
            + size_of_val(&*self.states)
            + self.ended.capacity() * size_of::<(u32, u64)>()
    }

    /// The lowest offset at which a match of this pattern may begin.
    pub(super) fn free(&self, pattern: u32) -> u64 {
        let ended = self.find(pattern).ok().map(|index| self.ended[index].1);
        ended.map_or(self.since, |end| self.since.max(end))
    }

    /// A match of this pattern ended there.
    pub(super) fn end(&mut self, pattern: u32, end: u64) {
        if let Ok(index) = self.find(pattern) {
            self.ended[index].1 = end;
            return;
        }
        if self.ended.len() >= MOST_ENDED {
            self.ended.retain(|(_, known)| known + REACH > end);
        }
        if self.ended.len() >= MOST_ENDED
            && let Some(oldest) = (0..self.ended.len()).min_by_key(|&index| self.ended[index].1)
        {
            self.ended.remove(oldest);
        }
        let index = self.find(pattern).unwrap_or_else(|index| index);
        self.ended.insert(index, (pattern, end));
    }

    /// Where the pattern is, or belongs.
    fn find(&self, pattern: u32) -> Result<usize, usize> {
        self.ended.binary_search_by_key(&pattern, |(of, _)| *of)
    }
}

/// Matches that are held at a time: more in one piece are counted only.
const MOST_FOUND: usize = 16 * 1024;

/// What was found in a piece.
#[derive(Debug, Default)]
pub(super) struct Found {
    pub(super) list: Vec<Match>,
    /// Matches that there was no room for.
    pub(super) dropped: u64,
}

impl Found {
    /// Whether there is room for one more; if not, it is counted.
    pub(super) fn has_room(&mut self) -> bool {
        let room = self.list.len() < MOST_FOUND;
        self.dropped += u64::from(!room);
        room
    }
}

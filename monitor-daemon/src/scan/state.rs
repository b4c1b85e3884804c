//! State of the search of one side: a few numbers for each automaton, and the ends of recent matches.

/// Distance to which the begin of a match is searched, in bytes. The store's window holds at least this much. It also
/// bounds the cost of finding the begin of one match.
pub const REACH: u64 = 4096;

/// Match of a pattern.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Match {
    /// Index of the pattern in its set.
    pub pattern: u32,
    /// Offset of the first byte.
    pub off: u64,
    /// Length in bytes.
    pub len: u64,
    /// True if the match begins before `off`: further back than [`REACH`], or than the oldest retained byte.
    pub cut: bool,
}

/// Bytes of a side that were scanned before; read to find the begin of a match.
pub trait Stream {
    /// Copies the bytes from `off` on; returns false unless all of them are retained.
    fn read(&mut self, off: u64, to: &mut [u8]) -> bool;
}

/// State of the search of one side.
#[derive(Clone, Debug)]
pub struct ScanState {
    /// Offset of the next byte.
    pub(super) at: u64,
    /// Lowest offset of a match: the start of the stream, or the end of a hole.
    pub(super) since: u64,
    /// State of each automaton.
    pub(super) automata: Box<[u32]>,
    /// Searches for the next match of patterns that matched, ordered by group.
    pub(super) restarts: Vec<Restart>,
    /// Byte before `at`.
    pub(super) last: u8,
    /// Patterns with a last match that ended within reach, in their order, with the offset of that end.
    ended: Vec<(u32, u64)>,
}

/// Second run of a group's automaton, which starts at the end of a match.
///
/// The first run still matches at the following bytes if a longer match begins before that end, although the next match
/// has to begin after it. The second run answers that exactly, for one step a byte. It is dropped when both runs reach
/// the same state, since they are equal from there on.
#[derive(Clone, Copy, Debug)]
pub(super) struct Restart {
    /// Patterns of the group that it decides about, one bit each.
    pub(super) patterns: u64,
    /// Offset of its first byte.
    pub(super) from: u64,
    pub(super) state: u32,
    pub(super) group: u32,
}

/// Limit of remembered ends. At the limit, the older half is dropped: a match of those patterns may then be reported
/// with a begin before the end of the match before it.
const MAX_ENDED: usize = 1024;

impl ScanState {
    pub(super) fn new(at: u64, automata: Box<[u32]>) -> Self {
        Self {
            at,
            since: at,
            automata,
            restarts: Vec::new(),
            last: 0,
            ended: Vec::new(),
        }
    }

    /// Returns the offset of the byte to scan next.
    #[must_use]
    pub fn at(&self) -> u64 {
        self.at
    }

    /// Returns the memory in use, in bytes.
    #[must_use]
    pub fn memory(&self) -> usize {
        size_of::<Self>()
            + size_of_val(&*self.automata)
            + self.restarts.capacity() * size_of::<Restart>()
            + self.ended.capacity() * size_of::<(u32, u64)>()
    }

    /// Returns the lowest offset at which a match of this pattern may begin.
    pub(super) fn free(&self, pattern: u32) -> u64 {
        match self.find(pattern) {
            Ok(index) => self.since.max(self.ended[index].1),
            Err(_) => self.since,
        }
    }

    /// Notes that a match of this pattern ended at `end`.
    pub(super) fn set_ended(&mut self, pattern: u32, end: u64) {
        if let Ok(index) = self.find(pattern) {
            self.ended[index].1 = end;
            return;
        }
        if self.ended.len() >= MAX_ENDED {
            self.drop_ended(end);
        }
        let index = self.find(pattern).unwrap_or_else(|index| index);
        self.ended.insert(index, (pattern, end));
    }

    /// Drops the ends out of reach, or the older half, so that the cost of an insertion stays constant on average.
    fn drop_ended(&mut self, now: u64) {
        self.ended.retain(|(_, end)| end + REACH > now);
        if self.ended.len() > MAX_ENDED / 2 {
            let mut ends: Vec<u64> = self.ended.iter().map(|(_, end)| *end).collect();
            let (_, median, _) = ends.select_nth_unstable(self.ended.len() - MAX_ENDED / 2);
            let median = *median;
            self.ended.retain(|(_, end)| *end > median);
        }
    }

    /// Returns the index of the pattern, or the one to insert it at.
    fn find(&self, pattern: u32) -> Result<usize, usize> {
        self.ended.binary_search_by_key(&pattern, |(of, _)| *of)
    }
}

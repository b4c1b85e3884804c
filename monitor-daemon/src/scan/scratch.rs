//! Memory that one client's search reuses from piece to piece, and the matches whose begin is still to be found.

use std::ops::Range;

use regex_automata::util::primitives::PatternID;

use super::reverse::Threads;
use super::state::{Match, Restart, Stream};

/// Limit of matches in one piece. Those beyond are counted only.
const MAX_MATCHES: usize = 16 * 1024;
/// Number of cached pattern masks; a power of two.
const MASKS: usize = 256;

/// Memory that one client's search reuses from piece to piece.
#[derive(Debug)]
pub struct Scratch {
    pub(super) threads: Threads,
    pub(super) masks: Masks,
    /// Empty between calls; only its memory is kept.
    pub(super) restarts: Vec<Restart>,
    /// Ends of the matches in the last piece, in descending order: the next one is the last.
    pub(super) ends: Vec<End>,
    pub(super) piece: Piece,
    /// Bytes in which the begin of a match is searched.
    pub(super) text: Vec<u8>,
    /// Matches beyond the limit.
    dropped: u64,
    /// Steps of automata.
    pub(super) work: usize,
}

/// Last piece that was scanned.
#[derive(Debug)]
pub(super) struct Piece {
    /// Offset of its first byte.
    pub(super) at: u64,
    pub(super) bytes: Vec<u8>,
}

/// Successor of a byte.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Then {
    Byte(u8),
    /// Not known yet.
    Open,
    Hole,
    /// End of the stream.
    Fin,
}

/// End of a match.
#[derive(Clone, Copy, Debug)]
pub(super) struct End {
    pub(super) off: u64,
    pub(super) pattern: u32,
    pub(super) begin: Begin,
}

/// Begin of a match.
#[derive(Clone, Copy, Debug)]
pub(super) enum Begin {
    /// Known offset, of a literal.
    At(u64),
    /// To be searched.
    Search {
        group: u32,
        /// Index of the pattern in its group.
        number: PatternID,
        /// Lowest offset that is possible.
        free: u64,
        /// Start of the stream, or end of the hole, before it.
        since: u64,
        then: Then,
    },
}

impl Scratch {
    pub(super) fn new(nfa_states: usize) -> Self {
        Self {
            threads: Threads::new(nfa_states),
            masks: Masks::default(),
            restarts: Vec::new(),
            ends: Vec::new(),
            piece: Piece {
                at: 0,
                bytes: Vec::new(),
            },
            text: Vec::new(),
            dropped: 0,
            work: 0,
        }
    }

    /// Returns the memory in use, in bytes.
    #[must_use]
    pub fn memory(&self) -> usize {
        size_of::<Self>()
            + self.threads.memory()
            + self.masks.0.capacity() * size_of::<Mask>()
            + self.restarts.capacity() * size_of::<Restart>()
            + self.ends.capacity() * size_of::<End>()
            + self.piece.bytes.capacity()
            + self.text.capacity()
    }

    /// Returns the number of matches beyond the limit of one piece since the last call.
    pub fn take_dropped(&mut self) -> u64 {
        std::mem::take(&mut self.dropped)
    }

    /// Returns the number of steps of automata since the last call: the cost of the search, some nanoseconds each.
    pub fn take_work(&mut self) -> usize {
        std::mem::take(&mut self.work)
    }

    pub(super) fn push(&mut self, end: End) {
        if self.ends.len() < MAX_MATCHES {
            self.ends.push(end);
        } else {
            self.dropped += 1;
        }
    }
}

impl Piece {
    /// Replaces the piece.
    pub(super) fn set(&mut self, at: u64, bytes: &[u8]) {
        self.at = at;
        self.bytes.clear();
        self.bytes.extend_from_slice(bytes);
    }

    /// Returns a byte of the piece, or of the bytes before it.
    pub(super) fn byte(&self, off: u64, stream: &mut dyn Stream) -> Option<u8> {
        match off.checked_sub(self.at) {
            Some(index) => self.bytes.get(index as usize).copied(),
            None => {
                let mut byte = [0];
                stream.read(off, &mut byte).then_some(byte[0])
            }
        }
    }

    /// Appends the bytes `range` to `text`; returns false and appends nothing unless all of them are retained.
    pub(super) fn copy(
        &self,
        range: Range<u64>,
        stream: &mut dyn Stream,
        text: &mut Vec<u8>,
    ) -> bool {
        let Range { start, end } = range;
        let len = text.len();
        if start < self.at {
            text.resize(len + (end.min(self.at) - start) as usize, 0);
            if !stream.read(start, &mut text[len..]) {
                text.truncate(len);
                return false;
            }
        }
        if end > self.at {
            let (start, end) = (start.max(self.at) - self.at, end - self.at);
            text.extend_from_slice(&self.bytes[start as usize..end as usize]);
        }
        true
    }
}

impl End {
    /// Returns the match if its begin is known.
    pub(super) fn known(&self) -> Option<Match> {
        let Begin::At(off) = self.begin else {
            return None;
        };
        Some(Match {
            pattern: self.pattern,
            off,
            len: self.off - off,
            cut: false,
        })
    }
}

/// Cache of the patterns that match in a state, one bit each. Asking the automaton takes a step for each of them.
#[derive(Debug, Default)]
pub(super) struct Masks(Vec<Mask>);

#[derive(Clone, Copy, Debug)]
struct Mask {
    group: u32,
    state: u32,
    patterns: u64,
}

impl Masks {
    /// Returns the patterns of a state, by `compute` unless they are cached.
    pub(super) fn get(&mut self, group: u32, state: u32, compute: impl FnOnce() -> u64) -> u64 {
        if self.0.is_empty() {
            let unused = Mask {
                group: u32::MAX,
                state: 0,
                patterns: 0,
            };
            self.0 = vec![unused; MASKS];
        }
        // States are multiples of the automaton's stride: the multiplication spreads them.
        let hash = (state ^ group << 20).wrapping_mul(0x9E37_79B1) >> 24;
        let mask = &mut self.0[hash as usize % MASKS];
        if (mask.group, mask.state) != (group, state) {
            *mask = Mask {
                group,
                state,
                patterns: compute(),
            };
        }
        mask.patterns
    }
}

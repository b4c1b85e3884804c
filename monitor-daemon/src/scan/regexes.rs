//! Regular expressions: deterministic automata, forward for the ends of matches, backward for their begins.
//!
//! The automata know a byte late that something matched, since it may depend on that byte. At the edge of what is
//! there, a zero byte is tried without being taken: what matches then, and has no business with the byte to come, is a
//! match. When the byte comes, the same match is seen again, and is found to overlap with itself.

use regex_automata::dfa::{Automaton, StartKind, dense};
use regex_automata::hybrid::dfa as lazy;
use regex_automata::nfa::thompson;
use regex_automata::util::primitives::{PatternID, StateID};
use regex_automata::util::start;
use regex_automata::{Anchored, Input, MatchKind};
use regex_syntax::hir::Hir;

use super::place::{Found, Match, Place, REACH, Stream};

/// The byte that stands behind holes.
const NONE: u8 = 0;
/// Memory for the backward automaton of a group, which is made as far as it is used, for each thread that searches.
const BACKWARD: usize = 2 << 20;

/// Regular expressions that are searched for together.
#[derive(Debug)]
pub(super) struct Regexes {
    forward: dense::DFA<Vec<u32>>,
    backward: lazy::DFA,
    expressions: Vec<Expression>,
}

#[derive(Debug)]
struct Expression {
    /// Which pattern of the set it is.
    pattern: u32,
    /// Whether it ends somewhere depends on what comes then.
    looks_ahead: bool,
}

/// Why some expressions are not a group.
#[derive(Debug)]
pub(super) enum Refused {
    /// Fewer of them may be.
    TooLarge,
    /// Not even alone.
    Unsupported(String),
}

impl Regexes {
    pub(super) fn new(expressions: &[(u32, Hir)], most: usize) -> Result<Self, Refused> {
        let hirs: Vec<&Hir> = expressions.iter().map(|(_, hir)| hir).collect();
        let forward = dense::Builder::new()
            .configure(
                dense::Config::new()
                    .start_kind(StartKind::Unanchored)
                    .match_kind(MatchKind::All)
                    .dfa_size_limit(Some(most))
                    .determinize_size_limit(Some(2 * most)),
            )
            .build_from_nfa(&compile(&hirs, false, most)?)
            .map_err(|error| {
                if error.is_size_limit_exceeded() {
                    Refused::TooLarge
                } else {
                    Refused::Unsupported(error.to_string())
                }
            })?;
        let backward = lazy::Builder::new()
            .configure(
                lazy::Config::new()
                    .match_kind(MatchKind::All)
                    .starts_for_each_pattern(true)
                    .cache_capacity(BACKWARD)
                    .skip_cache_capacity_check(true),
            )
            .build_from_nfa(compile(&hirs, true, most)?)
            .map_err(|error| Refused::Unsupported(error.to_string()))?;
        let expression = |(pattern, hir): &(u32, Hir)| Expression {
            pattern: *pattern,
            looks_ahead: hir.properties().look_set().iter().any(looks_ahead),
        };
        Ok(Self {
            forward,
            backward,
            expressions: expressions.iter().map(expression).collect(),
        })
    }

    pub(super) fn memory(&self) -> usize {
        self.forward.memory_usage() + self.backward.memory_usage()
    }

    /// What going back needs, for each thread.
    pub(super) fn cache(&self) -> lazy::Cache {
        self.backward.create_cache()
    }

    /// At the start of a stream, or behind a hole.
    pub(super) fn start(&self, at: u64) -> u32 {
        let behind = (at > 0).then_some(NONE);
        let config = start::Config::new()
            .look_behind(behind)
            .anchored(Anchored::No);
        // A zero byte stops no search.
        self.forward
            .start_state(&config)
            .map_or(0, |state| state.as_u32())
    }
}

fn compile(hirs: &[&Hir], reverse: bool, most: usize) -> Result<thompson::NFA, Refused> {
    let config = thompson::Config::new()
        .utf8(false)
        .reverse(reverse)
        .nfa_size_limit(Some(most))
        .which_captures(thompson::WhichCaptures::None);
    thompson::Compiler::new()
        .configure(config)
        .build_many_from_hir(hirs)
        .map_err(|error| match error.size_limit() {
            Some(_) => Refused::TooLarge,
            None => Refused::Unsupported(error.to_string()),
        })
}

fn looks_ahead(look: regex_syntax::hir::Look) -> bool {
    use regex_syntax::hir::Look;
    !matches!(look, Look::Start | Look::StartLF | Look::StartCRLF)
}

/// One turn over bytes of one side.
pub(super) struct Walk<'a> {
    pub(super) regexes: &'a Regexes,
    pub(super) cache: &'a mut lazy::Cache,
    pub(super) place: &'a mut Place,
    /// Which of the place's states is this one's.
    pub(super) own: usize,
    /// The bytes, the first of which stands where the place is.
    pub(super) bytes: &'a [u8],
    /// Those before.
    pub(super) stream: &'a mut dyn Stream,
    pub(super) found: &'a mut Found,
}

/// What comes after a byte.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Then {
    Byte(u8),
    /// Not known yet.
    Open,
    /// A hole.
    Hole,
    /// Nothing: the stream ends.
    End,
}

impl Walk<'_> {
    /// Looks at the bytes, and at what is known to come then.
    pub(super) fn run(&mut self, then: Then) {
        let forward = &self.regexes.forward;
        let Ok(mut state) = StateID::new(self.place.states[self.own] as usize) else {
            return;
        };
        let mut index = 0;
        while index < self.bytes.len() {
            let byte = self.bytes[index];
            state = forward.next_state(state, byte);
            if forward.is_special_state(state) {
                if forward.is_match_state(state) {
                    self.matched(state, index, Then::Byte(byte));
                } else if forward.is_accel_state(state) {
                    // Only these bytes lead elsewhere.
                    let rest = &self.bytes[index + 1..];
                    index += jump(forward.accelerator(state), rest);
                }
            }
            index += 1;
        }
        self.place.states[self.own] = state.as_u32();
        let last = match then {
            Then::End => forward.next_eoi_state(state),
            Then::Open | Then::Hole | Then::Byte(_) => forward.next_state(state, NONE),
        };
        if forward.is_match_state(last) {
            self.matched(last, self.bytes.len(), then);
        }
    }

    /// Matches end in front of the byte at `index`.
    fn matched(&mut self, state: StateID, index: usize, then: Then) {
        let forward = &self.regexes.forward;
        let end = self.place.at + index as u64;
        for number in 0..forward.match_len(state) {
            let number = forward.match_pattern(state, number);
            let Some(expression) = self.regexes.expressions.get(number.as_usize()) else {
                continue;
            };
            let pattern = expression.pattern;
            let seen = self.place.free(pattern) >= end;
            if seen || then == Then::Open && expression.looks_ahead || !self.found.has_room() {
                continue;
            }
            if let Some(found) = self.begin(number, pattern, end, then) {
                self.place.end(pattern, end);
                self.found.list.push(found);
            }
        }
    }

    /// Goes back from the end of a match; `None` if it begins within the one before.
    fn begin(&mut self, number: PatternID, pattern: u32, end: u64, then: Then) -> Option<Match> {
        let free = self.place.free(pattern);
        let mut low = free.max(end.saturating_sub(REACH));
        if low >= end {
            return None;
        }
        // One byte more on each side, for what looks around.
        let mut text = Vec::with_capacity((end - low) as usize + 2);
        match low {
            0 => {}
            low if low == self.place.since => text.push(NONE),
            low => text.push(self.byte(low - 1).unwrap_or(NONE)),
        }
        let ahead = text.len();
        while !self.copy(low, end, &mut text, ahead) {
            // Gone, if it was there: what is at hand is what came in this piece.
            low = self.place.at.max(low + 1);
            if low >= end {
                break;
            }
        }
        let span = ahead..text.len();
        match then {
            Then::Byte(byte) => text.push(byte),
            Then::Open | Then::Hole => text.push(NONE),
            Then::End => {}
        }
        let input = Input::new(&text)
            .span(span)
            .anchored(Anchored::Pattern(number));
        let begin = self
            .regexes
            .backward
            .try_search_rev(self.cache, &input)
            .ok()
            .flatten();
        match begin {
            Some(begin) => {
                let off = low + (begin.offset() - ahead) as u64;
                Some(Match {
                    pattern,
                    off,
                    len: end - off,
                    cut: false,
                })
            }
            None if low > free => Some(Match {
                pattern,
                off: low,
                len: end - low,
                cut: true,
            }),
            None => None,
        }
    }

    fn byte(&mut self, off: u64) -> Option<u8> {
        let mut byte = [0];
        let near = off
            .checked_sub(self.place.at)
            .and_then(|index| self.bytes.get(index as usize));
        near.copied()
            .or_else(|| self.stream.read(off, &mut byte).then_some(byte[0]))
    }

    /// Writes the bytes `low..end` at `at`; false if some are not there any more.
    fn copy(&mut self, low: u64, end: u64, text: &mut Vec<u8>, at: usize) -> bool {
        text.truncate(at);
        let (own, bytes) = (self.place.at, self.bytes);
        if low < own {
            text.resize(at + (end.min(own) - low) as usize, 0);
            if !self.stream.read(low, &mut text[at..]) {
                text.truncate(at);
                return false;
            }
        }
        if end > own {
            text.extend_from_slice(&bytes[(low.max(own) - own) as usize..(end - own) as usize]);
        }
        true
    }
}

/// How many bytes stand before the first of the needles.
fn jump(needles: &[u8], bytes: &[u8]) -> usize {
    let found = match *needles {
        [a] => memchr::memchr(a, bytes),
        [a, b] => memchr::memchr2(a, b, bytes),
        [a, b, c] => memchr::memchr3(a, b, c, bytes),
        _ => Some(0),
    };
    found.unwrap_or(bytes.len())
}

//! Regular expressions: deterministic automata for the ends of matches, NFAs in reverse for their begins.
//!
//! An automaton reports a match one byte late, since the match may depend on that byte. After the last byte at hand, a
//! zero byte is tried without being consumed: a match that doesn't depend on the next byte is reported then. When that
//! byte arrives, a [`Restart`] decides about the pattern, which cannot report the same match again.

use regex_automata::dfa::{Automaton, StartKind, dense};
use regex_automata::nfa::thompson;
use regex_automata::util::primitives::{PatternID, StateID};
use regex_automata::util::start;
use regex_automata::{Anchored, MatchKind};
use regex_syntax::hir::Hir;

use super::reverse::Reverse;
use super::scratch::{Begin, End, Scratch, Then};
use super::state::{Match, REACH, Restart, ScanState, Stream};

/// Stands for the byte before the first one after a hole, and for the byte after the last one before it.
const NONE: u8 = 0;
/// Limit of expressions in a group: one bit each in a [`Restart`].
pub(super) const MAX_GROUP: usize = u64::BITS as usize;

/// Regular expressions that are searched together.
#[derive(Debug)]
pub(super) struct Regexes {
    forward: dense::DFA<Vec<u32>>,
    backward: thompson::NFA,
    expressions: Vec<Expression>,
}

#[derive(Debug)]
struct Expression {
    /// Index in the set.
    pattern: u32,
    /// True if the end of a match depends on the byte after it.
    looks_ahead: bool,
}

/// Reason that some expressions cannot be a group.
#[derive(Debug)]
pub(super) enum Refused {
    /// Fewer of them may fit.
    TooLarge,
    /// Cannot be searched even alone.
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
        let backward = compile(&hirs, true, most)?;
        let expressions = expressions.iter().map(|(pattern, hir)| Expression {
            pattern: *pattern,
            looks_ahead: hir.properties().look_set().iter().any(looks_ahead),
        });
        Ok(Self {
            // Determinization leaves up to twice the memory that the table needs: a copy has none to spare.
            forward: forward.to_owned(),
            backward,
            expressions: expressions.collect(),
        })
    }

    pub(super) fn memory(&self) -> usize {
        self.forward.memory_usage()
            + self.backward.memory_usage()
            + self.expressions.capacity() * size_of::<Expression>()
    }

    /// Returns the number of expressions.
    pub(super) fn len(&self) -> usize {
        self.expressions.len()
    }

    /// Returns the number of states of the NFA.
    pub(super) fn nfa_states(&self) -> usize {
        self.backward.states().len()
    }

    /// Returns the state at the start of a stream, or after a hole.
    pub(super) fn start(&self, at: u64) -> u32 {
        self.state_after((at > 0).then_some(NONE)).as_u32()
    }

    fn state_after(&self, byte: Option<u8>) -> StateID {
        let config = start::Config::new()
            .look_behind(byte)
            .anchored(Anchored::No);
        // Cannot fail: the automaton has unanchored starts, and no byte stops a search.
        self.forward.start_state(&config).unwrap_or(StateID::ZERO)
    }

    /// Returns the patterns that match in a state, one bit each.
    fn matches(&self, state: StateID) -> u64 {
        let numbers = (0..self.forward.match_len(state))
            .map(|index| self.forward.match_pattern(state, index));
        numbers.fold(0, |mask, number| mask | 1 << number.as_usize())
    }

    /// Finds the begin of a match that ends at `end`.
    pub(super) fn resolve(
        &self,
        scratch: &mut Scratch,
        end: &End,
        stream: &mut dyn Stream,
    ) -> Option<Match> {
        let Begin::Search {
            number,
            free,
            since,
            then,
            ..
        } = end.begin
        else {
            return end.known();
        };
        let mut low = free.max(end.off.saturating_sub(REACH));
        let mut text = std::mem::take(&mut scratch.text);
        text.clear();
        // One byte more on each side, for look-around assertions.
        match low {
            0 => {}
            low if low == since => text.push(NONE),
            low => text.push(scratch.piece.byte(low - 1, stream).unwrap_or(NONE)),
        }
        let ahead = text.len();
        if !scratch.piece.copy(low..end.off, stream, &mut text) {
            // Evicted: only the bytes of this piece are at hand.
            low = scratch.piece.at.clamp(low, end.off);
            let _ = scratch.piece.copy(low..end.off, stream, &mut text);
        }
        let span = ahead..text.len();
        match then {
            Then::Byte(byte) => text.push(byte),
            Then::Open | Then::Hole => text.push(NONE),
            Then::Fin => {}
        }
        let mut reverse = Reverse {
            nfa: &self.backward,
            text: &text,
            threads: &mut scratch.threads,
            work: 0,
        };
        let begin = reverse.first_begin(number, span);
        scratch.work += reverse.work;
        scratch.text = text;
        // The automaton saw that there is a begin at `free` or above: if it isn't here, it is below `low`.
        let off = begin.map_or(low, |index| low + (index - ahead) as u64);
        Some(Match {
            pattern: end.pattern,
            off,
            len: end.off - off,
            cut: begin.is_none(),
        })
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

/// Scan of one piece by one group.
pub(super) struct Walk<'a> {
    pub(super) regexes: &'a Regexes,
    pub(super) scratch: &'a mut Scratch,
    pub(super) state: &'a mut ScanState,
    /// Index of the group.
    pub(super) group: u32,
    /// Index of its state in [`ScanState::automata`].
    pub(super) own: usize,
    /// First of its restarts in [`Scratch::restarts`].
    pub(super) first_restart: usize,
    /// The first of them is the one at `state.at`.
    pub(super) bytes: &'a [u8],
}

impl Walk<'_> {
    /// Scans the bytes, and their known successor.
    pub(super) fn run(&mut self, then: Then) {
        let forward = &self.regexes.forward;
        let Ok(mut state) = StateID::new(self.state.automata[self.own] as usize) else {
            return;
        };
        let mut index = 0;
        while index < self.bytes.len() {
            let byte = self.bytes[index];
            state = forward.next_state(state, byte);
            self.scratch.work += 1;
            if self.scratch.restarts.len() > self.first_restart {
                self.step_restarts(state, byte);
                self.matched(state, |state| state, index, Then::Byte(byte));
            } else if forward.is_special_state(state) {
                if forward.is_match_state(state) {
                    self.matched(state, |state| state, index, Then::Byte(byte));
                } else if forward.is_accel_state(state) {
                    // Only these bytes lead to another state.
                    let rest = &self.bytes[index + 1..];
                    index += jump(forward.accelerator(state), rest);
                }
            }
            index += 1;
        }
        self.state.automata[self.own] = state.as_u32();
        // Tried, not consumed.
        let successor = |state| match then {
            Then::Fin => forward.next_eoi_state(state),
            Then::Open | Then::Hole | Then::Byte(_) => forward.next_state(state, NONE),
        };
        self.matched(state, successor, self.bytes.len(), then);
    }

    /// Moves the restarts on by a byte, and drops those that reached the state of the group.
    fn step_restarts(&mut self, state: StateID, byte: u8) {
        let forward = &self.regexes.forward;
        let mut kept = self.first_restart;
        for index in self.first_restart..self.scratch.restarts.len() {
            let mut restart = self.scratch.restarts[index];
            restart.state = forward.next_state(id(restart.state), byte).as_u32();
            if restart.state != state.as_u32() {
                self.scratch.restarts[kept] = restart;
                kept += 1;
            }
        }
        self.scratch.work += self.scratch.restarts.len() - self.first_restart;
        self.scratch.restarts.truncate(kept);
    }

    /// Notes the matches that end before the byte at `index`. `then` is that byte, and `look` leads to the states after it.
    fn matched(
        &mut self,
        state: StateID,
        look: impl Fn(StateID) -> StateID,
        index: usize,
        then: Then,
    ) {
        let forward = &self.regexes.forward;
        let end = self.state.at + index as u64;
        let (mut taken, mut restarted) = (0, 0);
        for at in self.first_restart..self.scratch.restarts.len() {
            let Restart {
                patterns,
                from,
                state,
                ..
            } = self.scratch.restarts[at];
            restarted |= patterns;
            taken |= self.note(look(id(state)), patterns, from, end, then);
        }
        taken |= self.note(look(state), !restarted, 0, end, then);
        if taken == 0 {
            return;
        }
        let first = self.first_restart;
        for restart in &mut self.scratch.restarts[first..] {
            restart.patterns &= !taken;
        }
        let mut kept = first;
        for index in first..self.scratch.restarts.len() {
            let restart = self.scratch.restarts[index];
            if restart.patterns != 0 {
                self.scratch.restarts[kept] = restart;
                kept += 1;
            }
        }
        self.scratch.restarts.truncate(kept);
        let last = index
            .checked_sub(1)
            .map_or(self.state.last, |index| self.bytes[index]);
        let start = self.regexes.state_after(Some(last));
        let state = match then {
            Then::Byte(byte) => forward.next_state(start, byte),
            Then::Open => start,
            // No match continues beyond these.
            Then::Hole | Then::Fin => return,
        };
        self.scratch.restarts.push(Restart {
            patterns: taken,
            from: end,
            state: state.as_u32(),
            group: self.group,
        });
    }

    /// Notes the matches of those of the `patterns` that match in `state`; returns them, one bit each.
    fn note(&mut self, state: StateID, patterns: u64, from: u64, end: u64, then: Then) -> u64 {
        if !self.regexes.forward.is_match_state(state) {
            return 0;
        }
        let regexes = self.regexes;
        let found = self
            .scratch
            .masks
            .get(self.group, state.as_u32(), || regexes.matches(state));
        let mut left = found & patterns;
        let mut taken = 0;
        while left != 0 {
            let number = left.trailing_zeros() as usize;
            left &= left - 1;
            let Some(expression) = regexes.expressions.get(number) else {
                continue;
            };
            if then == Then::Open && expression.looks_ahead {
                continue;
            }
            taken |= 1 << number;
            self.scratch.work += 1;
            self.scratch.push(End {
                off: end,
                pattern: expression.pattern,
                begin: Begin::Search {
                    group: self.group,
                    number: PatternID::new_unchecked(number),
                    free: self.state.free(expression.pattern).max(from),
                    since: self.state.since,
                    then,
                },
            });
            self.state.set_ended(expression.pattern, end);
        }
        taken
    }
}

/// Returns a state that the automaton returned before.
fn id(state: u32) -> StateID {
    StateID::new_unchecked(state as usize)
}

/// Returns the number of bytes before the first of the needles.
fn jump(needles: &[u8], bytes: &[u8]) -> usize {
    let found = match *needles {
        [a] => memchr::memchr(a, bytes),
        [a, b] => memchr::memchr2(a, b, bytes),
        [a, b, c] => memchr::memchr3(a, b, c, bytes),
        _ => Some(0),
    };
    found.unwrap_or(bytes.len())
}

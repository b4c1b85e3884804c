//! Begin of a match: a backward simulation of the pattern's NFA from its end.
//!
//! A lazy DFA would be faster for each byte. Its cache grows to megabytes for each group of patterns and client, by an
//! amount that cannot be asked for, and a state that is missing costs as much as a hundred steps. The simulation needs
//! two lists of NFA states, and the bytes that it reads are bounded by [`super::REACH`].

use std::ops::Range;

use regex_automata::nfa::thompson::{NFA, State};
use regex_automata::util::primitives::{PatternID, StateID};

/// Live NFA states, and the memory to compute the next ones.
#[derive(Debug, Default)]
pub(super) struct Threads {
    now: Vec<StateID>,
    next: Vec<StateID>,
    stack: Vec<StateID>,
    /// Step in which each state was added last.
    added: Vec<u64>,
    step: u64,
}

impl Threads {
    pub(super) fn new(states: usize) -> Self {
        Self {
            added: vec![0; states],
            ..Self::default()
        }
    }

    pub(super) fn memory(&self) -> usize {
        (self.now.capacity() + self.next.capacity() + self.stack.capacity()) * size_of::<StateID>()
            + self.added.capacity() * size_of::<u64>()
    }
}

/// A single search.
pub(super) struct Reverse<'a> {
    /// Compiled in reverse.
    pub(super) nfa: &'a NFA,
    pub(super) text: &'a [u8],
    pub(super) threads: &'a mut Threads,
    /// Number of NFA states visited.
    pub(super) work: usize,
}

impl Reverse<'_> {
    /// Returns the smallest index in `span` at which a match of the pattern begins that ends at the span's end.
    pub(super) fn first_begin(&mut self, pattern: PatternID, span: Range<usize>) -> Option<usize> {
        let start = self.nfa.start_pattern(pattern)?;
        let mut begin = None;
        let mut at = span.end;
        self.threads.next.clear();
        self.threads.step += 1;
        self.add(start, at);
        std::mem::swap(&mut self.threads.now, &mut self.threads.next);
        while at > span.start && !self.threads.now.is_empty() {
            at -= 1;
            self.threads.step += 1;
            if self.consume(self.text[at], at) {
                begin = Some(at);
            }
        }
        begin
    }

    /// Moves all threads back over `byte`, to position `at`; returns true if one of them matches there.
    fn consume(&mut self, byte: u8, at: usize) -> bool {
        self.threads.next.clear();
        let mut matched = false;
        for index in 0..self.threads.now.len() {
            let next = match self.nfa.state(self.threads.now[index]) {
                State::ByteRange { trans } => trans.matches_byte(byte).then_some(trans.next),
                State::Sparse(sparse) => sparse.matches_byte(byte),
                State::Dense(dense) => dense.matches_byte(byte),
                _ => None,
            };
            if let Some(next) = next {
                matched |= self.add(next, at);
            }
        }
        self.work += self.threads.now.len();
        std::mem::swap(&mut self.threads.now, &mut self.threads.next);
        matched
    }

    /// Adds a state and those that it reaches without a byte; returns true if one of them is a match.
    fn add(&mut self, state: StateID, at: usize) -> bool {
        let mut matched = false;
        self.threads.stack.push(state);
        while let Some(id) = self.threads.stack.pop() {
            if self.threads.added[id.as_usize()] == self.threads.step {
                continue;
            }
            self.threads.added[id.as_usize()] = self.threads.step;
            self.work += 1;
            match self.nfa.state(id) {
                State::ByteRange { .. } | State::Sparse(_) | State::Dense(_) => {
                    self.threads.next.push(id);
                }
                State::Look { look, next } => {
                    // The compiler turned it round for a search that reads bytes in reverse order.
                    let look = look.reversed();
                    if self.nfa.look_matcher().matches(look, self.text, at) {
                        self.threads.stack.push(*next);
                    }
                }
                State::Union { alternates } => self.threads.stack.extend(alternates.iter()),
                State::BinaryUnion { alt1, alt2 } => self.threads.stack.extend([*alt1, *alt2]),
                State::Capture { next, .. } => self.threads.stack.push(*next),
                State::Fail => {}
                State::Match { .. } => matched = true,
            }
        }
        matched
    }
}

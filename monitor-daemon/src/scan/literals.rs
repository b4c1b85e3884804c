//! Literals: an Aho-Corasick automaton.

use aho_corasick::automaton::{Automaton, StateID};
use aho_corasick::nfa::contiguous;
use aho_corasick::{Anchored, dfa};

use super::scratch::{Begin, End, Scratch};
use super::state::ScanState;

/// Limit of literals in the faster of the two forms, in bytes: it still fits into the cache of a core.
const SMALL: usize = 16 * 1024;

/// Literals that are searched together.
#[derive(Debug)]
pub(super) struct Literals {
    automaton: Form,
    /// Index of each literal in the set.
    patterns: Vec<u32>,
}

#[derive(Debug)]
enum Form {
    /// A table look-up for each byte.
    Table(Box<dfa::DFA>),
    /// Smaller, with a few look-ups for each byte.
    Lists(Box<contiguous::NFA>),
}

impl Literals {
    /// Compiles literals. The error is the reason that they cannot be.
    pub(super) fn new(literals: &[(u32, &[u8])], nocase: bool) -> Result<Self, String> {
        let bytes: usize = literals.iter().map(|(_, literal)| literal.len()).sum();
        let texts = literals.iter().map(|(_, literal)| *literal);
        let automaton = if bytes <= SMALL {
            let table = dfa::Builder::new()
                .ascii_case_insensitive(nocase)
                .prefilter(false)
                .build(texts);
            table.map(|table| Form::Table(Box::new(table)))
        } else {
            let lists = contiguous::Builder::new()
                .ascii_case_insensitive(nocase)
                .prefilter(false)
                .build(texts);
            lists.map(|lists| Form::Lists(Box::new(lists)))
        };
        let automaton = automaton.map_err(|error| error.to_string())?;
        Ok(Self {
            automaton,
            patterns: literals.iter().map(|(pattern, _)| *pattern).collect(),
        })
    }

    pub(super) fn memory(&self) -> usize {
        let automaton = match &self.automaton {
            Form::Table(table) => table.memory_usage(),
            Form::Lists(lists) => lists.memory_usage(),
        };
        automaton + size_of_val(&*self.patterns)
    }

    pub(super) fn start(&self) -> u32 {
        let start = match &self.automaton {
            Form::Table(table) => table.start_state(Anchored::No),
            Form::Lists(lists) => lists.start_state(Anchored::No),
        };
        // Cannot fail: both forms support unanchored searches.
        start.map_or(0, |state| state.as_u32())
    }

    /// Scans bytes, the first of which is the one at `state.at`. `own` is the index of the state in
    /// [`ScanState::automata`].
    pub(super) fn scan(
        &self,
        own: usize,
        state: &mut ScanState,
        bytes: &[u8],
        scratch: &mut Scratch,
    ) {
        scratch.work += bytes.len();
        match &self.automaton {
            Form::Table(table) => self.walk(&**table, own, state, bytes, scratch),
            Form::Lists(lists) => self.walk(&**lists, own, state, bytes, scratch),
        }
    }

    fn walk(
        &self,
        automaton: &impl Automaton,
        own: usize,
        scan: &mut ScanState,
        bytes: &[u8],
        scratch: &mut Scratch,
    ) {
        let Ok(mut state) = StateID::new(scan.automata[own] as usize) else {
            return;
        };
        for (index, byte) in bytes.iter().enumerate() {
            state = automaton.next_state(Anchored::No, state, *byte);
            if automaton.is_special(state) && automaton.is_match(state) {
                let end = scan.at + index as u64 + 1;
                for number in 0..automaton.match_len(state) {
                    let literal = automaton.match_pattern(state, number);
                    let pattern = self.patterns[literal];
                    let begin = end - automaton.pattern_len(literal) as u64;
                    scratch.work += 1;
                    // A literal has one length, so that its begin decides about an overlap.
                    if begin >= scan.free(pattern) {
                        scan.set_ended(pattern, end);
                        scratch.push(End {
                            off: end,
                            pattern,
                            begin: Begin::At(begin),
                        });
                    }
                }
            }
        }
        scan.automata[own] = state.as_u32();
    }
}

//! Literals: an Aho-Corasick automaton.

use aho_corasick::automaton::{Automaton, StateID};
use aho_corasick::nfa::contiguous;
use aho_corasick::{Anchored, dfa};

use super::place::{Found, Match, Place};

/// Bytes of literals up to which the faster of the two forms is small enough to stay in a core's cache.
const SMALL: usize = 16 * 1024;

/// Literals that are searched for together.
#[derive(Debug)]
pub(super) struct Literals {
    automaton: Form,
    /// Which pattern of the set each is.
    patterns: Vec<u32>,
}

#[derive(Debug)]
enum Form {
    /// A step is one look into a table.
    Table(Box<dfa::DFA>),
    /// Small, and a few looks a step.
    Lists(Box<contiguous::NFA>),
}

impl Literals {
    /// The message says why not.
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
        // An unanchored search is always there to begin.
        start.map_or(0, |state| state.as_u32())
    }

    /// Looks at bytes; the first of them stands where the place is. `own`: which of the place's states is this one's.
    pub(super) fn scan(&self, own: usize, place: &mut Place, bytes: &[u8], found: &mut Found) {
        match &self.automaton {
            Form::Table(table) => self.walk(&**table, own, place, bytes, found),
            Form::Lists(lists) => self.walk(&**lists, own, place, bytes, found),
        }
    }

    fn walk(
        &self,
        automaton: &impl Automaton,
        own: usize,
        place: &mut Place,
        bytes: &[u8],
        found: &mut Found,
    ) {
        let Ok(mut state) = StateID::new(place.states[own] as usize) else {
            return;
        };
        for (index, byte) in bytes.iter().enumerate() {
            state = automaton.next_state(Anchored::No, state, *byte);
            if automaton.is_special(state) && automaton.is_match(state) {
                let end = place.at + index as u64 + 1;
                for number in 0..automaton.match_len(state) {
                    let literal = automaton.match_pattern(state, number);
                    let (pattern, len) = (
                        self.patterns[literal],
                        automaton.pattern_len(literal) as u64,
                    );
                    if end - len >= place.free(pattern) && found.has_room() {
                        place.end(pattern, end);
                        found.list.push(Match {
                            pattern,
                            off: end - len,
                            len,
                            cut: false,
                        });
                    }
                }
            }
        }
        place.states[own] = state.as_u32();
    }
}

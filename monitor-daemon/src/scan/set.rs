//! Set of patterns, compiled into as few automata as their size allows.

use regex_syntax::hir::{Hir, HirKind};

use super::literals::Literals;
use super::regexes::{MAX_GROUP, Refused, Regexes, Walk};
use super::scratch::{Begin, Scratch, Then};
use super::state::{Match, ScanState, Stream};

/// Limit of an automaton of regular expressions, in bytes: it fits into a core's cache and is built in a fraction of a
/// second.
pub const GROUP: usize = 2 << 20;
/// Memory for each byte of a literal while its automaton is built.
const LITERAL_BYTE: usize = 64;
/// Limit of steps in one call of [`Set::scan`]: about half a millisecond.
const MAX_STEPS: usize = 128 * 1024;

/// Pattern to search for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pattern {
    /// Literal or expression.
    pub syntax: Syntax,
    /// True if ASCII letters match in either case; with `(?u)` in an expression, all letters do.
    pub nocase: bool,
}

/// Literal or expression.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Syntax {
    /// Expression in the syntax of the crate regex.
    Regex(String),
    /// Literal bytes.
    Literal(Vec<u8>),
}

/// Limits of a set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Number of patterns.
    pub patterns: usize,
    /// Memory of the compiled set, in bytes.
    pub memory: usize,
}

/// Reason that patterns cannot be searched for.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SetError {
    /// An empty list.
    #[error("no pattern is given")]
    None,
    /// More than [`Limits::patterns`].
    #[error("{given} patterns are given: {most} are possible")]
    TooMany {
        /// Number that was given.
        given: usize,
        /// The limit.
        most: usize,
    },
    /// More than [`Limits::memory`].
    #[error("the patterns need more than {most} bytes together; give fewer or simpler ones")]
    TooLarge {
        /// The limit.
        most: usize,
    },
    /// A pattern that cannot be searched for.
    #[error("pattern {index}: {why}")]
    Pattern {
        /// Its index, from 0 on.
        index: usize,
        /// The fault.
        why: String,
    },
}

/// Patterns that are searched together.
#[derive(Debug)]
pub struct Set {
    /// Case-sensitive literals, and those that are not.
    literals: Vec<Literals>,
    regexes: Vec<Regexes>,
    patterns: usize,
    memory: usize,
}

impl Set {
    /// Compiles patterns. Takes up to seconds for thousands of expressions.
    pub fn new(patterns: &[Pattern], limits: Limits) -> Result<Self, SetError> {
        if patterns.is_empty() {
            return Err(SetError::None);
        }
        if patterns.len() > limits.patterns {
            return Err(SetError::TooMany {
                given: patterns.len(),
                most: limits.patterns,
            });
        }
        let mut literals: [Vec<(u32, Vec<u8>)>; 2] = Default::default();
        let mut regexes = Vec::new();
        for (index, pattern) in patterns.iter().enumerate() {
            match read(pattern).map_err(|why| SetError::Pattern { index, why })? {
                Read::Literal(literal) => {
                    literals[usize::from(pattern.nocase)].push((index as u32, literal));
                }
                Read::Regex(hir) => regexes.push((index as u32, hir)),
            }
        }
        let mut set = Self {
            literals: Vec::new(),
            regexes: Vec::new(),
            patterns: patterns.len(),
            memory: 0,
        };
        for (nocase, literals) in [false, true].into_iter().zip(&literals) {
            set.add_literals(literals, nocase, limits.memory)?;
        }
        set.add_regexes(&regexes, limits.memory)?;
        Ok(set)
    }

    fn add_literals(
        &mut self,
        literals: &[(u32, Vec<u8>)],
        nocase: bool,
        most: usize,
    ) -> Result<(), SetError> {
        if literals.is_empty() {
            return Ok(());
        }
        let bytes: usize = literals.iter().map(|(_, literal)| literal.len()).sum();
        if bytes.saturating_mul(LITERAL_BYTE) > most.saturating_sub(self.memory) {
            return Err(SetError::TooLarge { most });
        }
        let texts: Vec<_> = literals
            .iter()
            .map(|(index, literal)| (*index, &**literal))
            .collect();
        let made = Literals::new(&texts, nocase).map_err(|why| SetError::Pattern {
            index: literals[0].0 as usize,
            why,
        })?;
        self.memory += made.memory();
        self.literals.push(made);
        Ok(())
    }

    /// Groups as many as fit, so that few automata scan each byte.
    fn add_regexes(&mut self, regexes: &[(u32, Hir)], most: usize) -> Result<(), SetError> {
        // Bounds the time of attempts that fail.
        let mut effort = 4 * most;
        let mut tries: Vec<&[(u32, Hir)]> = regexes.chunks(MAX_GROUP).rev().collect();
        while let Some(group) = tries.pop() {
            match Regexes::new(group, GROUP.min(most)) {
                Ok(made) => {
                    self.memory += made.memory();
                    self.regexes.push(made);
                }
                Err(Refused::TooLarge) if group.len() > 1 => {
                    effort = effort.saturating_sub(GROUP);
                    let (first, second) = group.split_at(group.len() / 2);
                    tries.extend([second, first]);
                }
                // Taken apart, to find the one at fault.
                Err(Refused::Unsupported(_)) if group.len() > 1 => {
                    tries.extend(group.chunks(1).rev());
                }
                Err(refused) => {
                    let why = match refused {
                        Refused::TooLarge => format!(
                            "it needs an automaton of more than {GROUP} bytes; make it simpler, \
                            or its repetitions shorter"
                        ),
                        Refused::Unsupported(why) => why,
                    };
                    return Err(SetError::Pattern {
                        index: group[0].0 as usize,
                        why,
                    });
                }
            }
            if self.memory > most || effort == 0 {
                return Err(SetError::TooLarge { most });
            }
        }
        Ok(())
    }

    /// Returns the memory in use, in bytes.
    #[must_use]
    pub fn memory(&self) -> usize {
        self.memory
    }

    /// Returns the number of patterns.
    #[must_use]
    pub fn patterns(&self) -> usize {
        self.patterns
    }

    /// Returns the largest piece that one call of [`Set::scan`] takes in bounded time. For each byte, an automaton takes
    /// one step, and at worst one more for each of its patterns.
    #[must_use]
    pub fn max_piece(&self) -> usize {
        let expressions: usize = self.regexes.iter().map(Regexes::len).sum();
        let steps = self.literals.len() + self.regexes.len() + expressions;
        (MAX_STEPS / steps.max(1)).max(1)
    }

    /// Creates the memory for the searches of one client.
    #[must_use]
    pub fn scratch(&self) -> Scratch {
        Scratch::new(
            self.regexes
                .iter()
                .map(Regexes::nfa_states)
                .max()
                .unwrap_or(0),
        )
    }

    /// Returns the state at the start of a stream (offset 0), or after bytes that were not scanned.
    #[must_use]
    pub fn start(&self, at: u64) -> ScanState {
        let literals = self.literals.iter().map(Literals::start);
        let regexes = self.regexes.iter().map(|regexes| regexes.start(at));
        ScanState::new(at, literals.chain(regexes).collect())
    }

    /// Scans the next bytes of a side, at most [`Set::max_piece`]. [`Set::next_match`] returns their matches.
    pub fn scan(&self, scratch: &mut Scratch, state: &mut ScanState, bytes: &[u8]) {
        self.walk(scratch, state, bytes, Then::Open);
        state.at += bytes.len() as u64;
        state.last = bytes.last().copied().unwrap_or(state.last);
    }

    /// Ends the matches at a hole, and continues the search at `to`, its end.
    pub fn skip(&self, scratch: &mut Scratch, state: &mut ScanState, to: u64) {
        self.walk(scratch, state, &[], Then::Hole);
        *state = self.start(to);
    }

    /// Ends the matches at the end of the stream.
    pub fn finish(&self, scratch: &mut Scratch, state: &mut ScanState) {
        self.walk(scratch, state, &[], Then::Fin);
    }

    /// Returns the next match in the bytes of the last call, in the order of their ends. Finding its begin takes at most
    /// [`super::REACH`] bytes.
    pub fn next_match(&self, scratch: &mut Scratch, stream: &mut dyn Stream) -> Option<Match> {
        while let Some(end) = scratch.ends.pop() {
            let found = match end.begin {
                Begin::At(_) => end.known(),
                Begin::Search { group, .. } => {
                    let regexes = self.regexes.get(group as usize);
                    regexes.and_then(|regexes| regexes.resolve(scratch, &end, stream))
                }
            };
            if found.is_some() {
                return found;
            }
        }
        None
    }

    fn walk(&self, scratch: &mut Scratch, state: &mut ScanState, bytes: &[u8], then: Then) {
        scratch.ends.clear();
        scratch.restarts.clear();
        scratch.piece.set(state.at, bytes);
        for (own, literals) in self.literals.iter().enumerate() {
            literals.scan(own, state, bytes, scratch);
        }
        let mut taken = 0;
        for (group, regexes) in (0..).zip(&self.regexes) {
            let first_restart = scratch.restarts.len();
            // Ordered by group, in the state as well as here.
            let rest = &state.restarts[taken..];
            let own = rest.iter().take_while(|restart| restart.group == group);
            scratch.restarts.extend(own);
            taken += scratch.restarts.len() - first_restart;
            Walk {
                regexes,
                scratch,
                state,
                group,
                own: self.literals.len() + group as usize,
                first_restart,
                bytes,
            }
            .run(then);
        }
        state.restarts.clear();
        state.restarts.extend_from_slice(&scratch.restarts);
        state.restarts.shrink_to(2 * scratch.restarts.len());
        // Popped from the back.
        scratch
            .ends
            .sort_unstable_by_key(|end| std::cmp::Reverse((end.off, end.pattern)));
    }
}

/// Parsed pattern.
enum Read {
    Literal(Vec<u8>),
    Regex(Hir),
}

fn read(pattern: &Pattern) -> Result<Read, String> {
    const EMPTY: &str = "it matches the empty text, which is everywhere";
    match &pattern.syntax {
        Syntax::Literal(literal) if literal.is_empty() => Err(EMPTY.to_owned()),
        Syntax::Literal(literal) => Ok(Read::Literal(literal.clone())),
        Syntax::Regex(text) => {
            let mut parser = regex_syntax::ParserBuilder::new();
            parser
                .utf8(false)
                .unicode(false)
                .case_insensitive(pattern.nocase)
                .nest_limit(100);
            let hir = parser
                .build()
                .parse(text)
                .map_err(|error| error.to_string())?;
            match (hir.kind(), hir.properties().minimum_len()) {
                (_, Some(0)) => Err(EMPTY.to_owned()),
                (HirKind::Literal(literal), _) if !pattern.nocase => {
                    Ok(Read::Literal(literal.0.to_vec()))
                }
                _ => Ok(Read::Regex(hir)),
            }
        }
    }
}

//! Patterns, compiled.

use regex_automata::hybrid::dfa::Cache;
use regex_syntax::hir::{Hir, HirKind};

use super::literals::Literals;
use super::place::{Found, Match, Place, Stream};
use super::regexes::{Refused, Regexes, Then, Walk};

/// Largest automaton of regular expressions: small enough for a core's cache, and made in a fraction of a second.
const GROUP: usize = 2 << 20;
/// Regular expressions that are tried together: more seldom fit, and finding that out takes time.
const TOGETHER: usize = 64;
/// Memory that a byte of a literal takes while its automaton is made.
const LITERAL_BYTE: usize = 64;

/// What is searched for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pattern {
    /// A text or an expression.
    pub what: What,
    /// ASCII letters (of an expression with `(?u)`: all) match in either case.
    pub nocase: bool,
}

/// A text or an expression.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum What {
    /// In the syntax of the crate regex.
    Regex(String),
    /// These bytes.
    Literal(Vec<u8>),
}

/// What a set may take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Most patterns.
    pub patterns: usize,
    /// Most memory, bytes.
    pub memory: usize,
}

/// Why patterns cannot be searched for.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SetError {
    /// There is nothing to search for.
    #[error("no pattern is given")]
    None,
    /// More than [`Limits::patterns`].
    #[error("{given} patterns are given: {most} are possible")]
    TooMany {
        /// Given.
        given: usize,
        /// Possible.
        most: usize,
    },
    /// More than [`Limits::memory`], from this pattern on.
    #[error("the patterns need more than {most} bytes together; give fewer or simpler ones")]
    TooLarge {
        /// Possible.
        most: usize,
    },
    /// One that cannot be searched for.
    #[error("pattern {index}: {why}")]
    Pattern {
        /// Its place, from 0 on.
        index: usize,
        /// What is wrong with it.
        why: String,
    },
}

/// Patterns that are searched for together.
#[derive(Debug)]
pub struct Set {
    /// Those in whose letters case counts, and those in which it does not.
    literals: Vec<Literals>,
    regexes: Vec<Regexes>,
    patterns: usize,
    memory: usize,
}

/// What a thread needs to search.
#[derive(Debug)]
pub struct Scratch {
    caches: Vec<Cache>,
    found: Found,
}

impl Scratch {
    /// Matches since the last call that were too many in one piece to be told.
    pub fn take_dropped(&mut self) -> u64 {
        std::mem::take(&mut self.found.dropped)
    }
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
                    literals[usize::from(pattern.nocase)].push((index as u32, literal))
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

    /// As many together as fit, so that few automata look at each byte.
    fn add_regexes(&mut self, regexes: &[(u32, Hir)], most: usize) -> Result<(), SetError> {
        // What is tried in vain costs time, which is bounded by this.
        let mut effort = 4 * most;
        let mut tries: Vec<&[(u32, Hir)]> = regexes.chunks(TOGETHER).rev().collect();
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
                // Which one of several, is found by taking them apart.
                Err(Refused::Unsupported(_)) if group.len() > 1 => {
                    tries.extend(group.chunks(1).rev())
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

    /// Memory that it takes, in bytes.
    #[must_use]
    pub fn memory(&self) -> usize {
        self.memory
    }

    /// How many patterns there are.
    #[must_use]
    pub fn patterns(&self) -> usize {
        self.patterns
    }

    /// What a thread needs to search.
    #[must_use]
    pub fn scratch(&self) -> Scratch {
        Scratch {
            caches: self.regexes.iter().map(Regexes::cache).collect(),
            found: Found::default(),
        }
    }

    /// At the start of a stream (offset 0), or behind what was not seen.
    #[must_use]
    pub fn start(&self, at: u64) -> Place {
        let literals = self.literals.iter().map(Literals::start);
        Place::new(
            at,
            literals
                .chain(self.regexes.iter().map(|regexes| regexes.start(at)))
                .collect(),
        )
    }

    /// Looks at the next bytes of a side. Matches come in the order of their ends.
    pub fn scan<'a>(
        &self,
        scratch: &'a mut Scratch,
        place: &mut Place,
        bytes: &[u8],
        stream: &mut dyn Stream,
    ) -> std::vec::Drain<'a, Match> {
        self.walk(scratch, place, bytes, stream, Then::Open);
        place.at += bytes.len() as u64;
        drain(scratch)
    }

    /// Behind the last byte comes a hole; the search goes on at its end.
    pub fn skip<'a>(
        &self,
        scratch: &'a mut Scratch,
        place: &mut Place,
        to: u64,
        stream: &mut dyn Stream,
    ) -> std::vec::Drain<'a, Match> {
        self.walk(scratch, place, &[], stream, Then::Hole);
        *place = self.start(to);
        drain(scratch)
    }

    /// The stream ends behind the last byte.
    pub fn finish<'a>(
        &self,
        scratch: &'a mut Scratch,
        place: &mut Place,
        stream: &mut dyn Stream,
    ) -> std::vec::Drain<'a, Match> {
        self.walk(scratch, place, &[], stream, Then::End);
        drain(scratch)
    }

    fn walk(
        &self,
        scratch: &mut Scratch,
        place: &mut Place,
        bytes: &[u8],
        stream: &mut dyn Stream,
        then: Then,
    ) {
        let Scratch { caches, found } = scratch;
        found.list.clear();
        for (own, literals) in self.literals.iter().enumerate() {
            literals.scan(own, place, bytes, found);
        }
        let first = self.literals.len();
        for (index, (regexes, cache)) in self.regexes.iter().zip(caches).enumerate() {
            Walk {
                regexes,
                cache,
                place,
                own: first + index,
                bytes,
                stream,
                found,
            }
            .run(then);
        }
    }
}

fn drain(scratch: &mut Scratch) -> std::vec::Drain<'_, Match> {
    let found = &mut scratch.found.list;
    found.sort_by_key(|found| (found.off + found.len, found.pattern));
    found.drain(..)
}

/// A pattern that can be searched for.
enum Read {
    Literal(Vec<u8>),
    Regex(Hir),
}

fn read(pattern: &Pattern) -> Result<Read, String> {
    const EMPTY: &str = "it matches the empty text, which is everywhere";
    match &pattern.what {
        What::Literal(literal) if literal.is_empty() => Err(EMPTY.to_owned()),
        What::Literal(literal) => Ok(Read::Literal(literal.clone())),
        What::Regex(text) => {
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

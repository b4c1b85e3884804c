//! Search for patterns in streams, piece by piece as bytes arrive.
//!
//! A [`Set`] is compiled once and shared. A [`ScanState`] holds the search of one side: a few numbers. Bytes are scanned
//! once, in order, and the same matches are found in pieces of any size. The end of a match is known when its
//! last byte arrives. Its begin is found afterwards, in at most [`REACH`] bytes before it.
//!
//! **Matches.** Each pattern is searched by itself, and the search restarts after each match. It finds the match that
//! ends first, and of several that end there the one that begins first. Matches of one pattern don't overlap: `a+` is
//! found three times in `aaa`.
//!
//! **Bytes.** A pattern is about bytes: `.` is any byte but a line feed, `\w` and `\b` know ASCII, and Unicode needs
//! `(?u)`. `^` is the start of the stream, `$` its end, at the FIN. A hole ends every match; after it, patterns start as
//! after a zero byte. A match that depends on the byte after it (`\b`, `(?m)$`) is found when that byte arrives.
//!
//! Literals, by the thousand, are one Aho-Corasick automaton. Regular expressions are grouped in deterministic automata.
//!
//! **Invariant:** the cost of a call is bounded, for any patterns and bytes: by [`Set::max_piece`] for [`Set::scan`], and
//! by [`REACH`] for each match.

mod literals;
mod regexes;
mod reverse;
mod scratch;
mod set;
mod state;

pub use scratch::Scratch;
pub use set::{GROUP, Limits, Pattern, Set, SetError, Syntax};
pub use state::{Match, REACH, ScanState, Stream};

#[cfg(test)]
mod tests;

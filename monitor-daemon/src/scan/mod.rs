//! Searching streams for patterns, piece by piece as they come.
//!
//! A [`Set`] is compiled once and shared; what is remembered of a side is its [`Place`], a few numbers. Bytes are
//! looked at once, in order: whatever the pieces are that they come in, the same matches are found. Where one ends is
//! known when its last byte comes. Where it begins is then found by going back over at most [`REACH`] bytes.
//!
//! **What is found.** For each pattern by itself, what a search finds that begins anew behind each match: the match that
//! ends first, and of those that end there the one that begins first. So matches of one pattern do not overlap, and
//! `a+` in `aaa` is found three times. Patterns know nothing of each other.
//!
//! **Bytes.** A pattern is about bytes: `.` is any byte but a line feed, `\w` and `\b` know ASCII, and Unicode has to be
//! asked for, by `(?u)`. `^` is the start of the stream, `$` its end, at the FIN. A hole ends every match; behind it,
//! patterns begin anew as behind a zero byte. What depends on the byte after it (`\b`, `(?m)$`) is found when that comes.
//!
//! Literals, thousands of them, are one Aho-Corasick automaton. Regular expressions are put together in deterministic
//! automata, as many in each as its size allows.

mod literals;
mod place;
mod regexes;
mod set;

pub use place::{Match, Place, REACH, Stream};
pub use set::{Limits, Pattern, Scratch, Set, SetError, What};

#[cfg(test)]
mod tests;

//! Limits of a filter's text.

/// Longest filter, in bytes: some hundred addresses, compiled in well under a millisecond.
pub const MAX_LEN: usize = 16 * 1024;

/// Deepest nesting of parentheses and negations; practical filters have less, and each level takes stack.
pub const MAX_DEPTH: usize = 64;

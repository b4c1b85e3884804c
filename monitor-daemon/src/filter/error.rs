//! Errors in a filter, with their position.

use std::fmt;

use super::limits::{MAX_DEPTH, MAX_LEN};

/// Error in a filter. Its message shows the position:
///
/// ```text
/// the filter is wrong at 11: `htpp` is not a port: a number from 0 to 65535, or a name such as `http`
///   port 80 or htpp
///              ^~~~
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FilterError {
    /// Offset of the error, bytes.
    pub offset: usize,
    /// Reason.
    pub problem: Problem,
    /// The text around the position, and a line that points at it.
    excerpt: String,
}

/// Reason that a filter is refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Problem {
    /// More than [`MAX_LEN`] bytes.
    #[error("a filter holds at most {MAX_LEN} bytes")]
    TooLong,
    /// More than [`MAX_DEPTH`] parentheses and negations within each other.
    #[error("parentheses and `not` are nested more than {MAX_DEPTH} deep")]
    TooDeep,
    /// An unexpected token.
    #[error("expected {expected}, not {found}")]
    Unexpected {
        /// Expected token, for the message.
        expected: &'static str,
        /// Token that was found.
        found: String,
    },
    /// A character that has no meaning in filters.
    #[error("{0:?} has no meaning in a filter{hint}", hint = hint(*.0))]
    Character(char),
    /// No address.
    #[error("`{0}` is not an address such as `10.0.0.1` or `2001:db8::1`; names are not looked up")]
    Address(String),
    /// An address with a length after `host`.
    #[error("`host` takes one address: write `net {0}`")]
    NetworkAsHost(String),
    /// No network.
    #[error("`{0}` is not a network such as `10.0.0.0/8`, `192.168` or `2001:db8::/32`")]
    Network(String),
    /// An address within a network in place of the network's own.
    #[error("`{0}` has bits set beyond its length: the network is `{1}`")]
    HostBits(String, String),
    /// No port.
    #[error("`{0}` is not a port: a number from 0 to 65535, or a name such as `http`")]
    Port(String),
    /// No range of ports.
    #[error("`{0}` is not a range of ports such as `8000-8080`")]
    PortRange(String),
    /// No VLAN id.
    #[error("`{0}` is not a VLAN id: a number from 0 to 4095")]
    Vlan(String),
    /// An IPv4 address where IPv6 was said, or the other way round.
    #[error("`{0}` is not an address of `{1}`")]
    Version(String, &'static str),
}

/// Returns a remark on the character's meaning in tcpdump, if it has one.
fn hint(character: char) -> &'static str {
    match character {
        '&' => "; `and` is `&&`",
        '|' => "; `or` is `||`",
        '[' | ']' | '<' | '>' | '=' | '+' | '*' => {
            "; it judges connections, and cannot look at the bytes of packets"
        }
        _ => "",
    }
}

/// Characters shown before and after the position.
const SHOWN: usize = 40;

impl FilterError {
    /// Creates an error at `len` bytes from `offset` on; both are boundaries of characters.
    pub(super) fn new(text: &str, offset: usize, len: usize, problem: Problem) -> Self {
        Self {
            offset,
            problem,
            excerpt: excerpt(text, offset, len),
        }
    }
}

/// Returns two lines: the text around the position, and carets below it.
fn excerpt(text: &str, offset: usize, len: usize) -> String {
    let (before, rest) = text.split_at(offset);
    let (marked, after) = rest.split_at(len);
    let skipped = before.chars().count().saturating_sub(SHOWN);
    let start: String = before.chars().skip(skipped).map(printable).collect();
    let place: String = marked.chars().take(SHOWN).map(printable).collect();
    let end: String = if place.chars().count() < marked.chars().count() {
        "…".to_owned()
    } else {
        after.chars().take(SHOWN).map(printable).collect()
    };
    let cut = if skipped > 0 { "…" } else { "" };
    let indent = " ".repeat(cut.chars().count() + start.chars().count());
    let underline = "~".repeat(place.chars().count().saturating_sub(1));
    format!("  {cut}{start}{place}{end}\n  {indent}^{underline}")
}

/// Replaces control characters, so that each character is one column wide and no escape sequence remains.
fn printable(character: char) -> char {
    if character.is_control() {
        ' '
    } else {
        character
    }
}

impl fmt::Display for FilterError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "the filter is wrong at {}: {}\n{}",
            self.offset, self.problem, self.excerpt
        )
    }
}

impl std::error::Error for FilterError {}

//! The filter language: which connections are meant, in the words of tcpdump (pcap-filter(7)).
//!
//! ```text
//! filter    = [ term { ("and" | "&&" | "or" | "||") term } ]
//! term      = ("not" | "!") term | "(" filter ")" | primitive | value
//! primitive = [ "tcp" | "ip" | "ip6" ] [ direction ] ("host" | "net" | "port" | "portrange") values
//!           | [ "ip" | "ip6" ] direction values
//!           | "tcp" | "ip" | "ip6" | "vlan" [ id ]
//! direction = "src" | "dst" | "src or dst" | "src and dst"
//! values    = ("not" | "!") values | "(" filter ")" | value
//! ```
//!
//! As in tcpdump, `and` and `or` bind equally and from left to right, `not` binds tighter, and a value alone takes the
//! qualifiers of the primitive before it: `port 80 or 443`; those within parentheses end with them. An empty filter
//! matches everything.
//!
//! **A filter judges a connection as tcpdump judges the packets that its client sends**, the first of all. What names
//! no direction is true of the packets of both directions or of none, so there it makes no difference. `src` and `dst`
//! are where one had to be chosen: if any packet would do, both ends would be sources, and `src host A` would say no
//! more than `host A`. As it is, `src` is who called, `dst` who was called, and `not` is true exactly where its term
//! is not.
//!
//! **VLAN tags** hide nothing here: `port 80` is true of tagged connections too (tcpdump would look past them only
//! after `vlan`). `vlan` is about the outermost tag, and the next `vlan` that is joined to it by `and` about the one
//! inside: `vlan 100 and vlan 200` is 200 inside of 100. Alternatives look at the same tag: `vlan 100 or vlan 200`.

mod ast;
mod error;
mod lexer;
mod limits;
mod parser;
mod program;
mod values;

use std::fmt;
use std::net::SocketAddr;

use monitor_engine::Connection;

pub use error::{FilterError, Problem};
pub use limits::{MAX_DEPTH, MAX_LEN};
use program::{Ends, Program};

/// A filter, ready to judge.
#[derive(Clone, PartialEq, Eq)]
pub struct Filter {
    text: Box<str>,
    program: Program,
}

impl Filter {
    /// Reads a filter. The error says where it is wrong and what would be right there.
    pub fn compile(text: &str) -> Result<Self, FilterError> {
        let program = match parser::parse(text)? {
            Some(expression) => Program::new(&expression),
            None => Program::everything(),
        };
        Ok(Self {
            text: text.into(),
            program,
        })
    }

    /// Whether it wants this connection.
    #[must_use]
    pub fn matches(&self, connection: &Connection) -> bool {
        self.matches_ends(connection.client, connection.server, &connection.vlan)
    }

    /// The same, from what it looks at: who called, who was called, and the VLAN ids, outermost first. None of it ever
    /// changes on a connection, so neither does the answer.
    #[must_use]
    pub fn matches_ends(&self, client: SocketAddr, server: SocketAddr, vlan: &[u16]) -> bool {
        self.program.accepts(&Ends {
            client,
            server,
            vlan,
        })
    }

    /// As it was written.
    #[must_use]
    pub fn text(&self) -> &str {
        &self.text
    }
}

impl fmt::Debug for Filter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Filter").field(&self.text).finish()
    }
}

#[cfg(test)]
mod tests;
#[cfg(test)]
mod twin_tests;

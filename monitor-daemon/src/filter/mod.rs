//! Filter language: selects connections in the syntax of tcpdump (pcap-filter(7)).
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
//! **A filter judges a connection as tcpdump judges the packets of its client**, the first one above all. A term without
//! a direction is true of the packets of both directions or of none, so there it makes no difference. For `src` and
//! `dst`, a direction had to be chosen: with the packets of either one, both ends would be sources, and `src host A`
//! would be the same as `host A`. With the client's, `src` is the client, `dst` is the server, and `not` is true exactly
//! where its term is not.
//!
//! **VLAN tags** hide nothing here: `port 80` is true of tagged connections too (tcpdump looks past tags only after
//! `vlan`). `vlan` tests the outermost tag, and the next `vlan` that is joined to it by `and` the one inside:
//! `vlan 100 and vlan 200` is 200 inside of 100. Alternatives test the same tag: `vlan 100 or vlan 200`.

mod ast;
mod error;
mod lexer;
mod limits;
mod parser;
mod program;
mod qualifiers;
mod values;

use std::fmt;
use std::net::SocketAddr;

use monitor_engine::Connection;

pub use error::{FilterError, Problem};
pub use limits::{MAX_DEPTH, MAX_LEN};
use program::{Ends, Program};

/// Compiled filter.
#[derive(Clone, PartialEq, Eq)]
pub struct Filter {
    text: Box<str>,
    program: Program,
}

impl Filter {
    /// Compiles a filter. The error shows the position, and the expected text.
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

    /// Returns whether the filter matches a connection.
    #[must_use]
    pub fn matches(&self, connection: &Connection) -> bool {
        self.matches_ends(connection.client, connection.server, &connection.vlan)
    }

    /// Returns whether the filter matches the ends of a connection and its VLAN ids, outermost first. These never change
    /// on a connection, so neither does the result.
    #[must_use]
    pub fn matches_ends(&self, client: SocketAddr, server: SocketAddr, vlan: &[u16]) -> bool {
        self.program.accepts(&Ends {
            client,
            server,
            vlan,
        })
    }

    /// Returns the number of tests, which is the maximum of an evaluation.
    #[must_use]
    pub fn tests(&self) -> usize {
        self.program.tests()
    }

    /// Returns the memory of the filter, in bytes.
    #[must_use]
    pub fn memory(&self) -> usize {
        self.text.len() + self.program.memory()
    }

    /// Returns the filter's text as written.
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

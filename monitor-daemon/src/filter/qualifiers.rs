//! Qualifiers of a primitive: protocol, direction, and kind of the value.

use std::borrow::Cow;

use ipnet::IpNet;

use super::ast::{Direction, Test};
use super::error::Problem;
use super::values;

/// Qualifiers of a primitive.
#[derive(Clone, Copy)]
pub(super) struct Qualifiers {
    pub(super) protocol: Option<Protocol>,
    pub(super) direction: Direction,
    pub(super) kind: ValueKind,
}

/// Protocol of a primitive.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Protocol {
    Tcp,
    Ip,
    Ip6,
}

/// TokenKind of a primitive's value.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum ValueKind {
    /// Without a word: a host or a network.
    Address,
    Host,
    Net,
    Port,
    PortRange,
}

impl Qualifiers {
    /// Returns the test of a value.
    pub(super) fn test(&self, text: &str) -> Result<Test, Problem> {
        // A text longer than any value stays wrong when it is cut.
        let text = &*shorten(text);
        let network = match self.kind {
            ValueKind::Port => {
                let port = values::port(text)?;
                return Ok(Test::Ports(self.direction, port, port));
            }
            ValueKind::PortRange => {
                let (low, high) = values::port_range(text)?;
                return Ok(Test::Ports(self.direction, low, high));
            }
            ValueKind::Net => values::network(text)?,
            ValueKind::Address if text.contains('/') => values::network(text)?,
            ValueKind::Address | ValueKind::Host => values::host(text)?,
        };
        self.check_version(network, text)?;
        Ok(Test::Network(self.direction, network.into()))
    }

    fn check_version(&self, network: IpNet, text: &str) -> Result<(), Problem> {
        match (self.protocol, network) {
            (Some(Protocol::Ip), IpNet::V6(_)) => Err(Problem::Version(text.to_owned(), "ip")),
            (Some(Protocol::Ip6), IpNet::V4(_)) => Err(Problem::Version(text.to_owned(), "ip6")),
            _ => Ok(()),
        }
    }
}

impl Protocol {
    pub(super) fn test(self) -> Test {
        match self {
            Self::Tcp => Test::Always,
            Self::Ip => Test::Version { v6: false },
            Self::Ip6 => Test::Version { v6: true },
        }
    }
}

impl ValueKind {
    /// Describes the values of this kind, for a message.
    pub(super) fn expected(self) -> &'static str {
        match self {
            Self::Address => "`host`, `net`, `port`, `portrange` or an address",
            Self::Host => "an address such as `10.0.0.1` or `2001:db8::1`",
            Self::Net => "a network such as `10.0.0.0/8` or `2001:db8::/32`",
            Self::Port => "a port such as `80` or `http`",
            Self::PortRange => "a range of ports such as `8000-8080`",
        }
    }
}

/// Cuts a word to a length fit for a message; the longest value is shorter.
pub(super) fn shorten(text: &str) -> Cow<'_, str> {
    const LONGEST: usize = 60;
    match text.get(LONGEST..) {
        None | Some("") => Cow::Borrowed(text),
        Some(_) => Cow::Owned(format!("{}…", &text[..LONGEST])),
    }
}

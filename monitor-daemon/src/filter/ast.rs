//! Filters as expressions: the parser's result, from which the program is compiled.

use std::net::IpAddr;

use ipnet::IpNet;

/// Filter as an expression. It is nested at most [`MAX_DEPTH`](super::MAX_DEPTH) deep; a chain of any length is one node.
#[derive(Debug)]
pub(super) enum Expression {
    Test(Test),
    Not(Box<Expression>),
    /// Terms that are joined from left to right.
    Chain(Box<Expression>, Vec<(Joint, Expression)>),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Joint {
    And,
    Or,
}

/// Ends that a test applies to. The source is the client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Direction {
    Source,
    Destination,
    Either,
    Both,
}

/// Test of a primitive.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Test {
    /// `tcp`: all connections are.
    Always,
    /// `ip`, `ip6`.
    Version { v6: bool },
    /// `host`, `net`.
    Network(Direction, Network),
    /// `port`, `portrange`: lowest and highest.
    Ports(Direction, u16, u16),
    /// The tag at this place, 0 being the outermost; any id, or one.
    Vlan { place: usize, id: Option<u16> },
}

/// Addresses of a version with these bits under the mask.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Network {
    v6: bool,
    bits: u128,
    mask: u128,
}

impl Network {
    pub(super) fn contains(&self, address: IpAddr) -> bool {
        address.is_ipv6() == self.v6 && bits(address) & self.mask == self.bits
    }
}

impl From<IpNet> for Network {
    fn from(network: IpNet) -> Self {
        let (address, mask) = (network.network(), network.netmask());
        Self {
            v6: address.is_ipv6(),
            bits: bits(address),
            mask: bits(mask),
        }
    }
}

fn bits(address: IpAddr) -> u128 {
    match address {
        IpAddr::V4(address) => address.to_bits().into(),
        IpAddr::V6(address) => address.to_bits(),
    }
}

//! Selection of connections by the parameters of `sockets`.

use std::net::IpAddr;

use ipnet::IpNet;
use monitor_engine::Connection;
use monitor_rpc::ErrorObject;
use monitor_rpc::types::{SocketsParams, TcpState};

use crate::filter::Filter;
use crate::rpc::protocol::errors;

/// Conditions that must all hold.
pub(crate) struct Selection {
    state: Option<TcpState>,
    port: Option<u16>,
    prefix: Option<IpNet>,
    filter: Option<Filter>,
    closed: Option<bool>,
    /// Earliest and latest opening time.
    opened: (u64, u64),
    min_bytes: u64,
}

impl Selection {
    /// `now`: the packets' time, nanoseconds since the epoch.
    pub(crate) fn new(params: &SocketsParams, now: u64) -> Result<Self, ErrorObject> {
        let compile =
            |text| Filter::compile(text).map_err(|error| errors::filter("filter", &error));
        let ago = |age: f64| now.saturating_sub(nanoseconds(age));
        Ok(Self {
            state: params.state,
            port: params.port,
            prefix: params.address.as_deref().map(parse_prefix).transpose()?,
            filter: params.filter.as_deref().map(compile).transpose()?,
            closed: params.closed,
            opened: (
                params.max_age.map_or(0, ago),
                params.min_age.map_or(u64::MAX, ago),
            ),
            min_bytes: params.min_bytes.unwrap_or(0),
        })
    }

    pub(crate) fn matches(&self, connection: &Connection) -> bool {
        let ends = [connection.client, connection.server];
        self.state
            .is_none_or(|state| connection.states.contains(&state))
            && self
                .port
                .is_none_or(|port| ends.iter().any(|end| end.port() == port))
            && self
                .prefix
                .as_ref()
                .is_none_or(|prefix| ends.iter().any(|end| prefix.contains(&end.ip())))
            && self
                .closed
                .is_none_or(|closed| connection.closed.is_some() == closed)
            && (self.opened.0..=self.opened.1).contains(&connection.opened)
            && bytes(connection) >= self.min_bytes
            && self
                .filter
                .as_ref()
                .is_none_or(|filter| filter.matches(connection))
    }
}

/// Returns the sum of the highest offsets of both sides.
pub(crate) fn bytes(connection: &Connection) -> u64 {
    connection.sides.iter().map(|side| side.end).sum()
}

fn nanoseconds(seconds: f64) -> u64 {
    (seconds * 1e9) as u64
}

/// Parses an address, or a prefix. An IPv4 address in IPv6 notation (::ffff:10.0.0.1) is the IPv4 one.
fn parse_prefix(text: &str) -> Result<IpNet, ErrorObject> {
    let address = text
        .parse::<IpAddr>()
        .map(|address| IpNet::from(address.to_canonical()));
    address.or_else(|_| text.parse::<IpNet>()).map_err(|_| {
        let message = "parameter `address` must be an address or a prefix such as \"10.0.0.1\", \"10.0.0.0/8\" or \
                       \"2001:db8::/32\"";
        errors::parameter("address", message)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn contains(prefix: &str, address: &str) -> bool {
        parse_prefix(prefix)
            .unwrap()
            .contains(&address.parse::<IpAddr>().unwrap())
    }

    #[test]
    fn prefixes() {
        assert!(contains("10.0.0.1", "10.0.0.1") && !contains("10.0.0.1", "10.0.0.2"));
        assert!(contains("10.0.0.0/8", "10.255.0.2") && !contains("10.0.0.0/8", "11.0.0.2"));
        assert!(
            contains("10.1.2.3/8", "10.255.0.2"),
            "bits after the prefix do not count"
        );
        assert!(contains("0.0.0.0/0", "1.2.3.4") && !contains("0.0.0.0/0", "2001:db8::1"));
        assert!(contains("::/0", "2001:db8::1"));
        assert!(
            contains("2001:db8::/32", "2001:db8:1::") && !contains("2001:db8::/32", "2001:db9::")
        );
        assert!(contains("::ffff:10.0.0.1", "10.0.0.1"));
        for wrong in [
            "",
            "10.0.0",
            "10.0.0.0/33",
            "::/129",
            "10.0.0.0/",
            "10.0.0.0/+8",
            "10.0.0.0/-1",
            "host",
            "/8",
        ] {
            assert!(parse_prefix(wrong).is_err(), "{wrong}");
        }
    }
}

//! `sockets`, `lookup`.

use std::io;
use std::net::IpAddr;

use ipnet::IpNet;
use monitor_client::ErrorObject;
use monitor_client::types::{LookupParams, Socket, SocketsParams, State};
use monitor_engine::{Connection, Reader, SockId};
use serde_json::value::RawValue;

use super::super::connection::Session;
use super::super::{fault, reply, view};

/// Connections in an answer unless the client says otherwise.
const DEFAULT_LIMIT: u64 = 1000;
/// Connections looked at before other clients of this thread get their turn.
const TURN: usize = 256;

impl Session {
    /// Writes connections as it finds them, so that a page of any length takes no memory.
    pub(super) async fn sockets(&mut self, id: &RawValue, params: &SocketsParams) -> io::Result<()> {
        let (filter, mut scan) = match prepare(&self.shared.status.readers, params) {
            Ok(prepared) => prepared,
            Err(error) => {
                self.error(Some(id), &error);
                return Ok(());
            }
        };
        let limit = params.limit.unwrap_or(DEFAULT_LIMIT);
        self.shared.metrics.requests.add(1);
        let text = self.out.open();
        reply::start(text, id);
        text.extend_from_slice(b"{\"sockets\":[");
        let mut listed = 0;
        let mut last = None;
        let mut next = None;
        'pages: loop {
            let more = scan.turn();
            let text = self.out.text();
            for connection in scan.found.drain(..).filter(|connection| filter.matches(connection)) {
                if listed == limit {
                    next = last;
                    break 'pages;
                }
                if listed > 0 {
                    text.push(b',');
                }
                reply::value(text, &view::socket(&connection));
                listed += 1;
                last = Some(connection.id.as_u64());
            }
            self.out.flush_if_full().await?;
            if !more {
                break;
            }
            tokio::task::yield_now().await;
        }
        let text = self.out.text();
        text.extend_from_slice(b"],\"next\":");
        reply::value(text, &next);
        text.push(b'}');
        reply::end(text);
        self.out.close();
        Ok(())
    }
}

pub(super) async fn lookup(readers: &[Reader], params: &LookupParams) -> Result<Socket, ErrorObject> {
    let mut scan = Scan::new(readers, None);
    let mut newest: Option<Connection> = None;
    loop {
        let more = scan.turn();
        for connection in scan.found.drain(..).filter(|connection| is_between(connection, params)) {
            // Of two that opened in the same nanosecond, the one that lives.
            let age = |connection: &Connection| (connection.opened, connection.closed.is_none());
            if newest.as_ref().is_none_or(|newest| age(newest) < age(&connection)) {
                newest = Some(connection);
            }
        }
        if !more {
            break;
        }
        tokio::task::yield_now().await;
    }
    newest.as_ref().map(view::socket).ok_or_else(fault::not_found)
}

fn is_between(connection: &Connection, params: &LookupParams) -> bool {
    connection.client == params.client
        && connection.server == params.server
        && params.vlan.as_ref().is_none_or(|vlan| connection.vlan == *vlan)
}

fn prepare<'a>(readers: &'a [Reader], params: &SocketsParams) -> Result<(Filter, Scan<'a>), ErrorObject> {
    if params.limit == Some(0) {
        return Err(fault::parameter("limit", "parameter `limit` must be at least 1, not 0"));
    }
    let after = match params.after.map(|after| (after, SockId::from_u64(after))) {
        None => None,
        Some((_, Some(id))) if usize::from(id.worker()) < readers.len() => Some(id),
        Some((after, _)) => {
            let message = format!("parameter `after` must be the `next` of an earlier answer, not {after}");
            return Err(fault::parameter("after", message));
        }
    };
    Ok((Filter::new(params)?, Scan::new(readers, after)))
}

/// Walks the connections of all workers, in the order of their places.
struct Scan<'a> {
    /// The worker it is at, and those to come.
    readers: std::slice::Iter<'a, Reader>,
    at: Option<&'a Reader>,
    after: Option<SockId>,
    /// What the last turn found.
    found: Vec<Connection>,
}

impl<'a> Scan<'a> {
    fn new(readers: &'a [Reader], after: Option<SockId>) -> Self {
        let start = after.map_or(0, |id| usize::from(id.worker()));
        let mut readers = readers.get(start..).unwrap_or_default().iter();
        Self { at: readers.next(), readers, after, found: Vec::new() }
    }

    /// Finds the next connections, not many. False: these were the last.
    fn turn(&mut self) -> bool {
        let Some(reader) = self.at else { return false };
        self.found.extend(reader.connections(self.after).take(TURN));
        if self.found.len() == TURN {
            self.after = self.found.last().map(|connection| connection.id);
        } else {
            self.at = self.readers.next();
            self.after = None;
        }
        self.at.is_some()
    }
}

/// Which connections a client wants.
struct Filter {
    state: Option<State>,
    port: Option<u16>,
    prefix: Option<IpNet>,
}

impl Filter {
    fn new(params: &SocketsParams) -> Result<Self, ErrorObject> {
        let prefix = params.address.as_deref().map(parse_prefix).transpose()?;
        Ok(Self { state: params.state, port: params.port, prefix })
    }

    fn matches(&self, connection: &Connection) -> bool {
        let ends = [connection.client, connection.server];
        self.state.is_none_or(|state| connection.sides.iter().any(|side| view::state(side.state) == state))
            && self.port.is_none_or(|port| ends.iter().any(|end| end.port() == port))
            && self.prefix.as_ref().is_none_or(|prefix| ends.iter().any(|end| prefix.contains(&end.ip())))
    }
}

/// An address, or all addresses with a prefix. An IPv4 address written as IPv6 (::ffff:10.0.0.1) is the IPv4 one.
fn parse_prefix(text: &str) -> Result<IpNet, ErrorObject> {
    let address = text.parse::<IpAddr>().map(|address| IpNet::from(address.to_canonical()));
    address.or_else(|_| text.parse::<IpNet>()).map_err(|_| {
        let message = "parameter `address` must be an address or a prefix such as \"10.0.0.1\", \"10.0.0.0/8\" or \
                       \"2001:db8::/32\"";
        fault::parameter("address", message)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn contains(prefix: &str, address: &str) -> bool {
        parse_prefix(prefix).unwrap().contains(&address.parse::<IpAddr>().unwrap())
    }

    #[test]
    fn prefixes() {
        assert!(contains("10.0.0.1", "10.0.0.1") && !contains("10.0.0.1", "10.0.0.2"));
        assert!(contains("10.0.0.0/8", "10.255.0.2") && !contains("10.0.0.0/8", "11.0.0.2"));
        assert!(contains("10.1.2.3/8", "10.255.0.2"), "bits after the prefix do not count");
        assert!(contains("0.0.0.0/0", "1.2.3.4") && !contains("0.0.0.0/0", "2001:db8::1"));
        assert!(contains("::/0", "2001:db8::1"));
        assert!(contains("2001:db8::/32", "2001:db8:1::") && !contains("2001:db8::/32", "2001:db9::"));
        assert!(contains("::ffff:10.0.0.1", "10.0.0.1"));
        for wrong in
            ["", "10.0.0", "10.0.0.0/33", "::/129", "10.0.0.0/", "10.0.0.0/+8", "10.0.0.0/-1", "host", "/8"]
        {
            assert!(parse_prefix(wrong).is_err(), "{wrong}");
        }
    }
}

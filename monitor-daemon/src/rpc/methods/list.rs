//! `sockets`, `lookup`.

use std::io;

use monitor_engine::{Connection, Reader, SockId};
use monitor_rpc::ErrorObject;
use monitor_rpc::types::{LookupParams, Socket, SocketsParams, Sort};
use serde_json::value::RawValue;

use super::handler::Serve;
use crate::rpc::access::account::{Account, Lease, Purpose};
use crate::rpc::access::limits;
use crate::rpc::access::memory::OWN;
use crate::rpc::methods::selection::Selection;
use crate::rpc::methods::top::{self, Top};
use crate::rpc::protocol::errors;
use crate::rpc::protocol::response;
use crate::rpc::session::Session;
use crate::rpc::view;

/// Default number of connections in a reply.
const DEFAULT_LIMIT: u64 = 1000;
/// Connections read before other clients of this thread get their turn.
const TURN: usize = 256;

/// Checked request for connections.
struct Query {
    wanted: Selection,
    limit: u64,
    after: Option<SockId>,
    sort: Option<Sort>,
    tls: bool,
    /// Memory of the connections that are sorted.
    _lease: Option<Lease>,
}

impl Serve for SocketsParams {
    async fn serve(self, session: &mut Session, id: &RawValue) -> io::Result<()> {
        sockets(session, id, &self).await
    }
}

impl Serve for LookupParams {
    async fn serve(self, session: &mut Session, id: &RawValue) -> io::Result<()> {
        let result = lookup(&session.shared.status.readers, &self).await;
        session.reply(id, result);
        Ok(())
    }
}

async fn sockets(session: &mut Session, id: &RawValue, params: &SocketsParams) -> io::Result<()> {
    match Query::new(session, params) {
        Ok(query) => {
            session.shared.metrics.requests.add(1);
            match query.sort {
                None => page(session, id, &query).await,
                Some(sort) => top(session, id, &query, sort).await,
            }
        }
        Err(error) => {
            session.error(Some(id), &error);
            Ok(())
        }
    }
}

/// Writes connections as they are found, so that a page of any length needs no memory.
async fn page(session: &mut Session, id: &RawValue, query: &Query) -> io::Result<()> {
    let shared = session.shared.clone();
    let mut scan = Scan::new(&shared.status.readers, query.after);
    start_list(session, id);
    let mut listed = 0;
    let mut last = None;
    let mut next = None;
    'pages: loop {
        let more = scan.advance();
        for connection in scan
            .found
            .drain(..)
            .filter(|connection| query.wanted.matches(connection))
        {
            if listed == query.limit {
                next = last;
                break 'pages;
            }
            list(session, &connection, query.tls, listed == 0);
            listed += 1;
            last = Some(connection.id.as_u64());
        }
        session.out.flush_if_full().await?;
        if !more {
            break;
        }
        tokio::task::yield_now().await;
    }
    end_list(session, next);
    Ok(())
}

/// Reads all connections, and keeps the first ones in the order.
async fn top(session: &mut Session, id: &RawValue, query: &Query, sort: Sort) -> io::Result<()> {
    let shared = session.shared.clone();
    let mut scan = Scan::new(&shared.status.readers, None);
    let mut top = Top::new(sort, query.limit as usize);
    loop {
        let more = scan.advance();
        let wanted = scan
            .found
            .drain(..)
            .filter(|connection| query.wanted.matches(connection));
        wanted.for_each(|connection| top.offer(connection));
        if !more {
            break;
        }
        tokio::task::yield_now().await;
    }
    start_list(session, id);
    for (index, connection) in top.into_sorted().enumerate() {
        list(session, &connection, query.tls, index == 0);
        session.out.flush_if_full().await?;
    }
    end_list(session, None);
    Ok(())
}

fn start_list(session: &mut Session, id: &RawValue) {
    let text = session.out.open();
    response::start(text, id);
    text.extend_from_slice(b"{\"sockets\":[");
}

fn list(session: &mut Session, connection: &Connection, tls: bool, first: bool) {
    let text = session.out.text();
    if !first {
        text.push(b',');
    }
    let socket = if tls {
        view::socket_with_tls(&session.shared.status.readers, connection)
    } else {
        view::socket(connection)
    };
    response::value(text, &socket);
}

fn end_list(session: &mut Session, next: Option<u64>) {
    let text = session.out.text();
    text.extend_from_slice(b"],\"next\":");
    response::value(text, &next);
    text.push(b'}');
    response::end(text);
    session.out.close();
}

impl Query {
    fn new(session: &Session, params: &SocketsParams) -> Result<Self, ErrorObject> {
        let limit = params.limit.unwrap_or(DEFAULT_LIMIT);
        if limit == 0 {
            return Err(errors::parameter(
                "limit",
                "parameter `limit` must be at least 1, not 0",
            ));
        }
        let shared = &session.shared;
        let readers = &shared.status.readers;
        let after = match params.after.map(|after| (after, SockId::from_u64(after))) {
            None => None,
            Some((_, Some(id))) if usize::from(id.worker()) < readers.len() => Some(id),
            Some((after, _)) => {
                let message = format!(
                    "parameter `after` must be the `next` of an earlier answer, not {after}"
                );
                return Err(errors::parameter("after", message));
            }
        };
        let now = shared
            .status
            .engines
            .iter()
            .map(|engine| engine.clock.get())
            .max();
        let wanted = Selection::new(params, now.unwrap_or(0))?;
        let lease = match params.sort {
            None => None,
            Some(_) => sorting(session.account(), limit, after)?,
        };
        Ok(Self {
            wanted,
            limit,
            after,
            sort: params.sort,
            tls: params.tls,
            _lease: lease,
        })
    }
}

/// Leases memory for sorting, if it is more than every client has.
fn sorting(
    account: &Account,
    limit: u64,
    after: Option<SockId>,
) -> Result<Option<Lease>, ErrorObject> {
    if after.is_some() {
        let message = "parameter `after` goes with pages: what `sort` puts in order is one answer";
        return Err(errors::parameter("after", message));
    }
    if limit > limits::SORTED {
        let message = format!(
            "parameter `limit` must be at most {} with `sort`, not {limit}",
            limits::SORTED
        );
        return Err(errors::parameter("limit", message));
    }
    let size = limit as usize * top::BYTES;
    match account.lease(Purpose::Reply, size) {
        lease @ Some(_) => Ok(lease),
        None if size <= OWN => Ok(None),
        None => Err(errors::no_memory()),
    }
}

async fn lookup(readers: &[Reader], params: &LookupParams) -> Result<Socket, ErrorObject> {
    let mut scan = Scan::new(readers, None);
    let mut newest: Option<Connection> = None;
    loop {
        let more = scan.advance();
        for connection in scan
            .found
            .drain(..)
            .filter(|connection| is_between(connection, params))
        {
            // Of two that opened in the same nanosecond, the open one.
            let age = |connection: &Connection| (connection.opened, connection.closed.is_none());
            if newest
                .as_ref()
                .is_none_or(|newest| age(newest) < age(&connection))
            {
                newest = Some(connection);
            }
        }
        if !more {
            break;
        }
        tokio::task::yield_now().await;
    }
    newest
        .as_ref()
        .map(|connection| view::socket_with_tls(readers, connection))
        .ok_or_else(errors::not_found)
}

fn is_between(connection: &Connection, params: &LookupParams) -> bool {
    connection.client == params.client
        && connection.server == params.server
        && params
            .vlan
            .as_ref()
            .is_none_or(|vlan| connection.vlan == *vlan)
}

/// Iteration over the connections of all workers, in the order of their slots.
struct Scan<'a> {
    /// Current worker, and the following ones.
    readers: std::slice::Iter<'a, Reader>,
    at: Option<&'a Reader>,
    after: Option<SockId>,
    /// Connections found in the last step.
    found: Vec<Connection>,
}

impl<'a> Scan<'a> {
    fn new(readers: &'a [Reader], after: Option<SockId>) -> Self {
        let start = after.map_or(0, |id| usize::from(id.worker()));
        let mut readers = readers.get(start..).unwrap_or_default().iter();
        Self {
            at: readers.next(),
            readers,
            after,
            found: Vec::new(),
        }
    }

    /// Finds the next few connections. Returns false after the last ones.
    fn advance(&mut self) -> bool {
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

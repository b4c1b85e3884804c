//! `sockets`, `lookup`.

use std::io;

use monitor_engine::{Connection, Reader, SockId};
use monitor_rpc::ErrorObject;
use monitor_rpc::types::{LookupParams, Socket, SocketsParams, Sort};
use serde_json::value::RawValue;

use super::super::connection::Session;
use super::super::memory::{Lease, OWN};
use super::super::serve::Shared;
use super::super::{fault, reply, view};
use super::top::{self, Top};
use super::wanted::Wanted;

/// Connections in an answer unless the client says otherwise.
const DEFAULT_LIMIT: u64 = 1000;
/// Connections looked at before other clients of this thread get their turn.
const TURN: usize = 256;

/// A request for connections, checked.
struct Query {
    wanted: Wanted,
    limit: u64,
    after: Option<SockId>,
    sort: Option<Sort>,
    /// For what has to be held to be sorted.
    _lease: Option<Lease>,
}

impl Session {
    pub(super) async fn sockets(
        &mut self,
        id: &RawValue,
        params: &SocketsParams,
    ) -> io::Result<()> {
        match Query::new(&self.shared, params) {
            Ok(query) => {
                self.shared.metrics.requests.add(1);
                match query.sort {
                    None => self.page(id, &query).await,
                    Some(sort) => self.top(id, &query, sort).await,
                }
            }
            Err(error) => {
                self.error(Some(id), &error);
                Ok(())
            }
        }
    }

    /// Writes connections as it finds them, so that a page of any length takes no memory.
    async fn page(&mut self, id: &RawValue, query: &Query) -> io::Result<()> {
        let shared = self.shared.clone();
        let mut scan = Scan::new(&shared.status.readers, query.after);
        self.start_list(id);
        let mut listed = 0;
        let mut last = None;
        let mut next = None;
        'pages: loop {
            let more = scan.turn();
            for connection in scan
                .found
                .drain(..)
                .filter(|connection| query.wanted.matches(connection))
            {
                if listed == query.limit {
                    next = last;
                    break 'pages;
                }
                self.list(&connection, listed == 0);
                listed += 1;
                last = Some(connection.id.as_u64());
            }
            self.out.flush_if_full().await?;
            if !more {
                break;
            }
            tokio::task::yield_now().await;
        }
        self.end_list(next);
        Ok(())
    }

    /// Looks at all connections, and keeps the best.
    async fn top(&mut self, id: &RawValue, query: &Query, sort: Sort) -> io::Result<()> {
        let shared = self.shared.clone();
        let mut scan = Scan::new(&shared.status.readers, None);
        let mut top = Top::new(sort, query.limit as usize);
        loop {
            let more = scan.turn();
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
        self.start_list(id);
        for (index, connection) in top.into_sorted().enumerate() {
            self.list(&connection, index == 0);
            self.out.flush_if_full().await?;
        }
        self.end_list(None);
        Ok(())
    }

    fn start_list(&mut self, id: &RawValue) {
        let text = self.out.open();
        reply::start(text, id);
        text.extend_from_slice(b"{\"sockets\":[");
    }

    fn list(&mut self, connection: &Connection, first: bool) {
        let text = self.out.text();
        if !first {
            text.push(b',');
        }
        reply::value(text, &view::socket(connection));
    }

    fn end_list(&mut self, next: Option<u64>) {
        let text = self.out.text();
        text.extend_from_slice(b"],\"next\":");
        reply::value(text, &next);
        text.push(b'}');
        reply::end(text);
        self.out.close();
    }
}

impl Query {
    fn new(shared: &Shared, params: &SocketsParams) -> Result<Self, ErrorObject> {
        let limit = params.limit.unwrap_or(DEFAULT_LIMIT);
        if limit == 0 {
            return Err(fault::parameter(
                "limit",
                "parameter `limit` must be at least 1, not 0",
            ));
        }
        let readers = &shared.status.readers;
        let after = match params.after.map(|after| (after, SockId::from_u64(after))) {
            None => None,
            Some((_, Some(id))) if usize::from(id.worker()) < readers.len() => Some(id),
            Some((after, _)) => {
                let message = format!(
                    "parameter `after` must be the `next` of an earlier answer, not {after}"
                );
                return Err(fault::parameter("after", message));
            }
        };
        let now = shared
            .status
            .engines
            .iter()
            .map(|engine| engine.clock.get())
            .max();
        let wanted = Wanted::new(params, now.unwrap_or(0))?;
        let lease = match params.sort {
            None => None,
            Some(_) => sorting(shared, limit, after)?,
        };
        Ok(Self {
            wanted,
            limit,
            after,
            sort: params.sort,
            _lease: lease,
        })
    }
}

/// Memory to sort in, if it is more than each client has for its own.
fn sorting(
    shared: &Shared,
    limit: u64,
    after: Option<SockId>,
) -> Result<Option<Lease>, ErrorObject> {
    if after.is_some() {
        let message = "parameter `after` goes with pages: what `sort` puts in order is one answer";
        return Err(fault::parameter("after", message));
    }
    if limit > top::MOST {
        let message = format!(
            "parameter `limit` must be at most {} with `sort`, not {limit}",
            top::MOST
        );
        return Err(fault::parameter("limit", message));
    }
    let size = limit as usize * top::EACH;
    match shared.memory.lease(size) {
        lease @ Some(_) => Ok(lease),
        None if size <= OWN => Ok(None),
        None => Err(fault::no_memory()),
    }
}

pub(super) async fn lookup(
    readers: &[Reader],
    params: &LookupParams,
) -> Result<Socket, ErrorObject> {
    let mut scan = Scan::new(readers, None);
    let mut newest: Option<Connection> = None;
    loop {
        let more = scan.turn();
        for connection in scan
            .found
            .drain(..)
            .filter(|connection| is_between(connection, params))
        {
            // Of two that opened in the same nanosecond, the one that lives.
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
        .map(view::socket)
        .ok_or_else(fault::not_found)
}

fn is_between(connection: &Connection, params: &LookupParams) -> bool {
    connection.client == params.client
        && connection.server == params.server
        && params
            .vlan
            .as_ref()
            .is_none_or(|vlan| connection.vlan == *vlan)
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
        Self {
            at: readers.next(),
            readers,
            after,
            found: Vec::new(),
        }
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

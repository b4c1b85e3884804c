//! Export of bytes as they arrive.
//!
//! One subscription delivers the events of all connections, with their bytes and times. The events say how far a side has
//! come; bytes that an event doesn't carry are read from the daemon. So lost events lose no bytes while the daemon
//! retains them.

use std::collections::{HashMap, HashSet};
use std::io::Write;
use std::time::{Duration, Instant};

use monitor_client::types::{DataWanted, EventKind, SideRange, Socket, SubscribeParams, TcpState};
use monitor_client::{Client, Code, Error, EventBody, Events, Notification, Side};

use super::capture::Capture;
use super::connection::{Connection, Form, Source, Tally};
use super::endings::micros;
use super::selection::{Selection, filter_of};
use crate::failure::Failure;
use crate::pages;

/// Bytes that an event carries; longer ranges are read.
const CARRIED: u64 = 64 * 1024;
/// Events that wait in the daemon while the reader of the capture is slow.
const QUEUE: u64 = 16 * 1024;
/// Time without events after which buffered packets are passed on.
const QUIET: Duration = Duration::from_millis(1);
/// Number of ended connections after which those that the daemon no longer lists are forgotten.
const FORGET: usize = 64 * 1024;
/// Interval of the checks for the end of the reader.
const CHECK: Duration = Duration::from_millis(200);

/// Subscribes to the events of connections.
pub fn subscribe(client: &mut Client, selection: &Selection) -> Result<Events, Failure> {
    let mut params = SubscribeParams {
        events: Some(vec![
            EventKind::Established,
            EventKind::Data,
            EventKind::Gap,
            EventKind::Filled,
            EventKind::State,
            EventKind::Closed,
            EventKind::Evicted,
        ]),
        data: Some(DataWanted { max: CARRIED }),
        queue: Some(QUEUE),
        ..SubscribeParams::default()
    };
    match selection {
        Selection::Filter(filter) => params.filter = Some(filter.clone()),
        Selection::Sockids(sockids) => match sockids[..] {
            [sockid] => params.sockid = Some(sockid),
            _ => {
                let sockets: Result<Vec<_>, _> =
                    sockids.iter().map(|&sockid| client.info(sockid)).collect();
                params.filter = Some(filter_of(&sockets?));
            }
        },
    }
    Ok(client.subscribe(&params)?)
}

/// Export that continues.
pub struct Live<'a, W: Write> {
    selection: &'a Selection,
    form: Form,
    source: Source<'a>,
    capture: &'a mut Capture<W>,
    open: HashMap<u64, Connection>,
    /// Connections that ended, of those that the daemon lists.
    ended: HashSet<u64>,
    /// Size of `ended` at which the daemon's list is read.
    limit: usize,
    totals: Totals,
}

/// Numbers of connections that joined, and of bytes of those that ended.
#[derive(Clone, Copy, Debug, Default)]
pub struct Totals {
    pub joined: u64,
    pub tally: Tally,
}

impl<'a, W: Write> Live<'a, W> {
    /// Continues after the stored bytes of the connections that are `open`, and without those that `ended`.
    pub fn new(
        selection: &'a Selection,
        form: Form,
        source: Source<'a>,
        capture: &'a mut Capture<W>,
        open: Vec<Connection>,
        ended: HashSet<u64>,
    ) -> Self {
        let open = open.into_iter().map(|it| (it.socket.sockid, it));
        Self {
            selection,
            form,
            source,
            capture,
            open: open.collect(),
            limit: ended.len() + FORGET,
            ended,
            totals: Totals::default(),
        }
    }

    /// Writes what arrives, until the connections that were named have ended, or `is_over` returns true.
    pub fn run(
        mut self,
        events: &mut Events,
        is_over: &dyn Fn() -> bool,
    ) -> Result<Totals, Failure> {
        let mut checked = Instant::now();
        let mut buffered = true;
        while !self.is_complete() {
            let wait = if buffered { QUIET } else { CHECK };
            match events.next_within(Some(wait)) {
                None => return Err(Error::Closed.into()),
                Some(event) => match event? {
                    Some(event) => {
                        self.capture.write_secrets()?;
                        self.on_event(&event)?;
                        buffered = true;
                    }
                    None if buffered => {
                        self.capture.write_secrets()?;
                        self.capture.flush()?;
                        buffered = false;
                    }
                    None => {}
                },
            }
            if checked.elapsed() >= CHECK {
                if is_over() {
                    break;
                }
                checked = Instant::now();
            }
        }
        for connection in std::mem::take(&mut self.open).values_mut() {
            connection.close(self.capture)?;
            self.totals.tally.add(connection.tally());
        }
        Ok(self.totals)
    }

    /// Returns true after the end of all connections that were named.
    fn is_complete(&self) -> bool {
        match self.selection {
            Selection::Sockids(sockids) => sockids.iter().all(|it| self.ended.contains(it)),
            Selection::Filter(_) => false,
        }
    }

    fn on_event(&mut self, event: &Notification) -> Result<(), Failure> {
        let Some(sockid) = event.sockid else {
            return match event.body {
                EventBody::Lost { .. } | EventBody::Interrupted => self.resynchronize(),
                _ => Ok(()),
            };
        };
        if !self.selection.contains(sockid) || self.ended.contains(&sockid) {
            return Ok(());
        }
        match event.body {
            EventBody::Evicted => return self.end(sockid, None),
            EventBody::State { side, state } => {
                return self.state(sockid, side, state, event.time);
            }
            _ => {}
        }
        if !self.join(sockid)? {
            return Ok(());
        }
        match &event.body {
            EventBody::Closed { .. } => {
                let socket = self.info(sockid)?;
                self.end(sockid, socket)
            }
            EventBody::Data { range, data, .. } => {
                let bytes = data.as_ref().map_or(&[][..], |data| &data.0);
                self.data(sockid, *range, bytes, event.time)
            }
            EventBody::Gap(range) => self.data(sockid, *range, &[], event.time),
            EventBody::Filled(range) => self.late(sockid, *range, event.time),
            _ => Ok(()),
        }
    }

    /// Opens a connection if it is new. Returns false if it is gone.
    fn join(&mut self, sockid: u64) -> Result<bool, Failure> {
        if self.open.contains_key(&sockid) {
            return Ok(true);
        }
        let Some(socket) = self.info(sockid)? else {
            return Ok(false);
        };
        self.open(socket)?;
        Ok(true)
    }

    fn open(&mut self, socket: Socket) -> Result<(), Failure> {
        let sockid = socket.sockid;
        let mut connection = Connection::new(socket, self.form);
        connection.open(self.capture)?;
        self.totals.joined += 1;
        self.open.insert(sockid, connection);
        Ok(())
    }

    /// Writes a range that arrived in order, after everything before it.
    fn data(
        &mut self,
        sockid: u64,
        range: SideRange,
        bytes: &[u8],
        time: Option<f64>,
    ) -> Result<(), Failure> {
        let Some(connection) = self.open.get_mut(&sockid) else {
            return Ok(());
        };
        let SideRange { side, off, len } = range;
        let time = micros(time.unwrap_or(0.0));
        connection.copy(&mut self.source, side, off, time, self.capture)?;
        let pos = connection.position(side);
        // Bytes that the stored part contains are not repeated.
        let skipped = pos
            .checked_sub(off)
            .and_then(|skip| usize::try_from(skip).ok());
        if let Some(rest) = skipped.and_then(|skip| bytes.get(skip..))
            && !rest.is_empty()
        {
            connection.send(side, pos, rest, time, self.capture)?;
        }
        connection.copy(&mut self.source, side, off + len, time, self.capture)?;
        Ok(())
    }

    /// Writes the FIN of an end that has sent it just now.
    fn state(
        &mut self,
        sockid: u64,
        end: Side,
        state: TcpState,
        time: Option<f64>,
    ) -> Result<(), Failure> {
        let has_sent = matches!(
            state,
            TcpState::FinWait1 | TcpState::Closing | TcpState::LastAck
        );
        // The state before the handshake is complete is part of that.
        if !has_sent || !self.open.contains_key(&sockid) {
            return Ok(());
        }
        let socket = self.info(sockid)?;
        if let (Some(socket), Some(connection)) = (socket, self.open.get_mut(&sockid)) {
            connection.socket = socket;
            connection.fin(end, micros(time.unwrap_or(0.0)), self.capture)?;
        }
        Ok(())
    }

    /// Writes bytes that arrived after their hole was declared lost.
    fn late(&mut self, sockid: u64, range: SideRange, time: Option<f64>) -> Result<(), Failure> {
        let Some(connection) = self.open.get_mut(&sockid) else {
            return Ok(());
        };
        let time = micros(time.unwrap_or(0.0));
        connection.late(&mut self.source, range, time, self.capture)
    }

    /// Writes the rest of a connection and its end; `None`: it is gone.
    fn end(&mut self, sockid: u64, socket: Option<Socket>) -> Result<(), Failure> {
        if let Some(mut connection) = self.open.remove(&sockid) {
            if let Some(socket) = socket {
                connection.socket = socket;
                self.copy_all(&mut connection)?;
            }
            connection.close(self.capture)?;
            self.totals.tally.add(connection.tally());
        }
        self.ended.insert(sockid);
        if self.ended.len() > self.limit {
            let listed = self.list()?;
            let listed: HashSet<u64> = listed.iter().map(|socket| socket.sockid).collect();
            self.ended.retain(|sockid| listed.contains(sockid));
            self.limit = self.ended.len() + FORGET;
        }
        Ok(())
    }

    /// Copies everything that a connection has in order.
    fn copy_all(&mut self, connection: &mut Connection) -> Result<(), Failure> {
        let time = micros(connection.socket.last);
        for side in Side::BOTH {
            let to = connection.socket.sides.get(side).next;
            connection.copy(&mut self.source, side, to, time, self.capture)?;
        }
        Ok(())
    }

    /// Reads the state of all connections after events were lost.
    fn resynchronize(&mut self) -> Result<(), Failure> {
        let known: Vec<u64> = self.open.keys().copied().collect();
        for sockid in known {
            match self.info(sockid)? {
                Some(socket) if socket.closed.is_none() => {
                    if let Some(mut connection) = self.open.remove(&sockid) {
                        connection.socket = socket;
                        self.copy_all(&mut connection)?;
                        self.open.insert(sockid, connection);
                    }
                }
                socket => self.end(sockid, socket)?,
            }
        }
        for socket in self.list()? {
            let sockid = socket.sockid;
            let is_new = !self.open.contains_key(&sockid) && !self.ended.contains(&sockid);
            if is_new && self.selection.contains(sockid) {
                self.open(socket.clone())?;
                if socket.closed.is_some() {
                    self.end(sockid, Some(socket))?;
                } else if let Some(mut connection) = self.open.remove(&sockid) {
                    self.copy_all(&mut connection)?;
                    self.open.insert(sockid, connection);
                }
            }
        }
        Ok(())
    }

    fn list(&mut self) -> Result<Vec<Socket>, Failure> {
        pages::all(self.source.client, self.selection.params())
    }

    /// Returns a connection, or `None` if it is gone.
    fn info(&mut self, sockid: u64) -> Result<Option<Socket>, Failure> {
        match self.source.client.info(sockid) {
            Ok(socket) => Ok(Some(socket)),
            Err(Error::Rpc(error)) if error.known_code() == Some(Code::BadSocket) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }
}

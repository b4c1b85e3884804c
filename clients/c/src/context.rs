//! State of a context: its client of the daemon, and its descriptors.

use std::collections::{HashMap, VecDeque};
use std::ffi::c_int;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;

use monitor_client::types::{
    InfoParams, LookupParams, PpeekParams, Socket, SocketsParams, TcpState,
};
use monitor_client::{Client, DEFAULT_SOCKET, Error, MAX_LEN, MAX_NUMBER, Method, Reconnect, Side};

use crate::event_types::event_t;
use crate::failure::Failure;
use crate::frame::Frame;
use crate::monitor::Monitor;
use crate::numbers::Numbers;
use crate::pending::Pending;
use crate::timers::Timers;
use crate::types::mos_side;

/// Names the daemon's socket when it is not where it is by default.
const SOCKET_VARIABLE: &str = "MONITOR_SOCKET";
/// Connections asked for at once when they are gone through.
const PAGE: u64 = 256;

/// State behind a `mctx_t`.
pub(crate) struct Context {
    pub(crate) client: Client,
    path: PathBuf,
    /// Worker that it is limited to; `None`: all workers.
    worker: Option<u64>,
    /// There is no such worker: it sees no connections.
    is_beyond: bool,
    pub(crate) opened: HashMap<c_int, Opened>,
    by_sockid: HashMap<u64, c_int>,
    pub(crate) numbers: Numbers,
    listing: Listing,
    pub(crate) monitor: Monitor,
    pub(crate) timers: Timers,
    pub(crate) pending: Pending,
    /// Addresses that the program keeps with its sockets.
    pub(crate) uctx: HashMap<c_int, usize>,
    /// Callback that runs now.
    pub(crate) current: Option<Current>,
    /// Events that it raised.
    pub(crate) raised: Vec<event_t>,
    /// Copy of the packet that the program asked for last.
    pub(crate) copy: Vec<u8>,
}

/// Callback that runs.
#[derive(Clone, Debug)]
pub(crate) struct Current {
    /// Time of the event, in microseconds since the epoch.
    pub(crate) time_us: u64,
    /// Packet of the event, where there is one.
    pub(crate) frame: Option<Arc<Frame>>,
}

/// Connection that has a descriptor.
#[derive(Clone, Copy)]
pub(crate) struct Opened {
    sockid: u64,
    /// Position of `mtcp_peek`, by side.
    pub(crate) cursors: [u64; 2],
}

/// State of an iteration over the connections.
#[derive(Default)]
struct Listing {
    /// Descriptor returned last.
    at: c_int,
    /// Connections that follow it.
    ahead: VecDeque<u64>,
    /// Begin of the next page; `None`: there is none.
    after: Option<u64>,
}

impl Context {
    /// Connects to the daemon. EACCES: `cpu` is below -1.
    pub(crate) fn connect(cpu: c_int) -> Result<Self, Failure> {
        let path =
            std::env::var_os(SOCKET_VARIABLE).map_or_else(|| DEFAULT_SOCKET.into(), PathBuf::from);
        let mut client = Client::connect_with(&path, Reconnect::default())?;
        let workers = client.hello("libmonitor_mos")?.capture.workers;
        // A client that may not attach reads through the socket.
        let _ = client.attach();
        let worker = match cpu {
            -1 => None,
            _ => Some(u64::try_from(cpu).map_err(|_| Failure(libc::EACCES))?),
        };
        Ok(Self {
            client,
            path,
            worker,
            is_beyond: cpu >= c_int::from(workers),
            opened: HashMap::new(),
            by_sockid: HashMap::new(),
            numbers: Numbers::default(),
            listing: Listing::default(),
            monitor: Monitor::default(),
            timers: Timers::default(),
            pending: Pending::default(),
            uctx: HashMap::new(),
            current: None,
            raised: Vec::new(),
            copy: Vec::new(),
        })
    }

    /// Returns a descriptor for a connection: always the same one, until it is closed.
    pub(crate) fn open(&mut self, sockid: u64) -> Result<c_int, Failure> {
        if let Some(&descriptor) = self.by_sockid.get(&sockid) {
            return Ok(descriptor);
        }
        let descriptor = self.numbers.allocate()?;
        self.enter(descriptor, sockid);
        self.by_sockid.insert(sockid, descriptor);
        Ok(descriptor)
    }

    /// Enters the descriptor of a connection.
    pub(crate) fn enter(&mut self, descriptor: c_int, sockid: u64) {
        let cursors = [0; 2];
        self.opened.insert(descriptor, Opened { sockid, cursors });
    }

    /// Enters the descriptor of a connection, unless it has been entered.
    pub(crate) fn enter_new(&mut self, descriptor: c_int, sockid: u64) {
        if !self.opened.contains_key(&descriptor) {
            self.enter(descriptor, sockid);
        }
    }

    /// Closes the descriptor of a connection.
    pub(crate) fn close(&mut self, descriptor: c_int) -> Result<c_int, Failure> {
        self.monitor.close(descriptor);
        self.uctx.remove(&descriptor);
        let opened = self
            .opened
            .remove(&descriptor)
            .ok_or(Failure(libc::EBADF))?;
        if self.by_sockid.get(&opened.sockid) == Some(&descriptor) {
            self.by_sockid.remove(&opened.sockid);
        }
        self.numbers.free(descriptor);
        Ok(0)
    }

    pub(crate) fn sockid(&self, descriptor: c_int) -> Result<u64, Failure> {
        let opened = self.opened.get(&descriptor);
        opened.map(|opened| opened.sockid).ok_or_else(|| {
            let is_listener = self.monitor.listeners.contains_key(&descriptor);
            Failure(if is_listener {
                libc::ESOCKTNOSUPPORT
            } else {
                libc::EBADF
            })
        })
    }

    /// Returns the RPC's number of a connection that may exist.
    pub(crate) fn target(&self, descriptor: c_int) -> Result<u64, Failure> {
        let sockid = self.sockid(descriptor)?;
        let active = self.monitor.active.get(&descriptor);
        if self.is_beyond || active.is_some_and(|active| active.is_gone) {
            return Err(Failure(libc::EBADF));
        }
        Ok(sockid)
    }

    /// Returns the addresses of client and server.
    pub(crate) fn ends(&mut self, descriptor: c_int) -> Result<[SocketAddr; 2], Failure> {
        if let Some(active) = self.monitor.active.get(&descriptor) {
            return Ok(active.ends);
        }
        let socket = self.info(descriptor)?;
        Ok([socket.client, socket.server])
    }

    /// Returns the states of client and server; in callbacks those at the event.
    pub(crate) fn states(&mut self, descriptor: c_int) -> Result<[TcpState; 2], Failure> {
        if let Some(active) = self.monitor.active.get(&descriptor) {
            return Ok(active.states);
        }
        let states = self.info(descriptor)?.state;
        Ok([states.client, states.server])
    }

    pub(crate) fn lookup(&mut self, params: &LookupParams) -> Result<c_int, Failure> {
        if self.is_beyond {
            return Err(Failure(libc::ENOTCONN));
        }
        let found = self.ask(|client| client.lookup(params))?;
        self.open(found.sockid)
    }

    /// Returns the connection after `previous`, or the first one; 0 behind the last.
    pub(crate) fn next(&mut self, previous: c_int) -> Result<c_int, Failure> {
        if previous == 0 {
            self.listing = Listing::default();
            self.turn_page(None)?;
        } else if previous != self.listing.at {
            self.listing = Listing::default();
            self.turn_page(Some(self.sockid(previous)?))?;
        }
        while self.listing.ahead.is_empty() {
            let Some(after) = self.listing.after else {
                return Ok(0);
            };
            self.turn_page(Some(after))?;
        }
        let sockid = self.listing.ahead.pop_front().ok_or(Failure(libc::EBADF))?;
        self.listing.at = self.open(sockid)?;
        Ok(self.listing.at)
    }

    fn turn_page(&mut self, after: Option<u64>) -> Result<(), Failure> {
        if self.is_beyond {
            return Ok(());
        }
        let params = SocketsParams {
            limit: Some(PAGE),
            after,
            ..SocketsParams::default()
        };
        let page = self.ask(|client| client.sockets(&params))?;
        let worker = self.worker;
        let own = |socket: &Socket| worker.is_none_or(|worker| u64::from(socket.worker) == worker);
        self.listing.ahead.extend(
            page.sockets
                .iter()
                .filter(|socket| own(socket))
                .map(|socket| socket.sockid),
        );
        self.listing.after = page.next;
        Ok(())
    }

    pub(crate) fn info(&mut self, descriptor: c_int) -> Result<Socket, Failure> {
        let params = InfoParams {
            sockid: self.target(descriptor)?,
            worker: self.worker,
        };
        self.ask(|client| client.call(Method::Info, &params))
    }

    /// Copies bytes from an offset on; see the manual page of `mtcp_ppeek`.
    pub(crate) fn ppeek(
        &mut self,
        descriptor: c_int,
        side: c_int,
        buffer: &mut [u8],
        off: u64,
    ) -> Result<usize, Failure> {
        let params = self.params(descriptor, one_side(side)?, off)?;
        Ok(self.ask(|client| client.ppeek_slice(&params, buffer))?.len as usize)
    }

    pub(crate) fn params(
        &self,
        descriptor: c_int,
        side: Side,
        off: u64,
    ) -> Result<PpeekParams, Failure> {
        let (sockid, worker) = (self.target(descriptor)?, self.worker);
        let active = self.monitor.active.get(&descriptor);
        if active.is_some_and(|active| active.off[side as usize]) {
            return Err(Failure(libc::EINVAL));
        }
        // Behind the last offset that the RPC takes there is nothing either.
        let off = off.min(MAX_NUMBER);
        let encoding = monitor_client::types::Encoding::Raw;
        Ok(PpeekParams {
            sockid,
            side,
            off,
            len: MAX_LEN,
            encoding,
            worker,
        })
    }

    pub(crate) fn worker(&self) -> Option<u64> {
        self.worker
    }

    /// Returns whether there is no worker of its number.
    pub(crate) fn is_beyond(&self) -> bool {
        self.is_beyond
    }

    /// Returns the path of the daemon's socket.
    pub(crate) fn path(&self) -> &PathBuf {
        &self.path
    }

    /// Calls the daemon.
    pub(crate) fn ask<T>(
        &mut self,
        call: impl FnOnce(&mut Client) -> Result<T, Error>,
    ) -> Result<T, Failure> {
        call(&mut self.client).map_err(|error| self.failed(error))
    }

    pub(crate) fn failed(&mut self, error: Error) -> Failure {
        if matches!(error, Error::Restarted) {
            // They name connections of a daemon that is gone.
            let active = &mut self.monitor.active;
            active.values_mut().for_each(|active| active.is_gone = true);
            let listeners = self.monitor.listeners.values_mut();
            listeners.for_each(|listener| listener.ended.clear());
            let numbers = &mut self.numbers;
            self.opened.retain(|descriptor, _| {
                let is_active = active.contains_key(descriptor);
                if !is_active {
                    numbers.free(*descriptor);
                }
                is_active
            });
            self.by_sockid.clear();
            self.listing = Listing::default();
        }
        error.into()
    }
}

/// MOS_SIDE_CLI or MOS_SIDE_SVR.
pub(crate) fn one_side(side: c_int) -> Result<Side, Failure> {
    const CLI: c_int = mos_side::MOS_SIDE_CLI as c_int;
    const SVR: c_int = mos_side::MOS_SIDE_SVR as c_int;
    match side {
        CLI => Ok(Side::Client),
        SVR => Ok(Side::Server),
        _ => Err(Failure(libc::EINVAL)),
    }
}

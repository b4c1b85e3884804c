//! Contexts and the descriptors that they give out.

use std::collections::{HashMap, VecDeque};
use std::ffi::c_int;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use monitor_client::types::{InfoParams, LookupParams, Ppeek, PpeekParams, Socket, SocketsParams};
use monitor_client::{
    Client, DEFAULT_SOCKET, Error, ErrorObject, MAX_LEN, Method, Next, Reason, Reconnect, Side,
};

use crate::failure::Failure;
use crate::types::{mctx_t, mos_side, mtcp_context};

/// Names the daemon's socket when it is not where it is by default.
const SOCKET_VARIABLE: &str = "MONITOR_SOCKET";
/// Connections asked for at once when they are gone through.
const PAGE: u64 = 256;
/// Largest number that the RPC takes.
const MAX_OFFSET: u64 = (1 << 53) - 1;

/// Existing contexts by the address that C has. The structure at that address is never freed, so that no later context
/// gets it: a destroyed context is never taken for another.
static CONTEXTS: Mutex<Option<HashMap<usize, Arc<Mutex<Context>>>>> = Mutex::new(None);

/// Creates a context.
pub(crate) fn create(cpu: c_int) -> Result<mctx_t, Failure> {
    let context = Context::connect(cpu)?;
    let name = Box::leak(Box::new(mtcp_context { cpu }));
    let name: mctx_t = std::ptr::from_mut(name);
    lock(&CONTEXTS)
        .get_or_insert_default()
        .insert(name.addr(), Arc::new(Mutex::new(context)));
    Ok(name)
}

/// Destroys a context.
pub(crate) fn destroy(mctx: mctx_t) -> Result<c_int, Failure> {
    lock(&CONTEXTS)
        .get_or_insert_default()
        .remove(&mctx.addr())
        .map(|_| 0)
        .ok_or(Failure(libc::EACCES))
}

/// Calls a function with a context, for which other threads wait.
pub(crate) fn within<T>(
    mctx: mctx_t,
    act: impl FnOnce(&mut Context) -> Result<T, Failure>,
) -> Result<T, Failure> {
    let found = lock(&CONTEXTS)
        .get_or_insert_default()
        .get(&mctx.addr())
        .cloned();
    act(&mut lock(&*found.ok_or(Failure(libc::EACCES))?))
}

/// Locks a mutex. A panic leaves no inconsistent state here, so poisoning is ignored.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// State behind a `mctx_t`.
pub(crate) struct Context {
    client: Client,
    /// Worker that it is limited to; `None`: all workers.
    worker: Option<u64>,
    opened: HashMap<c_int, Opened>,
    by_sockid: HashMap<u64, c_int>,
    /// Descriptor allocated last. None is allocated twice.
    last: c_int,
    listing: Listing,
}

/// Connection that has a descriptor.
#[derive(Clone, Copy)]
struct Opened {
    sockid: u64,
    /// Position of `mtcp_peek`, by side.
    cursors: [u64; 2],
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
    fn connect(cpu: c_int) -> Result<Self, Failure> {
        let path =
            std::env::var_os(SOCKET_VARIABLE).map_or_else(|| DEFAULT_SOCKET.into(), PathBuf::from);
        let mut client = Client::connect_with(path, Reconnect::default())?;
        let workers = client.hello("libmonitor_mos")?.capture.workers;
        let worker = match cpu {
            -1 => None,
            _ if (0..c_int::from(workers)).contains(&cpu) => Some(cpu as u64),
            _ => return Err(Failure(libc::EACCES)),
        };
        let (opened, by_sockid, listing) = (HashMap::new(), HashMap::new(), Listing::default());
        Ok(Self {
            client,
            worker,
            opened,
            by_sockid,
            last: 0,
            listing,
        })
    }

    /// Returns a descriptor for a connection: always the same one, until it is closed.
    pub(crate) fn open(&mut self, sockid: u64) -> Result<c_int, Failure> {
        if let Some(&descriptor) = self.by_sockid.get(&sockid) {
            return Ok(descriptor);
        }
        let descriptor = self.last.checked_add(1).ok_or(Failure(libc::ENFILE))?;
        self.last = descriptor;
        self.opened.insert(
            descriptor,
            Opened {
                sockid,
                cursors: [0; 2],
            },
        );
        self.by_sockid.insert(sockid, descriptor);
        Ok(descriptor)
    }

    pub(crate) fn close(&mut self, descriptor: c_int) -> Result<c_int, Failure> {
        let opened = self
            .opened
            .remove(&descriptor)
            .ok_or(Failure(libc::EBADF))?;
        self.by_sockid.remove(&opened.sockid);
        Ok(0)
    }

    pub(crate) fn sockid(&self, descriptor: c_int) -> Result<u64, Failure> {
        self.opened
            .get(&descriptor)
            .map(|opened| opened.sockid)
            .ok_or(Failure(libc::EBADF))
    }

    pub(crate) fn lookup(&mut self, params: &LookupParams) -> Result<c_int, Failure> {
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
            sockid: self.sockid(descriptor)?,
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

    /// Reads in order from the cursor, as the manual page of `mtcp_peek` says.
    pub(crate) fn peek(
        &mut self,
        descriptor: c_int,
        side: c_int,
        buffer: &mut [u8],
    ) -> Result<Peeked, Failure> {
        let side = one_side(side)?;
        let opened = self.opened.get(&descriptor).ok_or(Failure(libc::EBADF))?;
        let at = opened.cursors[side as usize];
        if buffer.is_empty() {
            // Nothing can be copied, and 0 is the end of the stream.
            return Err(Failure(libc::EINVAL));
        }
        let params = self.params(descriptor, side, at)?;
        let found = loop {
            let reply = match self.client.ppeek_slice(&params, buffer) {
                Ok(head) => Ok(head),
                Err(Error::Rpc(error)) => Err(error),
                Err(error) => return Err(self.failed(error)),
            };
            match Next::from_reply(at, reply.as_ref().map_err(Clone::clone)) {
                Ok(Next::Bytes { len, .. }) => break Peeked::Bytes(len as usize),
                Ok(Next::Lost { to } | Next::Gap { to }) => break Peeked::Lost(to - at),
                Ok(Next::Eof) => break Peeked::Bytes(0),
                Ok(Next::Pending { .. }) if !is_not_established(&reply) => {
                    let socket = self.info(descriptor)?;
                    if socket.sides.get(side).next > at {
                        // It arrived between the two requests.
                        continue;
                    }
                    break socket
                        .closed
                        .map(|_| Peeked::Bytes(0))
                        .ok_or(Failure(libc::EAGAIN))?;
                }
                _ => {
                    return Err(reply.map_or_else(
                        |error| self.failed(Error::Rpc(error)),
                        |_| Failure(libc::EPROTO),
                    ));
                }
            }
        };
        if let Some(opened) = self.opened.get_mut(&descriptor) {
            opened.cursors[side as usize] = at + found.length();
        }
        Ok(found)
    }

    pub(crate) fn params(
        &self,
        descriptor: c_int,
        side: Side,
        off: u64,
    ) -> Result<PpeekParams, Failure> {
        let (sockid, worker) = (self.sockid(descriptor)?, self.worker);
        // Behind the last offset that the RPC takes there is nothing either.
        let off = off.min(MAX_OFFSET);
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

    /// Calls the daemon.
    pub(crate) fn ask<T>(
        &mut self,
        call: impl FnOnce(&mut Client) -> Result<T, Error>,
    ) -> Result<T, Failure> {
        call(&mut self.client).map_err(|error| self.failed(error))
    }

    fn failed(&mut self, error: Error) -> Failure {
        if matches!(error, Error::Restarted) {
            // They name connections of a daemon that is gone; the numbers stay taken.
            self.opened.clear();
            self.by_sockid.clear();
            self.listing = Listing::default();
        }
        error.into()
    }
}

/// Result of `mtcp_peek`.
pub(crate) enum Peeked {
    /// Number of bytes copied; 0 at the end of the stream.
    Bytes(usize),
    /// Number of bytes that are lost.
    Lost(u64),
}

impl Peeked {
    fn length(&self) -> u64 {
        match self {
            Peeked::Bytes(count) => *count as u64,
            Peeked::Lost(count) => *count,
        }
    }
}

/// Returns whether only the start of the handshake was seen, which has an errno of its own.
fn is_not_established(reply: &Result<Ppeek, ErrorObject>) -> bool {
    reply
        .as_ref()
        .is_err_and(|error| error.reason() == Some(Reason::NotEstablished))
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

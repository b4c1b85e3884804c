//! Attached stores: the daemon's memory, mapped for reading.
//!
//! The descriptors come over a connection of their own, which stays open: its end is the daemon's. It is looked at when a
//! read finds nothing, and else after [`RECHECK`], by a clock that needs no system call.

use std::io::{IoSliceMut, Write};
use std::mem::MaybeUninit;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

use monitor_reader::{Peek, PeekError, Reader, SockId};
use monitor_rpc::types::{Attach, AttachParams, Ppeek, PpeekParams};
use monitor_rpc::{MAX_LEN, MAX_NUMBER, Method, Reason, read_error};
use rustix::event::{PollFd, PollFlags, poll};
use rustix::net::{RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, recvmsg};
use rustix::time::{ClockId, Timespec, clock_gettime};

use crate::link::connect;
use crate::session::Session;
use crate::{BUFFER, Error, Reconnect, Side, wire};

/// Time after which the connection to the daemon is looked at again, nanoseconds. Until then bytes of a daemon that has
/// ended may be returned: they are those that it captured.
const RECHECK: i64 = 10_000_000;
/// Most descriptors that Linux passes at once (SCM_MAX_FD); the daemon has fewer workers.
const MOST: usize = 253;
/// Bytes for which a buffer is made before it is known that there are as many.
const SMALL: usize = 64 * 1024;
/// Bytes copied at once. A longer read is not repeated as a whole when the writer evicts its first bytes.
const PIECE: usize = 256 * 1024;

/// Store of a daemon, mapped for reading. A read is a copy within this process, without a system call.
///
/// It is as safe against the daemon as a socket: whatever the memory holds, a read ends. Events, lists, `wait` and `follow`
/// stay on the socket.
///
/// ```no_run
/// use monitor_client::{Attached, Client, DEFAULT_SOCKET, Side, types::SocketsParams};
///
/// let mut client = Client::connect(DEFAULT_SOCKET)?;
/// let mut store = Attached::open(DEFAULT_SOCKET)?;
/// for socket in client.sockets(&SocketsParams::default())?.sockets {
///     let mut buffer = [0; 64];
///     let head = store.ppeek(socket.sockid, Side::Server, 0, &mut buffer)?;
///     println!("{}: {:?}", socket.client, &buffer[..head.len as usize]);
/// }
/// # Ok::<(), monitor_client::Error>(())
/// ```
#[derive(Debug)]
pub struct Attached {
    /// By the number of the worker.
    readers: Vec<Reader>,
    daemon: UnixStream,
    /// Time of the next look at the connection, nanoseconds of the coarse monotonic clock.
    recheck: i64,
    ended: bool,
}

impl Attached {
    /// Attaches to the store of the daemon at `path`.
    ///
    /// # Errors
    /// [`Error::Rpc`] if the daemon refuses: the client isn't in `[rpc] attach`, or the store isn't shared.
    /// [`Error::Attach`] if this program can't read the store, for example one of another version.
    pub fn open(path: impl AsRef<Path>) -> Result<Self, Error> {
        Self::open_within(path, None)
    }

    /// Does the same as [`Attached::open`], if the daemon answers within a time. `None`: without a limit.
    ///
    /// # Errors
    /// Those of [`Attached::open`]; [`Error::Io`] of the kind `WouldBlock` if it doesn't answer in time.
    pub fn open_within(path: impl AsRef<Path>, time: Option<Duration>) -> Result<Self, Error> {
        let mut daemon = connect(path.as_ref())?;
        // Zero would be no limit.
        daemon.set_read_timeout(time.map(|time| time.max(Duration::from_millis(1))))?;
        let mut line = Vec::new();
        wire::request(
            &mut line,
            1,
            Method::Attach.name(),
            &AttachParams::default(),
        )?;
        daemon.write_all(&line)?;
        let (line, descriptors) = receive(&daemon)?;
        let reply: Attach = wire::reply(&line, 1)?;
        if descriptors.len() != usize::from(reply.descriptors) {
            return Err(Error::reply("its descriptors are missing"));
        }
        let readers = descriptors.iter().map(Reader::attach);
        let readers = readers.collect::<Result<Vec<_>, _>>()?;
        let first = readers.first().map(Reader::identity);
        for (worker, identity) in (0..).zip(readers.iter().map(Reader::identity)) {
            if identity.worker != worker || Some(identity.instance) != first.map(|f| f.instance) {
                return Err(Error::reply("the descriptors are those of several daemons"));
            }
        }
        Ok(Self {
            readers,
            daemon,
            recheck: 0,
            ended: false,
        })
    }

    /// Reads at most as many bytes as fit into the buffer from `off` to the next hole, as
    /// [`Client::ppeek`](crate::Client::ppeek) does.
    ///
    /// # Errors
    /// Those of `ppeek`. [`Error::Restarted`] once the daemon that owned the store has ended.
    pub fn ppeek(
        &mut self,
        sockid: u64,
        side: Side,
        off: u64,
        buffer: &mut [u8],
    ) -> Result<Ppeek, Error> {
        self.check()?;
        let read = self.copy(sockid, side, off, buffer);
        match read {
            Ok(peek) => Ok(Ppeek::of(off, &peek)),
            Err(error) => {
                // A store without a writer is no reason for the absence of a byte.
                self.look()?;
                Err(Error::Rpc(read_error::read(error, sockid, side, off)))
            }
        }
    }

    /// Returns the reader of the worker that owns a connection, for everything else that a store shows.
    ///
    /// ```no_run
    /// use monitor_client::{Attached, DEFAULT_SOCKET};
    ///
    /// let mut store = Attached::open(DEFAULT_SOCKET)?;
    /// if let Some((reader, id)) = store.reader(9)? {
    ///     println!("{:?}", reader.info(id));
    /// }
    /// # Ok::<(), monitor_client::Error>(())
    /// ```
    ///
    /// # Errors
    /// [`Error::Restarted`] once the daemon has ended.
    pub fn reader(&mut self, sockid: u64) -> Result<Option<(&Reader, SockId)>, Error> {
        self.look()?;
        Ok(self.find(sockid))
    }

    /// Returns the number of the daemon's run, as `hello` does.
    pub(crate) fn instance(&self) -> u64 {
        self.readers
            .first()
            .map_or(0, |reader| reader.identity().instance)
    }

    #[inline]
    fn find(&self, sockid: u64) -> Option<(&Reader, SockId)> {
        let id = SockId::from_u64(sockid)?;
        Some((self.readers.get(usize::from(id.worker()))?, id))
    }

    #[inline]
    fn copy(
        &self,
        sockid: u64,
        side: Side,
        off: u64,
        buffer: &mut [u8],
    ) -> Result<Peek, PeekError> {
        let (reader, id) = self.find(sockid).ok_or(PeekError::NoSuchConnection)?;
        let most = buffer.len().min(MAX_LEN as usize);
        let first = most.min(PIECE);
        let mut peek = reader.peek(id, side, off, &mut buffer[..first])?;
        while peek.len < most && peek.len > 0 && peek.len.is_multiple_of(PIECE) {
            let piece = (most - peek.len).min(PIECE);
            let rest = &mut buffer[peek.len..peek.len + piece];
            // A hole, or evicted in between: the bytes before it are the result.
            let Ok(more) = reader.peek(id, side, off + peek.len as u64, rest) else {
                break;
            };
            let len = peek.len + more.len;
            peek = Peek {
                len,
                eof: more.fin == Some(off + len as u64),
                ..more
            };
        }
        Ok(peek)
    }

    /// Does the same as [`Attached::ppeek`], into a buffer that is made as long as the bytes: at most `len`.
    pub(crate) fn ppeek_into(
        &mut self,
        params: &PpeekParams,
        bytes: &mut Vec<u8>,
    ) -> Result<Ppeek, Error> {
        let &PpeekParams {
            sockid, side, off, ..
        } = params;
        let most = params.len.min(MAX_LEN) as usize;
        bytes.resize(most.min(SMALL), 0);
        let mut head = self.ppeek(sockid, side, off, bytes)?;
        if head.len == SMALL as u64 && most > SMALL {
            // There may be more: `end` bounds the memory for it.
            let most = head.end.saturating_sub(off).min(most as u64) as usize;
            bytes.resize(most.max(SMALL), 0);
            head = self.ppeek(sockid, side, off, bytes)?;
        }
        bytes.truncate(head.len as usize);
        Ok(head)
    }

    /// Looks at the connection if that is due.
    #[inline]
    fn check(&mut self) -> Result<(), Error> {
        let now = clock_gettime(ClockId::MonotonicCoarse);
        let now = now.tv_sec * 1_000_000_000 + now.tv_nsec;
        if now < self.recheck && !self.ended {
            return Ok(());
        }
        self.recheck = now + RECHECK;
        self.look()
    }

    #[cold]
    fn look(&mut self) -> Result<(), Error> {
        let at_once = Timespec {
            tv_sec: 0,
            tv_nsec: 0,
        };
        let mut list = [PollFd::new(&self.daemon, PollFlags::IN)];
        // The daemon sends nothing here: bytes are its end as well.
        self.ended |= poll(&mut list, Some(&at_once)).is_ok_and(|ready| ready > 0);
        if self.ended {
            return Err(Error::Restarted);
        }
        Ok(())
    }
}

/// Receives a line and the descriptors that come with it.
fn receive(socket: &UnixStream) -> Result<(Vec<u8>, Vec<OwnedFd>), Error> {
    let (mut line, mut descriptors) = (Vec::new(), Vec::new());
    let mut buffer = vec![0; BUFFER];
    let mut space = vec![MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(MOST))];
    while line.last() != Some(&b'\n') {
        let mut control = RecvAncillaryBuffer::new(&mut space);
        let parts = &mut [IoSliceMut::new(&mut buffer)];
        let received = match recvmsg(socket, parts, &mut control, RecvFlags::CMSG_CLOEXEC) {
            Err(rustix::io::Errno::INTR) => continue,
            received => received.map_err(std::io::Error::from)?,
        };
        for message in control.drain() {
            if let RecvAncillaryMessage::ScmRights(rights) = message {
                descriptors.extend(rights);
            }
        }
        if received.bytes == 0 {
            return Err(Error::Closed);
        }
        line.extend_from_slice(&buffer[..received.bytes]);
    }
    Ok((line, descriptors))
}

/// Returns whether the parameters are those of a read: of a connection, at a valid offset, by the worker that the client
/// expects. The daemon has its own errors for others.
#[inline]
fn is_read(params: &PpeekParams) -> bool {
    let Some(id) = SockId::from_u64(params.sockid).filter(|id| !id.is_listener()) else {
        return false;
    };
    let worker = u64::from(id.worker());
    params.off <= MAX_NUMBER && params.worker.is_none_or(|expected| expected == worker)
}

/// The attached store of a client that has one.
#[derive(Debug, Default)]
pub(crate) struct LocalReads(Option<Attached>);

impl LocalReads {
    /// Reads from the store of an instance, to which the client is connected: its sockids are those of that instance.
    pub(crate) fn of(store: Attached, instance: Option<u64>) -> Result<Self, Error> {
        if instance == Some(store.instance()) {
            Ok(Self(Some(store)))
        } else {
            Err(Error::Restarted)
        }
    }

    /// Reads from the store. `None`: the daemon has to be asked, since no store is attached, the parameters are wrong, or
    /// no attempt to read was consistent. Once the daemon has ended, the store is detached. A session that reconnects then
    /// asks as well: its next connection reports a restart, which must be reported once.
    #[inline]
    pub(crate) fn read(
        &mut self,
        session: &mut Session,
        params: &PpeekParams,
        read: impl FnOnce(&mut Attached) -> Result<Ppeek, Error>,
    ) -> Option<Result<Ppeek, Error>> {
        let store = self.0.as_mut().filter(|_| is_read(params))?;
        let result = read(store);
        match &result {
            Err(Error::Restarted) => {
                self.0 = None;
                if session.reconnect != Reconnect::NEVER {
                    return None;
                }
                session.cursors.clear();
            }
            Err(Error::Rpc(error)) if error.reason() == Some(Reason::Unanswered) => return None,
            _ => {}
        }
        Some(result)
    }
}

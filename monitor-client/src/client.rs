//! Blocking client.

use std::path::Path;
use std::thread;

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::attach::{Attached, LocalReads};
use crate::calls::calls;
use crate::cursor::ppeek;
use crate::events::Events;
use crate::link::Link;
use crate::openrpc::OpenRpc;
use crate::session::Session;
use crate::types::*;
use crate::{Error, Method, Next, Peeked, Read, Reconnect, Side};

/// Connection to the daemon. One request at a time; several threads use several clients.
///
/// ```no_run
/// use monitor_client::{Client, DEFAULT_SOCKET, Reconnect, types::SocketsParams};
///
/// let mut client = Client::connect_with(DEFAULT_SOCKET, Reconnect::default())?;
/// client.hello("my-program")?;
/// let params = SocketsParams {
///     filter: Some("port 443".to_owned()),
///     ..SocketsParams::default()
/// };
/// for socket in client.sockets(&params)?.sockets {
///     println!("{}: {} -> {}", socket.sockid, socket.client, socket.server);
/// }
/// # Ok::<(), monitor_client::Error>(())
/// ```
#[derive(Debug)]
pub struct Client {
    session: Session,
    /// `None` from the end of a connection to the next one.
    link: Option<Link>,
    store: LocalReads,
}

macro_rules! write {
    ($($(#[$doc:meta])* $name:ident($($arg:ident: $type:ty),*) -> $result:ty = $method:ident, $params:expr;)*) => {
        impl Client {
            $($(#[$doc])*
            pub fn $name(&mut self, $($arg: $type),*) -> Result<$result, Error> {
                self.call(Method::$method, &$params)
            })*
        }
    };
}
calls!(write);

impl Client {
    /// Connects to the daemon at `path`. A broken connection stays broken.
    pub fn connect(path: impl AsRef<Path>) -> Result<Self, Error> {
        Self::connect_with(path, Reconnect::NEVER)
    }

    /// Connects to the daemon at `path`, and reconnects when the connection breaks. The first connection is attempted
    /// once.
    pub fn connect_with(path: impl AsRef<Path>, reconnect: Reconnect) -> Result<Self, Error> {
        let mut link = Link::connect(path.as_ref())?;
        let instance = if reconnect == Reconnect::NEVER {
            None
        } else {
            link.instance()?
        };
        Ok(Self {
            session: Session::new(path.as_ref(), reconnect, instance),
            link: Some(link),
            store: LocalReads::default(),
        })
    }

    /// Reads at most `len` bytes from `off` to the next hole. Fewer bytes are normal.
    ///
    /// ```no_run
    /// use monitor_client::{Client, DEFAULT_SOCKET, Side};
    ///
    /// let mut client = Client::connect(DEFAULT_SOCKET)?;
    /// let read = client.ppeek(9, Side::Server, 0, 64)?;
    /// assert_eq!(read.head.len, read.bytes.len() as u64);
    /// # Ok::<(), monitor_client::Error>(())
    /// ```
    pub fn ppeek(&mut self, sockid: u64, side: Side, off: u64, len: u64) -> Result<Read, Error> {
        let mut bytes = Vec::new();
        let head = self.ppeek_into(sockid, side, off, len, &mut bytes)?;
        Ok(Read { head, bytes })
    }

    /// Does the same as [`Client::ppeek`], into a buffer that is cleared first.
    pub fn ppeek_into(
        &mut self,
        sockid: u64,
        side: Side,
        off: u64,
        len: u64,
        bytes: &mut Vec<u8>,
    ) -> Result<Ppeek, Error> {
        self.read_into(&ppeek(sockid, side, off, len), bytes)
    }

    /// Attaches to the daemon's store: from now on reads of bytes are copies within this process. The rest stays on the
    /// socket. Once the daemon has ended, reads go to the socket again. One call returns [`Error::Restarted`]: without
    /// [`Reconnect`] the first read, else the first call that another instance answers.
    ///
    /// ```no_run
    /// use monitor_client::{Client, DEFAULT_SOCKET, Side};
    ///
    /// let mut client = Client::connect(DEFAULT_SOCKET)?;
    /// if let Err(error) = client.attach() {
    ///     eprintln!("reading through the socket: {error}");
    /// }
    /// let read = client.ppeek(9, Side::Server, 0, 64)?;
    /// # Ok::<(), monitor_client::Error>(())
    /// ```
    ///
    /// # Errors
    /// Those of [`Attached::open`], and [`Error::Restarted`] if the daemon restarted since the client connected. The client
    /// continues without.
    pub fn attach(&mut self) -> Result<(), Error> {
        let store = Attached::open(&self.session.path)?;
        let instance = self.attempt(Method::Hello, Link::instance)?;
        self.store = LocalReads::of(store, instance)?;
        Ok(())
    }

    fn read_into(&mut self, params: &PpeekParams, bytes: &mut Vec<u8>) -> Result<Ppeek, Error> {
        let local = |store: &mut Attached| store.ppeek_into(params, bytes);
        if let Some(read) = self.store.read(&mut self.session, params, local) {
            return read;
        }
        self.attempt(Method::Ppeek, |link| {
            bytes.clear();
            link.read(params, |count| {
                bytes.resize(count, 0);
                &mut bytes[..]
            })
        })
    }

    /// Does the same as [`Client::ppeek`], into the caller's memory: `head.len` bytes at the start of `buffer`.
    /// `params.encoding` is ignored.
    ///
    /// ```no_run
    /// use monitor_client::{Client, DEFAULT_SOCKET, Side, types::{Encoding, PpeekParams}};
    ///
    /// let mut client = Client::connect(DEFAULT_SOCKET)?;
    /// let params = PpeekParams {
    ///     sockid: 9,
    ///     side: Side::Server,
    ///     off: 0,
    ///     len: 64,
    ///     encoding: Encoding::Raw,
    ///     worker: None,
    /// };
    /// let mut buffer = [0; 64];
    /// let head = client.ppeek_slice(&params, &mut buffer)?;
    /// println!("{:?}", &buffer[..head.len as usize]);
    /// # Ok::<(), monitor_client::Error>(())
    /// ```
    pub fn ppeek_slice(&mut self, params: &PpeekParams, buffer: &mut [u8]) -> Result<Ppeek, Error> {
        let params = PpeekParams {
            len: params.len.min(buffer.len() as u64),
            encoding: Encoding::Raw,
            ..params.clone()
        };
        let space = &mut buffer[..params.len as usize];
        let local =
            |store: &mut Attached| store.ppeek(params.sockid, params.side, params.off, space);
        if let Some(read) = self.store.read(&mut self.session, &params, local) {
            return read;
        }
        self.attempt(Method::Ppeek, |link| {
            link.read(&params, |count| &mut buffer[..count])
        })
    }

    /// Reads at most `len` bytes at `off`, at least 1, or returns the reason for their absence. See [`Next`].
    pub fn next_from(
        &mut self,
        sockid: u64,
        side: Side,
        off: u64,
        len: u64,
    ) -> Result<(Next, Vec<u8>), Error> {
        let (reply, bytes) = match self.ppeek(sockid, side, off, len) {
            Ok(read) => (Ok(read.head), read.bytes),
            Err(Error::Rpc(error)) => (Err(error), Vec::new()),
            Err(error) => return Err(error),
        };
        let next = Next::from_reply(off, reply.as_ref().map_err(Clone::clone));
        Ok((next.map_err(Error::Rpc)?, bytes))
    }

    /// Reads the next bytes in order, at most `len`: each call continues where the previous one ended, the first starts
    /// at 0. The cursor belongs to this client. Bytes that are lost are skipped and reported in the result.
    ///
    /// # Errors
    /// The error of [`Client::ppeek`], if there is neither a byte nor a range to skip.
    ///
    /// ```no_run
    /// use monitor_client::{Client, DEFAULT_SOCKET, Side};
    ///
    /// let mut client = Client::connect(DEFAULT_SOCKET)?;
    /// let peeked = client.peek(9, Side::Client, 4096)?;
    /// println!("{} bytes at {}, {} lost before them", peeked.bytes.len(), peeked.head.off, peeked.head.lost);
    /// # Ok::<(), monitor_client::Error>(())
    /// ```
    pub fn peek(&mut self, sockid: u64, side: Side, len: u64) -> Result<Peeked, Error> {
        let mut walk = self.session.cursors.walk(sockid, side);
        let mut bytes = Vec::new();
        loop {
            let reply = self.read_into(&walk.request(len), &mut bytes);
            if let Some(head) = self.session.cursors.advance(&mut walk, reply)? {
                return Ok(Peeked { head, bytes });
            }
        }
    }

    /// Calls any method with a reply of one line.
    ///
    /// ```no_run
    /// use monitor_client::{Client, DEFAULT_SOCKET, Method, types::{InfoParams, Socket}};
    ///
    /// let mut client = Client::connect(DEFAULT_SOCKET)?;
    /// let info: Socket = client.call(Method::Info, &InfoParams { sockid: 9, worker: None })?;
    /// # Ok::<(), monitor_client::Error>(())
    /// ```
    pub fn call<R: DeserializeOwned>(
        &mut self,
        method: Method,
        params: &impl Serialize,
    ) -> Result<R, Error> {
        self.attempt(method, |link| link.call(method, params))
    }

    /// Waits for the next notification of the subscriptions of this connection, created by [`Client::call`].
    /// Notifications that arrived before a reply come first. Subscriptions end with their connection; none is created
    /// again.
    ///
    /// ```no_run
    /// use monitor_client::{Client, DEFAULT_SOCKET, Method, Subscribed, types::SubscribeParams};
    ///
    /// let mut client = Client::connect(DEFAULT_SOCKET)?;
    /// let subscribed: Subscribed = client.call(Method::Subscribe, &SubscribeParams::default())?;
    /// let notification = client.event()?;
    /// assert_eq!(notification.listener, subscribed.sockid);
    /// # Ok::<(), monitor_client::Error>(())
    /// ```
    pub fn event(&mut self) -> Result<Notification, Error> {
        let link = self.link.as_mut().ok_or(Error::Closed)?;
        let notification = link.notification();
        if notification.as_ref().is_err_and(Error::is_broken) {
            self.link = None;
        }
        notification
    }

    /// Returns whether a notification, or a part of one, has arrived.
    #[must_use]
    pub fn has_event(&self) -> bool {
        self.link.as_ref().is_some_and(Link::has_notification)
    }

    /// Subscribes to events. `params.encoding` is ignored. Example: [`Events`].
    pub fn subscribe(&mut self, params: &SubscribeParams) -> Result<Events, Error> {
        let params = SubscribeParams {
            encoding: Encoding::Raw,
            ..params.clone()
        };
        self.listen(Method::Subscribe, &params)
    }

    /// Streams the bytes of one side, or of both, from `off` (by default the lowest retained offset) as they arrive.
    ///
    /// ```no_run
    /// use monitor_client::{Client, DEFAULT_SOCKET, EventBody, Side};
    ///
    /// let mut client = Client::connect(DEFAULT_SOCKET)?;
    /// for notification in client.follow(9, Some(Side::Server), None)? {
    ///     match notification?.body {
    ///         EventBody::Data { data: Some(data), .. } => println!("{:?}", data.0),
    ///         EventBody::End { .. } => break,
    ///         _ => {}
    ///     }
    /// }
    /// # Ok::<(), monitor_client::Error>(())
    /// ```
    pub fn follow(
        &mut self,
        sockid: u64,
        side: Option<Side>,
        off: Option<u64>,
    ) -> Result<Events, Error> {
        let params = FollowParams {
            sockid,
            side,
            off,
            encoding: Encoding::Raw,
        };
        self.listen(Method::Follow, &params)
    }

    /// Searches streams for patterns as bytes arrive.
    ///
    /// ```no_run
    /// use monitor_client::{Client, DEFAULT_SOCKET, EventBody, types::{WatchParams, WatchPattern}};
    ///
    /// let mut client = Client::connect(DEFAULT_SOCKET)?;
    /// let params = WatchParams {
    ///     pattern: Some(WatchPattern::Regex("password=\\w+".to_owned())),
    ///     ..WatchParams::default()
    /// };
    /// for notification in client.watch(&params)? {
    ///     let notification = notification?;
    ///     if let EventBody::Match { range, .. } = notification.body {
    ///         println!("{:?}: {} bytes at {}", notification.sockid, range.len, range.off);
    ///     }
    /// }
    /// # Ok::<(), monitor_client::Error>(())
    /// ```
    pub fn watch(&mut self, params: &WatchParams) -> Result<Events, Error> {
        self.listen(Method::Watch, params)
    }

    /// Streams packets as they were captured: [`crate::Packets`] reads them from their events.
    ///
    /// ```no_run
    /// use monitor_client::{Client, DEFAULT_SOCKET, EventBody, Packets, types::CaptureParams};
    ///
    /// let mut client = Client::connect(DEFAULT_SOCKET)?;
    /// for notification in client.capture(&CaptureParams::default())? {
    ///     if let EventBody::Packets { data: Some(data), .. } = notification?.body {
    ///         for packet in Packets::new(&data.0) {
    ///             println!("{} ns: {} bytes", packet.time, packet.length);
    ///         }
    ///     }
    /// }
    /// # Ok::<(), monitor_client::Error>(())
    /// ```
    pub fn capture(&mut self, params: &CaptureParams) -> Result<Events, Error> {
        self.listen(Method::Capture, params)
    }

    /// Calls `subscribe`, `follow`, `watch` or `capture` with these parameters over a connection of its own.
    pub fn listen(&mut self, method: Method, params: &impl Serialize) -> Result<Events, Error> {
        Events::open(self.session.subscription(method, params)?)
    }

    /// Performs a call, and once more over a new connection if the first one broke and a repetition has no effect.
    fn attempt<T>(
        &mut self,
        method: Method,
        mut ask: impl FnMut(&mut Link) -> Result<T, Error>,
    ) -> Result<T, Error> {
        let result = self.ask(&mut ask);
        if self.session.repeats(method, &result) {
            return self.ask(&mut ask);
        }
        result
    }

    fn ask<T>(&mut self, ask: &mut impl FnMut(&mut Link) -> Result<T, Error>) -> Result<T, Error> {
        if self.link.is_none() {
            self.reconnect()?;
        }
        let link = self.link.as_mut().ok_or(Error::Closed)?;
        let result = ask(link);
        if result.as_ref().is_err_and(Error::is_broken) {
            self.link = None;
        }
        result
    }

    fn reconnect(&mut self) -> Result<(), Error> {
        let mut last = Error::Closed;
        for pause in self.session.reconnect.pauses() {
            thread::sleep(pause);
            let attempt =
                Link::connect(&self.session.path).and_then(|mut link| Ok((link.instance()?, link)));
            match attempt {
                Ok((instance, link)) => {
                    self.link = Some(link);
                    let connected = self.session.connected(instance);
                    if connected.is_err() {
                        // New sockids may be the same numbers as those of the instance that has ended.
                        self.store = LocalReads::default();
                    }
                    return connected;
                }
                Err(error) => last = error,
            }
        }
        Err(last)
    }
}

//! The blocking client.

use std::collections::VecDeque;
use std::io::{BufRead, BufReader, Read as _, Write};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::thread;

use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::value::RawValue;

use crate::calls::calls;
use crate::listen::{Notices, Request};
use crate::openrpc::OpenRpc;
use crate::types::*;
use crate::wire::Incoming;
use crate::{BUFFER, Error, Event, Peeked, Read, Reconnect, peek, ppeek, wire};
use crate::{Method, Side};

/// A connection to the daemon. One request at a time; open several clients for several threads.
#[derive(Debug)]
pub struct Client {
    path: PathBuf,
    reconnect: Reconnect,
    /// `None` after it broke, until it is made anew.
    link: Option<Link>,
    /// Which daemon was connected to; asked for by those alone that connect again.
    instance: Option<u64>,
    /// `peek` was called over this connection; and over one that is gone, which was not told yet.
    cursors: (bool, bool),
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
    /// Connects to the daemon that listens at `path`. When the connection breaks it stays broken.
    pub fn connect(path: impl AsRef<Path>) -> Result<Self, Error> {
        Self::connect_with(path, Reconnect::NEVER)
    }

    /// Connects to the daemon that listens at `path`, and again when the connection breaks. The first connection is
    /// tried once.
    pub fn connect_with(path: impl AsRef<Path>, reconnect: Reconnect) -> Result<Self, Error> {
        let path = path.as_ref().to_path_buf();
        let mut link = Link::connect(&path)?;
        let instance = if reconnect == Reconnect::NEVER {
            None
        } else {
            link.instance()?
        };
        Ok(Self {
            path,
            reconnect,
            link: Some(link),
            instance,
            cursors: (false, false),
        })
    }

    /// Bytes from `off` on, up to `len`, stopping at a hole. Fewer than asked is normal.
    pub fn ppeek(&mut self, sockid: u64, side: Side, off: u64, len: u64) -> Result<Read, Error> {
        let mut bytes = Vec::new();
        let head = self.ppeek_into(sockid, side, off, len, &mut bytes)?;
        Ok(Read { head, bytes })
    }

    /// As [`Client::ppeek`], into a buffer that is used again: it is cleared and holds the bytes afterwards.
    pub fn ppeek_into(
        &mut self,
        sockid: u64,
        side: Side,
        off: u64,
        len: u64,
        bytes: &mut Vec<u8>,
    ) -> Result<Ppeek, Error> {
        let params = ppeek(sockid, side, off, len);
        self.attempt(Method::Ppeek, |link| {
            bytes.clear();
            let head: Ppeek = link.call(Method::Ppeek, &params)?;
            bytes.resize(wire::raw(head.raw, head.len, len)?, 0);
            link.stream.read_exact(bytes)?;
            Ok(head)
        })
    }

    /// As [`Client::ppeek`], right into the caller's memory: `head.len` bytes of `buffer`, which may be longer than the
    /// read. `params.encoding` does not matter.
    pub fn ppeek_slice(&mut self, params: &PpeekParams, buffer: &mut [u8]) -> Result<Ppeek, Error> {
        let len = params.len.min(buffer.len() as u64);
        let params = PpeekParams {
            len,
            encoding: Encoding::Raw,
            ..params.clone()
        };
        self.attempt(Method::Ppeek, |link| {
            let head: Ppeek = link.call(Method::Ppeek, &params)?;
            let count = wire::raw(head.raw, head.len, len)?;
            link.stream.read_exact(&mut buffer[..count])?;
            Ok(head)
        })
    }

    /// The next bytes in order, up to `len`: each call goes on where the one before ended, the first begins at 0.
    pub fn peek(&mut self, sockid: u64, side: Side, len: u64) -> Result<Peeked, Error> {
        self.connected()?;
        let (_, lost) = std::mem::replace(&mut self.cursors, (true, false));
        if lost {
            return Err(Error::CursorsLost);
        }
        let params = peek(sockid, side, len);
        self.attempt(Method::Peek, |link| {
            let head: Peek = link.call(Method::Peek, &params)?;
            let mut bytes = vec![0; wire::raw(head.raw, head.len, len)?];
            link.stream.read_exact(&mut bytes)?;
            Ok(Peeked { head, bytes })
        })
    }

    /// Any method whose reply is one line.
    pub fn call<R: DeserializeOwned>(
        &mut self,
        method: Method,
        params: &impl Serialize,
    ) -> Result<R, Error> {
        self.attempt(method, |link| link.call(method, params))
    }

    /// The next event of the listeners that this connection has (`subscribe`, `follow`, `watch`); waits for it. Events
    /// that came while a call waited for its reply are not lost: they come first. A connection that breaks takes its
    /// listeners along, so none is made anew.
    pub fn event(&mut self) -> Result<Event, Error> {
        let link = self.link.as_mut().ok_or(Error::Closed)?;
        let event = link.event();
        if event.as_ref().is_err_and(Error::is_broken) {
            self.link = None;
        }
        event
    }

    /// Whether [`Client::event`] can go on without waiting for the daemon to begin.
    #[must_use]
    pub fn has_event(&self) -> bool {
        self.link
            .as_ref()
            .is_some_and(|link| !link.events.is_empty() || !link.stream.buffer().is_empty())
    }

    /// What happens from now on. `params.encoding` does not matter.
    pub fn subscribe(&mut self, params: &SubscribeParams) -> Result<Notices, Error> {
        let params = SubscribeParams {
            encoding: Encoding::Raw,
            ..params.clone()
        };
        self.listen("subscribe", &params)
    }

    /// Every byte of a side, or of both, from `off` on (the lowest kept, unless given), as it comes.
    pub fn follow(
        &mut self,
        sockid: u64,
        side: Option<Side>,
        off: Option<u64>,
    ) -> Result<Notices, Error> {
        self.listen(
            "follow",
            &FollowParams {
                sockid,
                side,
                off,
                encoding: Encoding::Raw,
            },
        )
    }

    /// What is found in the streams from now on.
    pub fn watch(&mut self, params: &WatchParams) -> Result<Notices, Error> {
        self.listen("watch", params)
    }

    /// Listens: `subscribe`, `follow` or `watch`, with these parameters, over a connection of its own.
    pub fn listen(
        &mut self,
        method: &'static str,
        params: &impl Serialize,
    ) -> Result<Notices, Error> {
        let params = serde_json::to_value(params).map_err(Error::Request)?;
        Notices::open(
            Request {
                path: self.path.clone(),
                method,
                params,
            },
            self.reconnect,
            self.instance,
        )
    }

    /// Asks once, and once more over a new connection if the first one broke and asking twice does no harm.
    fn attempt<T>(
        &mut self,
        method: Method,
        mut ask: impl FnMut(&mut Link) -> Result<T, Error>,
    ) -> Result<T, Error> {
        match self.ask(&mut ask) {
            Err(error)
                if error.is_broken()
                    && self.reconnect != Reconnect::NEVER
                    && method.is_repeatable() =>
            {
                self.ask(&mut ask)
            }
            other => other,
        }
    }

    fn ask<T>(&mut self, ask: &mut impl FnMut(&mut Link) -> Result<T, Error>) -> Result<T, Error> {
        self.connected()?;
        let link = self.link.as_mut().ok_or(Error::Closed)?;
        let result = ask(link);
        if result.as_ref().is_err_and(Error::is_broken) {
            self.link = None;
        }
        result
    }

    fn connected(&mut self) -> Result<(), Error> {
        if self.link.is_none() {
            self.connect_again()
        } else {
            Ok(())
        }
    }

    fn connect_again(&mut self) -> Result<(), Error> {
        let mut last = Error::Closed;
        for pause in self.reconnect.pauses() {
            thread::sleep(pause);
            let found = Link::connect(&self.path).and_then(|mut link| Ok((link.instance()?, link)));
            match found {
                Ok((instance, link)) => {
                    self.link = Some(link);
                    self.cursors = (false, self.cursors.0 || self.cursors.1);
                    let restarted = std::mem::replace(&mut self.instance, instance) != instance;
                    return if restarted {
                        Err(Error::Restarted)
                    } else {
                        Ok(())
                    };
                }
                Err(error) => last = error,
            }
        }
        Err(last)
    }
}

/// One socket.
#[derive(Debug)]
pub(super) struct Link {
    stream: BufReader<UnixStream>,
    next_id: u64,
    /// The last request or reply, kept for its memory.
    line: Vec<u8>,
    /// Those that came before a reply.
    events: VecDeque<Event>,
}

impl Link {
    pub(super) fn connect(path: &Path) -> Result<Self, Error> {
        let stream = UnixStream::connect(path).map_err(|source| Error::Connect {
            path: path.to_path_buf(),
            source,
        })?;
        let stream = BufReader::with_capacity(BUFFER, stream);
        Ok(Self {
            stream,
            next_id: 1,
            line: Vec::new(),
            events: VecDeque::new(),
        })
    }

    pub(super) fn instance(&mut self) -> Result<Option<u64>, Error> {
        let hello: Hello = self.call(Method::Hello, &HelloParams::default())?;
        Ok(hello.instance)
    }

    fn call<R: DeserializeOwned>(
        &mut self,
        method: Method,
        params: &impl Serialize,
    ) -> Result<R, Error> {
        let id = self.next_id;
        self.next_id += 1;
        wire::request(&mut self.line, id, method.name(), params)?;
        self.stream.get_mut().write_all(&self.line)?;
        loop {
            self.read_line()?;
            let params = match wire::reply_or_event(&self.line, id)? {
                Incoming::Reply(reply) => return Ok(reply),
                Incoming::Event(params) => params.to_owned(),
            };
            let event = self.rest_of(params)?;
            self.events.push_back(event);
        }
    }

    fn event(&mut self) -> Result<Event, Error> {
        if let Some(event) = self.events.pop_front() {
            return Ok(event);
        }
        self.read_line()?;
        let params = wire::event(&self.line)?.to_owned();
        self.rest_of(params)
    }

    fn read_line(&mut self) -> Result<(), Error> {
        self.line.clear();
        self.stream.read_until(b'\n', &mut self.line)?;
        Ok(())
    }

    /// The raw bytes that follow the line of an event.
    fn rest_of(&mut self, params: Box<RawValue>) -> Result<Event, Error> {
        let mut bytes = vec![0; wire::raw_of_event(&params)?];
        self.stream.read_exact(&mut bytes)?;
        Ok(Event { params, bytes })
    }
}

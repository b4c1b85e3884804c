//! Listening, blocking.

use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::thread;
use std::time::Duration;

use serde_json::Value;

use crate::blocking::Link;
use crate::incoming::Incoming;
use crate::notice::{Listener, Notice, What};
use crate::{Error, Reconnect, wire};

/// What a listener is told, event by event.
///
/// It has a connection of its own: replies never wait behind events, and what a program is too slow for waits in the
/// daemon's queue, which is bounded and tells what it dropped. Dropping this ends the listener.
///
/// With a policy, `subscribe` and `watch` are made anew when the connection breaks: [`What::Interrupted`] says so in its
/// place. `follow` ends with the error instead: go on where the last bytes ended. A daemon that was started anew is
/// [`Error::Restarted`]; after that the events are those of the new one, unless the listener was for one connection.
#[derive(Debug)]
pub struct Notices {
    request: Request,
    reconnect: Reconnect,
    instance: Option<u64>,
    /// `None` after the end.
    stream: Option<UnixStream>,
    incoming: Incoming,
    listener: Listener,
}

/// How a listener was made, to make it again.
#[derive(Clone, Debug)]
pub(super) struct Request {
    pub(super) path: PathBuf,
    pub(super) method: &'static str,
    pub(super) params: Value,
}

impl Request {
    /// Whether it may be made again after the connection broke; `restarted`: with another daemon.
    pub(super) fn is_repeatable(&self, restarted: bool) -> bool {
        self.method != "follow" && !(restarted && self.params["sockid"].is_u64())
    }
}

impl Notices {
    pub(super) fn open(
        request: Request,
        reconnect: Reconnect,
        instance: Option<u64>,
    ) -> Result<Self, Error> {
        let mut events = Self {
            request,
            reconnect,
            instance,
            stream: None,
            incoming: Incoming::default(),
            listener: Listener::default(),
        };
        events.listen()?;
        Ok(events)
    }

    /// What the daemon answered.
    #[must_use]
    pub fn listener(&self) -> &Listener {
        &self.listener
    }

    /// The next event; waits no longer than `patience` (for ever when it is `None`). `Ok(None)`: none came in time.
    pub fn next_within(
        &mut self,
        patience: Option<Duration>,
    ) -> Option<Result<Option<Notice>, Error>> {
        loop {
            if let Some(event) = self.incoming.event() {
                return Some(event.map(Some));
            }
            let stream = self.stream.as_mut()?;
            // A time of zero would be no limit.
            let patience = patience.map(|patience| patience.max(Duration::from_millis(1)));
            match stream
                .set_read_timeout(patience)
                .and_then(|()| stream.read(self.incoming.room()))
            {
                Ok(0) => return Some(self.broken(Error::Closed)),
                Ok(count) => self.incoming.filled(count),
                Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
                Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => {
                    return Some(Ok(None));
                }
                Err(error) => return Some(self.broken(Error::Io(error))),
            }
        }
    }

    fn broken(&mut self, error: Error) -> Result<Option<Notice>, Error> {
        self.stream = None;
        self.incoming = Incoming::default();
        if self.reconnect == Reconnect::NEVER || !self.request.is_repeatable(false) {
            return Err(error);
        }
        let mut last = error;
        for pause in self.reconnect.pauses() {
            thread::sleep(pause);
            match self.listen_again() {
                Err(error) if error.is_broken() || matches!(error, Error::Connect { .. }) => {
                    last = error
                }
                other => return other.map(|()| Some(interrupted(&self.listener))),
            }
        }
        Err(last)
    }

    fn listen_again(&mut self) -> Result<(), Error> {
        let instance = Link::connect(&self.request.path)?.instance()?;
        let restarted = self.instance != instance;
        if !restarted || self.request.is_repeatable(true) {
            self.listen()?;
        }
        self.instance = instance;
        if restarted {
            Err(Error::Restarted)
        } else {
            Ok(())
        }
    }

    fn listen(&mut self) -> Result<(), Error> {
        let path = &self.request.path;
        let mut stream = UnixStream::connect(path).map_err(|source| Error::Connect {
            path: path.clone(),
            source,
        })?;
        let mut line = Vec::new();
        wire::request(&mut line, 1, self.request.method, &self.request.params)?;
        stream.write_all(&line)?;
        self.incoming = Incoming::default();
        self.listener = loop {
            if let Some(listener) = self.incoming.reply(1) {
                break listener?;
            }
            match stream.read(self.incoming.room())? {
                0 => return Err(Error::Closed),
                count => self.incoming.filled(count),
            }
        };
        self.stream = Some(stream);
        Ok(())
    }
}

pub(super) fn interrupted(listener: &Listener) -> Notice {
    Notice {
        listener: listener.sockid,
        time: None,
        sockid: None,
        what: What::Interrupted,
    }
}

impl Iterator for Notices {
    type Item = Result<Notice, Error>;

    fn next(&mut self) -> Option<Self::Item> {
        self.next_within(None)?.transpose()
    }
}

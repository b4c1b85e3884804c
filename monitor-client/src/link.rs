//! Connection of the blocking client: one socket, one request at a time.

use std::collections::VecDeque;
use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;

use monitor_rpc::types::{Hello, HelloParams, Ppeek, PpeekParams};
use monitor_rpc::{Method, Notification};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::wire::{self, Incoming};
use crate::{BUFFER, Error};

/// Socket with its buffers.
#[derive(Debug)]
pub(crate) struct Link {
    stream: BufReader<UnixStream>,
    next_id: u64,
    /// Last request or reply, kept for its memory.
    line: Vec<u8>,
    /// Notifications that arrived before a reply.
    notifications: VecDeque<Notification>,
}

impl Link {
    pub(crate) fn connect(path: &Path) -> Result<Self, Error> {
        Ok(Self {
            stream: BufReader::with_capacity(BUFFER, connect(path)?),
            next_id: 1,
            line: Vec::new(),
            notifications: VecDeque::new(),
        })
    }

    /// Requests the instance of the daemon.
    pub(crate) fn instance(&mut self) -> Result<Option<u64>, Error> {
        let hello: Hello = self.call(Method::Hello, &HelloParams::default())?;
        Ok(hello.instance)
    }

    /// Sends a request and reads its reply.
    pub(crate) fn call<R: DeserializeOwned>(
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
            let notification = match wire::reply_or_event(&self.line, id)? {
                Incoming::Reply(reply) => return Ok(reply),
                Incoming::Event(notification) => notification,
            };
            let notification = self.read_data(notification)?;
            self.notifications.push_back(notification);
        }
    }

    /// Sends a `ppeek` and reads the bytes into the buffer that `room` returns for their number.
    pub(crate) fn read<'a>(
        &mut self,
        params: &PpeekParams,
        room: impl FnOnce(usize) -> &'a mut [u8],
    ) -> Result<Ppeek, Error> {
        let head: Ppeek = self.call(Method::Ppeek, params)?;
        let count = wire::raw(head.raw, head.len, params.len)?;
        self.stream.read_exact(room(count))?;
        Ok(head)
    }

    /// Returns the next notification, and waits for it.
    pub(crate) fn notification(&mut self) -> Result<Notification, Error> {
        if let Some(notification) = self.notifications.pop_front() {
            return Ok(notification);
        }
        self.read_line()?;
        let notification = wire::event(&self.line)?;
        self.read_data(notification)
    }

    /// Returns whether a notification, or a part of one, has arrived.
    pub(crate) fn has_notification(&self) -> bool {
        !self.notifications.is_empty() || !self.stream.buffer().is_empty()
    }

    fn read_line(&mut self) -> Result<(), Error> {
        self.line.clear();
        self.stream.read_until(b'\n', &mut self.line)?;
        Ok(())
    }

    /// Reads the raw bytes that follow the line of a notification.
    fn read_data(&mut self, mut notification: Notification) -> Result<Notification, Error> {
        let mut bytes = vec![0; wire::raw_of_event(&notification)?];
        self.stream.read_exact(&mut bytes)?;
        wire::set_data(&mut notification, bytes);
        Ok(notification)
    }
}

/// Connects to the daemon.
pub(crate) fn connect(path: &Path) -> Result<UnixStream, Error> {
    UnixStream::connect(path).map_err(|source| Error::Connect {
        path: path.to_path_buf(),
        source,
    })
}

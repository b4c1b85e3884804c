//! The blocking client.

use std::io::{self, BufRead, BufReader, Read as _, Write};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use crate::types::{
    Encoding, Fragments, FragmentsParams, Hello, HelloParams, InfoParams, LookupParams, Ppeek, PpeekParams,
    Socket, Sockets, SocketsParams, Stats, StatsParams,
};
use crate::{ErrorObject, MAX_LEN, Method, Side};

/// A connection to the daemon. One request at a time; open several clients for several threads.
#[derive(Debug)]
pub struct Client {
    stream: BufReader<UnixStream>,
    next_id: u64,
    /// The last request or reply, kept for its memory.
    line: Vec<u8>,
}

/// Why a call got no result.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The socket could not be connected to.
    #[error("cannot connect to {}", path.display())]
    Connect {
        /// Where.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The connection broke.
    #[error("the connection to the daemon broke")]
    Io(#[from] io::Error),
    /// The daemon closed the connection.
    #[error("the daemon closed the connection")]
    Closed,
    /// The request could not be written as JSON.
    #[error("cannot write the request")]
    Request(#[source] serde_json::Error),
    /// The reply is not what the protocol promises.
    #[error("the reply cannot be understood: {what}")]
    Reply {
        /// What is wrong with it.
        what: &'static str,
        /// Where reading it failed.
        source: Option<serde_json::Error>,
    },
    /// The daemon answered with an error.
    #[error("{0}")]
    Rpc(ErrorObject),
}

/// Bytes that a `ppeek` returned.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Read {
    /// What the reply said; its `data` is always `None`.
    pub head: Ppeek,
    /// The bytes, `head.len` of them.
    pub bytes: Vec<u8>,
}

#[derive(Serialize)]
struct Request<'a, P> {
    jsonrpc: &'static str,
    id: u64,
    method: &'a str,
    params: P,
}

#[derive(Deserialize)]
struct Response<'a> {
    id: Option<u64>,
    #[serde(borrow)]
    result: Option<&'a RawValue>,
    error: Option<ErrorObject>,
}

impl Client {
    /// Connects to the daemon that listens at `path`.
    pub fn connect(path: impl AsRef<Path>) -> Result<Self, Error> {
        let path = path.as_ref();
        let stream = UnixStream::connect(path)
            .map_err(|source| Error::Connect { path: path.to_path_buf(), source })?;
        Ok(Self { stream: BufReader::with_capacity(16 * 1024, stream), next_id: 1, line: Vec::new() })
    }

    /// Who serves, and what it can do.
    pub fn hello(&mut self, client: &str) -> Result<Hello, Error> {
        self.call(Method::Hello, &HelloParams { client: Some(client.to_owned()) })
    }

    /// One page of connections.
    pub fn sockets(&mut self, params: &SocketsParams) -> Result<Sockets, Error> {
        self.call(Method::Sockets, params)
    }

    /// The newest connection between two ends.
    pub fn lookup(&mut self, params: &LookupParams) -> Result<Socket, Error> {
        self.call(Method::Lookup, params)
    }

    /// One connection.
    pub fn info(&mut self, sockid: u64) -> Result<Socket, Error> {
        self.call(Method::Info, &InfoParams { sockid, worker: None })
    }

    /// Every retained run of bytes of one side.
    pub fn fragments(&mut self, sockid: u64, side: Side) -> Result<Fragments, Error> {
        self.call(Method::Fragments, &FragmentsParams { sockid, side, worker: None })
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
        let params = PpeekParams { sockid, side, off, len, encoding: Encoding::Raw, worker: None };
        bytes.clear();
        let head: Ppeek = self.call(Method::Ppeek, &params)?;
        match head.raw {
            Some(count) if count == head.len && count <= len.min(MAX_LEN) => {
                bytes.resize(count as usize, 0);
                self.stream.read_exact(bytes)?;
                Ok(head)
            }
            _ => Err(Error::Reply { what: "the count of raw bytes is missing or wrong", source: None }),
        }
    }

    /// Every counter.
    pub fn stats(&mut self) -> Result<Stats, Error> {
        self.call(Method::Stats, &StatsParams {})
    }

    /// Any method whose reply is one line.
    pub fn call<R: DeserializeOwned>(&mut self, method: Method, params: &impl Serialize) -> Result<R, Error> {
        let id = self.send(method.name(), params)?;
        self.line.clear();
        if self.stream.read_until(b'\n', &mut self.line)? == 0 {
            return Err(Error::Closed);
        }
        let bad = |what, source| Error::Reply { what, source: Some(source) };
        let response: Response<'_> =
            serde_json::from_slice(&self.line).map_err(|source| bad("no JSON-RPC response", source))?;
        if let Some(error) = response.error {
            return Err(Error::Rpc(error));
        }
        if response.id != Some(id) {
            return Err(Error::Reply { what: "it answers another request", source: None });
        }
        let result =
            response.result.ok_or(Error::Reply { what: "neither result nor error", source: None })?;
        serde_json::from_str(result.get()).map_err(|source| bad("the result has another form", source))
    }

    fn send(&mut self, method: &str, params: &impl Serialize) -> Result<u64, Error> {
        let id = self.next_id;
        self.next_id += 1;
        self.line.clear();
        serde_json::to_writer(&mut self.line, &Request { jsonrpc: "2.0", id, method, params })
            .map_err(Error::Request)?;
        self.line.push(b'\n');
        self.stream.get_mut().write_all(&self.line)?;
        Ok(id)
    }
}

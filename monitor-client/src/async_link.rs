//! Connection of the client for tokio: one socket, one request at a time.

use std::path::Path;

use monitor_rpc::Method;
use monitor_rpc::types::{Hello, HelloParams, Ppeek, PpeekParams};
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::UnixStream;

use crate::{BUFFER, Error, wire};

/// Socket with its buffers.
#[derive(Debug)]
pub(crate) struct AsyncLink {
    stream: BufReader<UnixStream>,
    next_id: u64,
    /// Last request or reply, kept for its memory.
    line: Vec<u8>,
}

impl AsyncLink {
    pub(crate) async fn connect(path: &Path) -> Result<Self, Error> {
        Ok(Self {
            stream: BufReader::with_capacity(BUFFER, connect(path).await?),
            next_id: 1,
            line: Vec::new(),
        })
    }

    /// Requests the instance of the daemon.
    pub(crate) async fn instance(&mut self) -> Result<Option<u64>, Error> {
        let hello: Hello = self.call(Method::Hello, &HelloParams::default()).await?;
        Ok(hello.instance)
    }

    /// Sends a request and reads its reply.
    pub(crate) async fn call<R: DeserializeOwned>(
        &mut self,
        method: Method,
        params: &impl Serialize,
    ) -> Result<R, Error> {
        let id = self.next_id;
        self.next_id += 1;
        wire::request(&mut self.line, id, method.name(), params)?;
        self.stream.write_all(&self.line).await?;
        self.line.clear();
        self.stream.read_until(b'\n', &mut self.line).await?;
        wire::reply(&self.line, id)
    }

    /// Sends a `ppeek` and reads the bytes into `bytes`, which is cleared first.
    pub(crate) async fn read(
        &mut self,
        params: &PpeekParams,
        bytes: &mut Vec<u8>,
    ) -> Result<Ppeek, Error> {
        bytes.clear();
        let head: Ppeek = self.call(Method::Ppeek, params).await?;
        bytes.resize(wire::raw(head.raw, head.len, params.len)?, 0);
        self.stream.read_exact(bytes).await?;
        Ok(head)
    }
}

/// Connects to the daemon.
pub(crate) async fn connect(path: &Path) -> Result<UnixStream, Error> {
    UnixStream::connect(path)
        .await
        .map_err(|source| Error::Connect {
            path: path.to_path_buf(),
            source,
        })
}

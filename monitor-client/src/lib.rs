//! Clients of monitord's RPC: [`Client`] blocks, `AsyncClient` (feature `async`) is the same for tokio.
//!
//! ```no_run
//! use monitor_client::{Client, DEFAULT_SOCKET, Side, types::SocketsParams};
//!
//! let mut client = Client::connect(DEFAULT_SOCKET)?;
//! for socket in client.sockets(&SocketsParams::default())?.sockets {
//!     let read = client.ppeek(socket.sockid, Side::Server, 0, 64)?;
//!     println!("{} -> {}: {:?}", socket.client, socket.server, read.bytes);
//! }
//! # Ok::<(), monitor_client::Error>(())
//! ```

mod blocking;
mod calls;
#[cfg(feature = "async")]
mod future;
mod incoming;
mod listen;
mod reconnect;
#[cfg(feature = "async")]
mod stream;
mod wire;

use std::io;
use std::path::PathBuf;

pub use blocking::Client;
#[cfg(feature = "async")]
pub use future::AsyncClient;
pub use listen::Notices;
pub use monitor_rpc::{
    Code, Counters, DEFAULT_SOCKET, ErrorData, ErrorObject, MAX_LEN, MAX_LINE, Method, OpenRpc,
    Reason, Role, Side, VERSION,
};
pub use monitor_rpc::{counters, error, method, notice, openrpc, side, socket, state, types};
pub use reconnect::Reconnect;
#[cfg(feature = "async")]
pub use stream::NoticeStream;

use serde::Deserialize;
use serde_json::value::RawValue;

use monitor_rpc::types::{Encoding, Peek, PeekParams, Ppeek, PpeekParams};

/// What is read from the socket at once, unless it goes right into a caller's buffer.
const BUFFER: usize = 16 * 1024;

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
    /// A daemon that was started since answers there. What it serves has sockids of its own: those that were asked for
    /// before mean nothing to it, or another connection. Said once; the next call goes to the new daemon.
    #[error(
        "the daemon was started anew: list its connections again, sockids from before are void"
    )]
    Restarted,
    /// The connection was made anew, and with it the cursors of `peek`, which stand at the beginning again. Said once, in
    /// place of the next `peek`; `ppeek` goes on anywhere.
    #[error("the connection was made anew: peek begins at the beginning again")]
    CursorsLost,
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

impl Error {
    /// Whether the connection is of no use any more: another one may do better.
    #[must_use]
    pub fn is_broken(&self) -> bool {
        matches!(self, Error::Io(_) | Error::Closed)
    }
}

/// Bytes that a `ppeek` returned.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Read {
    /// What the reply said; its `data` is always `None`.
    pub head: Ppeek,
    /// The bytes, `head.len` of them.
    pub bytes: Vec<u8>,
}

/// Bytes that a `peek` returned.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Peeked {
    /// What the reply said; its `data` is always `None`.
    pub head: Peek,
    /// The bytes, `head.len` of them.
    pub bytes: Vec<u8>,
}

/// What a listener of this connection was told (docs/rpc.md, `event`).
#[derive(Clone, Debug)]
pub struct Event {
    /// As they came: which listener, what happened, where.
    pub params: Box<RawValue>,
    /// The raw bytes behind the line, if they were asked for.
    pub bytes: Vec<u8>,
}

impl Event {
    /// The parameters as a type of the caller's.
    pub fn read<'a, T: Deserialize<'a>>(&'a self) -> Result<T, Error> {
        serde_json::from_str(self.params.get()).map_err(|source| Error::Reply {
            what: "the event has another form",
            source: Some(source),
        })
    }
}

/// A `ppeek` of any worker's connection; how the bytes are sent is the client's affair.
fn ppeek(sockid: u64, side: Side, off: u64, len: u64) -> PpeekParams {
    PpeekParams {
        sockid,
        side,
        off,
        len,
        encoding: Encoding::Raw,
        worker: None,
    }
}

/// The same for `peek`.
fn peek(sockid: u64, side: Side, len: u64) -> PeekParams {
    PeekParams {
        sockid,
        side,
        len,
        encoding: Encoding::Raw,
        worker: None,
    }
}

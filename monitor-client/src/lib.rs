//! Clients of monitord's RPC: [`Client`] blocks, `AsyncClient` (feature `async`) is the same for tokio.
//!
//! Both share the parts without I/O: the state of a connection that may be replaced (`session`), cursors (`cursor`), lines
//! (`wire`) and the framing of events (`incoming`). A client does I/O only.
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

#[cfg(feature = "async")]
mod async_client;
#[cfg(feature = "async")]
mod async_link;
mod attach;
mod calls;
mod client;
mod cursor;
mod error;
#[cfg(feature = "async")]
mod event_stream;
mod events;
mod incoming;
mod link;
mod packets;
mod reconnect;
mod session;
mod wire;

#[cfg(feature = "async")]
pub use async_client::AsyncClient;
pub use attach::Attached;
pub use client::Client;
pub use cursor::{Hole, Next, Peek};
pub use error::Error;
#[cfg(feature = "async")]
pub use event_stream::EventStream;
pub use events::Events;
pub use monitor_rpc::{
    Chain, Code, Counters, DEFAULT_SOCKET, ErrorData, ErrorObject, EventBody, MAX_LEN, MAX_LINE,
    MAX_NUMBER, Method, Notification, OpenRpc, Reason, Role, Side, VERSION,
};
pub use monitor_rpc::{counters, method, notification, openrpc, socket, types};
pub use packets::{CapturedPacket, Packets};
pub use reconnect::Reconnect;
pub use session::Subscribed;

use monitor_rpc::types::Ppeek;

/// Size of reads from the socket, unless they go into a caller's buffer.
const BUFFER: usize = 16 * 1024;

/// Bytes that a `ppeek` returned. Example: [`Client::ppeek`].
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Read {
    /// Reply; its `data` is `None`.
    pub head: Ppeek,
    /// Bytes, `head.len` of them.
    pub bytes: Vec<u8>,
}

/// Bytes that a `peek` returned. Example: [`Client::peek`].
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Peeked {
    /// Position and skipped ranges; its `data` is `None`.
    pub head: Peek,
    /// Bytes, `head.len` of them.
    pub bytes: Vec<u8>,
}

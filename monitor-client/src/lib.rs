//! The RPC of monitord: its types, shared with the server, and a client.
//!
//! JSON-RPC 2.0 over a Unix stream socket, one object a line; raw bytes follow their line. The wire is described
//! in docs/rpc.md. [`Client`] is the blocking client, `AsyncClient` (feature `async`) the same for tokio:
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

mod client;
pub mod counters;
pub mod error;
pub mod method;
pub mod notice;
mod number;
pub mod openrpc;
pub mod side;
pub mod socket;
pub mod state;
pub mod types;

#[cfg(feature = "async")]
pub use client::{AsyncClient, NoticeStream};
pub use client::{Client, Error, Event, Notices, Peeked, Read, Reconnect};
pub use counters::Counters;
pub use error::{Code, ErrorData, ErrorObject, Reason};
pub use method::{Method, Role};
pub use openrpc::OpenRpc;
pub use side::Side;

/// Where the daemon listens unless its configuration says otherwise.
pub const DEFAULT_SOCKET: &str = "/run/monitord/monitord.sock";

/// The version of the RPC that these types describe.
pub const VERSION: u32 = 1;

/// Longest request line, its line feed not counted, in bytes.
pub const MAX_LINE: usize = 64 * 1024;

/// Most bytes that one `ppeek` returns; a larger `len` is cut to it.
pub const MAX_LEN: u64 = 16 << 20;

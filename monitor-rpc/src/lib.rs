//! RPC of monitord: types, method table, notifications and errors, shared by the server and its clients.
//!
//! JSON-RPC 2.0 over a Unix stream socket, one object a line; raw bytes follow their line. docs/rpc.md describes the
//! wire format. [`Method`] is the table of methods, [`OpenRpc`] the document that `rpc.discover` returns.
//!
//! ```
//! use monitor_rpc::types::PpeekParams;
//! use monitor_rpc::{Method, Role};
//!
//! let params: PpeekParams =
//!     serde_json::from_str(r#"{"sockid": 9, "side": "server", "off": 0, "len": 64}"#)?;
//! assert_eq!((params.off, params.worker), (0, None));
//! assert_eq!(Method::from_name("ppeek").map(Method::role), Some(Role::Reader));
//! # Ok::<(), serde_json::Error>(())
//! ```

pub mod chain;
pub mod counters;
pub mod error;
pub mod method;
pub mod notification;
mod number;
pub mod openrpc;
pub mod read_error;
pub mod socket;
pub mod socket_file;
pub mod types;

pub use chain::Chain;
pub use counters::Counters;
pub use error::{Code, ErrorData, ErrorObject, Reason};
pub use method::{Method, Role};
pub use monitor_common::Side;
pub use notification::{EventBody, Notification};
pub use number::MAX as MAX_NUMBER;
pub use openrpc::OpenRpc;

/// Default path of the daemon's socket.
pub const DEFAULT_SOCKET: &str = "/run/monitord/monitord.sock";

/// Version of the RPC that these types describe.
pub const VERSION: u32 = 1;

/// Maximum length of a request line without its line feed, in bytes.
pub const MAX_LINE: usize = 64 * 1024;

/// Maximum number of bytes that one `ppeek` returns; a larger `len` is cut to it.
pub const MAX_LEN: u64 = 16 << 20;

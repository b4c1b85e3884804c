//! Errors of calls.

use std::io;
use std::path::PathBuf;

use monitor_reader::AttachError;
use monitor_rpc::ErrorObject;

/// Error of a call. The text of one that has a source does not repeat it.
///
/// ```no_run
/// use monitor_client::{Client, DEFAULT_SOCKET, Error, Reason, Side};
///
/// let mut client = Client::connect(DEFAULT_SOCKET)?;
/// match client.ppeek(9, Side::Server, 0, 64) {
///     Ok(read) => println!("{} bytes", read.bytes.len()),
///     Err(Error::Rpc(error)) if error.reason() == Some(Reason::Future) => println!("none yet"),
///     Err(error) => return Err(error),
/// }
/// # Ok::<(), Error>(())
/// ```
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// No connection to the socket.
    #[error("cannot connect to {}", path.display())]
    Connect {
        /// Path of the socket.
        path: PathBuf,
        /// Error of the system.
        source: io::Error,
    },
    /// The connection broke.
    #[error("the connection to the daemon broke")]
    Io(#[from] io::Error),
    /// The daemon closed the connection.
    #[error("the daemon closed the connection")]
    Closed,
    /// Another instance of the daemon answers: it has restarted. Sockids of the previous instance are invalid, and
    /// cursors are removed. Returned once; the next call goes to the new instance.
    #[error("the daemon has restarted: list its connections again, earlier sockids are invalid")]
    Restarted,
    /// The store of the daemon cannot be read by this program: it is of another version, or the memory isn't a store.
    #[error("cannot attach to the daemon's store")]
    Attach(#[from] AttachError),
    /// The request could not be written as JSON.
    #[error("cannot write the request")]
    Request(#[source] serde_json::Error),
    /// The reply violates the protocol.
    #[error("invalid reply: {reason}")]
    Reply {
        /// Violation.
        reason: &'static str,
        /// Error of the JSON reader.
        source: Option<serde_json::Error>,
    },
    /// The daemon returned an error.
    #[error("{0}")]
    Rpc(ErrorObject),
}

impl Error {
    /// Returns whether the connection is unusable; a new one may succeed.
    #[must_use]
    pub fn is_broken(&self) -> bool {
        matches!(self, Error::Io(_) | Error::Closed)
    }

    pub(crate) fn reply(reason: &'static str) -> Self {
        Self::Reply {
            reason,
            source: None,
        }
    }

    pub(crate) fn json(reason: &'static str, source: serde_json::Error) -> Self {
        Self::Reply {
            reason,
            source: Some(source),
        }
    }
}

//! Socket of the server: that of the service manager (`LISTEN_FDS`), or else one of the daemon's own.

use std::io;

use listenfd::ListenFd;

use crate::config::Rpc;
use crate::rpc::{ListenError, ServerSocket};

/// Returns the listening socket.
pub(super) fn socket(settings: Rpc) -> Result<ServerSocket, ListenError> {
    let mut passed = ListenFd::from_env();
    match passed.len() {
        0 => ServerSocket::bind(settings),
        1 => match passed.take_unix_listener(0) {
            Ok(Some(socket)) => ServerSocket::inherited(socket, settings),
            Ok(None) => ServerSocket::bind(settings),
            Err(error) => Err(ListenError::Inherited(error)),
        },
        more => Err(ListenError::Inherited(io::Error::other(format!(
            "{more} sockets"
        )))),
    }
}

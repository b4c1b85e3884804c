//! Sockets: the socket file, and the stream of one client with its input and output buffers.

pub(crate) mod input;
pub(crate) mod output;
pub(crate) mod server_socket;
pub(crate) mod stream;

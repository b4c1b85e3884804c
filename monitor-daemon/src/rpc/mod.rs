//! The RPC server: JSON-RPC 2.0, one object a line, over a Unix socket.

//! RPC server: JSON-RPC 2.0 over a Unix stream socket, one object per line; raw bytes follow their line.
//!
//! [`ServerSocket::bind`] creates the socket file, [`serve`](serve()) answers on it until its stop signal. Each client
//! has one task, which reads a line, answers it completely and then reads the next. A client that doesn't read its
//! replies is held up by its own socket alone, and holds the memory of one reply at most.
//!
//! ```text
//! serve ─ connection ┬─ transport: server_socket, stream, input, output
//!                    ├─ protocol: request, call, response, errors
//!                    ├─ access: peer, policy, users, memory
//!                    └─ session ┬─ methods        (requests)
//!                               └─ subscriptions  (notifications, woken by dispatcher)
//! ```
//!
//! `fairness` decides which threads run a client's task. The peer's role is checked before the parameters of a method are parsed.
//!
//! **Invariant:** a module uses only modules left of it in this list: access, protocol, transport, dispatcher, fairness,
//! packet_logs, shared, subscriptions, session, methods, connection, serve.

mod access;
mod connection;
mod dispatcher;
mod fairness;
#[cfg(test)]
mod limits_tests;
mod method_times;
mod methods;
mod metrics;
mod packet_logs;
mod protocol;
mod serve;
mod session;
mod shared;
mod subscriptions;
mod transport;
mod view;

pub use access::policy::{AccessError, check};
pub use metrics::Metrics;
pub use serve::serve;
pub use transport::server_socket::{ListenError, ServerSocket};

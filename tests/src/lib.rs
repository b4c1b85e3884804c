//! Shared parts of the end-to-end tests.
//!
//! [`wiregen`] makes captures with known answers. It needs nothing of the program, so the engine's
//! own tests use it too. The rest runs the real daemon among real servers and clients: [`Network`]
//! and [`Namespace`] are the world, [`Program`] a server or client in it, [`Daemon`] the program
//! under test, [`Rpc`] an independent client of it.
//!
//! Nothing here sleeps to let something happen: [`until`] asks for it until a deadline.

#![expect(
    clippy::panic,
    reason = "everything here is part of a test, which fails by panicking"
)]

mod c;
mod daemon;
mod generator;
mod inject;
mod namespace;
mod nats;
mod nginx;
mod program;
pub mod receiver;
mod rpc;
mod service_manager;
pub mod skip;
mod terminal;
mod tls;
mod traffic;
mod user;
mod wait;
pub mod wiregen;

pub use c::CProgram;
pub use daemon::{Daemon, Replayed, monitor_relay, monitorctl, monitord};
pub use generator::{Count, Generator};
pub use inject::inject;
pub use namespace::{Bridge, Namespace, Network, Pair};
pub use nats::{Certificates, NatsClient, NatsServer};
pub use nginx::Nginx;
pub use program::{Finished, Program, have};
pub use rpc::{Rpc, RpcError};
pub use service_manager::{DAEMON, Given, OTHER, ServiceManager};
pub use terminal::Terminal;
pub use tls::TlsServer;
pub use traffic::{Transfer, exchange};
pub use user::{as_user, open_to_all};
pub use wait::{DEADLINE, until, within};

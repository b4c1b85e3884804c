//! Beginnings that several tests share.

use monitor_daemon::control::Engine;

use super::engine_threads::EngineThreads;
use super::talk::{From, Talk};
use super::{Server, Wire, engines};

/// Starts a server of engines on threads, with a client.
pub fn serve(workers: u16) -> (EngineThreads, Server, Wire) {
    let (server, threads) = Server::with_threads(engines(workers));
    let wire = server.wire();
    (threads, server, wire)
}

/// Returns a connection of the client's port `port`, not opened yet.
pub fn talk(port: u16) -> Talk {
    Talk::new(&format!("10.0.0.1:{port}"), "10.0.0.2:80")
}

/// Returns an engine with one open connection whose client has sent `bytes`, the connection, and its sockid.
pub fn spoken(bytes: &[u8]) -> (Vec<Engine>, Talk, u64) {
    let mut engines = engines(1);
    let mut talk = talk(1234);
    talk.open(&mut engines[0]);
    talk.say(&mut engines[0], From::Client, bytes);
    let id = talk.id(&engines[0]).as_u64();
    (engines, talk, id)
}

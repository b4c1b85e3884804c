//! `tap`: this host's own connections, captured while they run.

#![expect(
    clippy::unwrap_used,
    reason = "a test says what it expects by unwrapping it"
)]

mod links;
mod service;
mod throughput;

use std::net::SocketAddr;

use monitor_tests::{Rpc, Transfer};
use serde_json::Value;

const MIB: usize = 1 << 20;

/// Settings that lose nothing at full speed on a busy machine: `window` and `memory` in MiB.
fn tap(interfaces: &str, workers: u32, window: usize, memory: usize) -> String {
    format!(
        "[capture]\nmode = 'tap'\ninterfaces = [{interfaces}]\nworkers = {workers}\nbuffers = '256MiB'\n\
         [store]\nwindow = '{window}MiB'\nmemory = '{memory}MiB'\n"
    )
}

/// Asserts that the connections on `port` are exactly these transfers, each byte of each side; returns them as listed.
#[track_caller]
fn assert_captured(
    rpc: &mut Rpc,
    port: u16,
    clients: &[SocketAddr],
    transfers: &[Transfer<'_>],
) -> Vec<Value> {
    let sockets = rpc.complete(port, transfers.len());
    rpc.nothing_lost();
    for (client, transfer) in clients.iter().zip(transfers) {
        let found = sockets
            .iter()
            .filter(|socket| socket["client"] == client.to_string());
        let found: Vec<_> = found.collect();
        assert_eq!(found.len(), 1, "one connection of {client}");
        let sockid = found[0]["sockid"].as_u64().unwrap();
        for (side, sent) in [("server", transfer.request), ("client", transfer.response)] {
            assert!(
                rpc.stream(sockid, side) == sent,
                "{client}: the {side} side differs"
            );
        }
    }
    sockets
}

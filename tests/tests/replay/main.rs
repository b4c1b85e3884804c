//! `monitord replay`: generated captures through the real binary, every byte read back by ppeek.

#![expect(
    clippy::unwrap_used,
    reason = "a test says what it expects by unwrapping it"
)]

mod command;
mod formats;
mod inputs;
mod streams;

use std::fs;
use std::path::{Path, PathBuf};

use monitor_tests::wiregen::{End, Flow, Random};
use monitor_tests::{Daemon, Rpc};
use serde_json::{Value, json};
use tempfile::TempDir;

/// A directory for capture files.
struct Files(TempDir);

impl Files {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn write(&self, name: &str, content: &[u8]) -> PathBuf {
        let path = self.0.path().join(name);
        fs::write(&path, content).unwrap();
        path
    }
}

/// A whole connection with data both ways.
fn conversation(client: &str, server: &str, seed: u64) -> Flow {
    let mut random = Random::new(seed);
    let mut flow = Flow::new(client, server);
    flow.isn(random.number() as u32, random.number() as u32)
        .open();
    for _ in 0..3 {
        let (request, response) = (random.below(3000), random.below(40_000));
        flow.send(End::Client, &random.bytes(request))
            .send(End::Server, &random.bytes(response));
    }
    flow.close();
    flow
}

/// Replays one file and serves it.
fn served(file: &Path, settings: &str) -> (Daemon, Rpc) {
    let daemon = Daemon::replay(&[file], settings, &[]);
    daemon.finished();
    let rpc = daemon.rpc();
    (daemon, rpc)
}

/// The connection between these two ends.
#[track_caller]
fn connection(rpc: &mut Rpc, flow: &Flow, vlan: &[u16]) -> Value {
    let params =
        json!({"client": flow.client.to_string(), "server": flow.server.to_string(), "vlan": vlan});
    rpc.ok("lookup", params)
}

/// Asserts that both sides hold exactly the bytes sent.
#[track_caller]
fn assert_streams(rpc: &mut Rpc, flow: &Flow, vlan: &[u16]) -> Value {
    let socket = connection(rpc, flow, vlan);
    let sockid = socket["sockid"].as_u64().unwrap();
    for (end, side) in [(End::Client, "client"), (End::Server, "server")] {
        let stream = rpc.stream(sockid, side);
        assert!(
            stream == flow.received_by(end),
            "{side}: {} bytes differ from what was sent",
            stream.len()
        );
    }
    socket
}

/// Replays one flow in one file of one flavour: every byte, both sides closed, nothing else listed.
#[track_caller]
fn assert_served(file: &[u8], flow: &Flow, vlan: &[u16]) {
    let files = Files::new();
    let (daemon, mut rpc) = served(&files.write("capture", file), "");
    let socket = assert_streams(&mut rpc, flow, vlan);
    assert_eq!(
        (&socket["closed"], &socket["midstream"]),
        (&json!("fin"), &json!(false)),
        "{socket:#}"
    );
    assert_eq!(socket["vlan"], json!(vlan));
    assert_eq!(rpc.sockets(json!({})).len(), 1);
    rpc.nothing_lost();
    daemon.stop();
}

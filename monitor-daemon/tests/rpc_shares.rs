//! Users: the listeners and the memory that one user can hold, and the end of its listeners when it loses its role.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test states its expectations by unwrapping"
)]

mod rpc_common;

use std::fs;
use std::sync::Arc;

use monitor_daemon::config::{ConfigSource, LiveConfig};
use monitor_tests::{as_user, open_to_all, skip};
use rpc_common::engine_threads::EngineThreads;
use rpc_common::talk::{From, Talk};
use rpc_common::{Server, Wire, engines};
use serde_json::{Value, json};

/// Users that no system has.
const FIRST: u32 = 4_000_001;
const SECOND: u32 = 4_000_002;
const THIRD: u32 = 4_000_003;

fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

fn serve(memory: u64) -> (EngineThreads, Server) {
    let (threads, status) = EngineThreads::start(engines(1));
    let server = Server::start_with(status, |settings| {
        settings.mode = 0o666;
        settings.memory = memory;
    });
    open_to_all(&server.socket);
    (threads, server)
}

/// Connects `clients` clients of a user, each with `listeners` listeners.
fn listen(server: &Server, uid: u32, clients: usize, listeners: usize) -> Vec<Wire> {
    let mut wires: Vec<Wire> = as_user(uid, &[], || (0..clients).map(|_| server.wire()).collect());
    for wire in &mut wires {
        for _ in 0..listeners {
            wire.result("subscribe", json!({ "queue": 1 }));
        }
    }
    wires
}

fn refusal(error: &Value) -> (&str, &str) {
    (
        error["data"]["reason"].as_str().unwrap(),
        error["message"].as_str().unwrap(),
    )
}

#[test]
fn one_user_cannot_hold_all_listeners() {
    if !is_root() {
        skip!("needs root, to be other users");
    }
    let (_attended, server) = serve(512 << 20);
    let mut first = listen(&server, FIRST, 8, 64);
    let mut one_more = listen(&server, FIRST, 1, 0);
    let error = one_more[0].error("subscribe", json!({ "queue": 1 }));
    let (reason, message) = refusal(&error);
    assert_eq!(reason, "listeners");
    assert!(
        message.contains("this user have 512 listeners"),
        "{message}"
    );
    // Two users use up the common share, and the reserve is left to the daemon's own user.
    let _second = listen(&server, SECOND, 6, 64);
    let mut third = listen(&server, THIRD, 1, 0);
    let error = third[0].error("subscribe", json!({ "queue": 1 }));
    assert!(refusal(&error).1.contains("have 896 listeners"), "{error}");
    let mut own = server.wire();
    own.result("subscribe", json!({ "queue": 1 }));
    let number = first[0].result("stats", json!({}))["rpc"]["listeners"].clone();
    assert_eq!(number, 897);
    drop(first);
    let mut watcher = server.wire();
    monitor_tests::until("the listeners of that user are gone", || {
        let listeners = &watcher.result("stats", json!({}))["rpc"]["listeners"];
        (*listeners == 385).then_some(())
    });
    third[0].result("subscribe", json!({ "queue": 1 }));
}

#[test]
fn one_user_holds_at_most_half_of_the_memory_with_queues_and_replies_together() {
    if !is_root() {
        skip!("needs root, to be other users");
    }
    let (_attended, server) = serve(16 << 20);
    let mut first = listen(&server, FIRST, 2, 0);
    // Two clients of 256 KiB, and a queue of 65536 records: most of 8 MiB.
    first[0].result("subscribe", json!({ "queue": 65_536 }));
    let error = first[1].error("sockets", json!({ "sort": "bytes", "limit": 10_000 }));
    assert_eq!(refusal(&error).0, "memory");
    let error = first[1].error("subscribe", json!({ "queue": 65_536 }));
    assert_eq!(refusal(&error).0, "memory");
    let mut second = listen(&server, SECOND, 1, 0);
    second[0].result("sockets", json!({ "sort": "bytes", "limit": 10_000 }));
    drop(first);
    let mut watcher = server.wire();
    monitor_tests::until("its memory is free", || {
        let rpc = watcher.result("stats", json!({}))["rpc"].clone();
        (rpc["event_memory"] == 0 && rpc["reply_memory"] == 0).then_some(())
    });
}

#[test]
fn listeners_of_a_user_end_with_an_error_when_it_is_removed_from_the_readers() {
    if !is_root() {
        skip!("needs root, to be other users");
    }
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("config.toml");
    fs::write(&file, format!("[rpc]\nreaders = ['{FIRST}']\n")).unwrap();
    let source = ConfigSource::new(Some(&file), None);
    let config = source.read().unwrap();
    let (threads, mut status) = EngineThreads::start(engines(1));
    let rpc = config.rpc.clone();
    status.settings = Arc::new(LiveConfig::new(source, config));
    let server = Server::start_with(status, |settings| {
        settings.mode = 0o666;
        settings.readers = rpc.readers;
    });
    open_to_all(&server.socket);
    let mut talk = Talk::new("10.0.0.1:1000", "10.0.0.2:80");
    talk.open(&mut threads.engine(0));
    talk.say(&mut threads.engine(0), From::Client, b"abc");
    let sockid = talk.id(&threads.engine(0)).as_u64();
    let mut admin = server.wire();
    let mut wires = listen(&server, FIRST, 3, 0);
    wires[0].result("follow", json!({ "sockid": sockid, "off": 1_000_000 }));
    wires[1].result("subscribe", json!({}));
    // One that waits gets an error as the reply.
    let wait = json!({ "sockid": sockid, "side": "client", "off": 1_000_000, "timeout": 3600 });
    let request = json!({ "jsonrpc": "2.0", "id": 1, "method": "wait", "params": wait });
    wires[2].send_line(&request.to_string());
    monitor_tests::until("all of them listen", || {
        let listeners = admin.result("stats", json!({}))["rpc"]["listeners"].clone();
        (listeners == 3).then_some(())
    });
    fs::write(&file, "[rpc]\nreaders = ['root']\n").unwrap();
    admin.result("config.reload", json!({}));
    assert_eq!(wires[2].reply()["error"]["data"]["reason"], "permission");
    for wire in &mut wires[..2] {
        let reply = wire.reply();
        assert_eq!(reply["id"], Value::Null);
        let (reason, message) = refusal(&reply["error"]);
        assert_eq!(reason, "permission");
        assert!(message.contains("its listeners have ended"), "{message}");
        assert!(wire.at_end());
    }
    monitor_tests::until("none is left", || {
        let listeners = admin.result("stats", json!({}))["rpc"]["listeners"].clone();
        (listeners == 0).then_some(())
    });
}

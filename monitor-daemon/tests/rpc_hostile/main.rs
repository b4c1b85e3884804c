//! Clients that mean harm, or just do not read: the others get right answers at once, memory and descriptors stay
//! bounded. One test at a time, since they measure the whole process.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test says what it expects by unwrapping it"
)]

mod events;
mod requests;
#[path = "../rpc_common/mod.rs"]
mod rpc_common;

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use monitor_client::{Client, Side};
use monitor_daemon::control::Engine;
use rpc_common::{Wire, pattern, start};
use serde_json::json;

static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());

const MIB: usize = 1 << 20;

/// Longest time for an answer to a polite client while others misbehave, on a busy machine with two cores.
const PROMPT: Duration = Duration::from_secs(5);

/// Held by each test while it runs. One that failed does not make the others fail.
fn alone() -> MutexGuard<'static, ()> {
    ONE_AT_A_TIME.lock().unwrap_or_else(PoisonError::into_inner)
}

fn spoken(len: usize) -> (Vec<Engine>, u64) {
    let (engines, _, id) = start::spoken(&pattern(0, len));
    (engines, id)
}

fn raw_peek(sockid: u64, len: usize) -> String {
    let params =
        json!({ "sockid": sockid, "side": "server", "off": 0, "len": len, "encoding": "raw" });
    format!(
        "{}\n",
        json!({ "jsonrpc": "2.0", "id": 1, "method": "ppeek", "params": params })
    )
}

/// Waits until `condition` holds; the test fails if it never does.
fn eventually(what: &str, mut condition: impl FnMut() -> bool) {
    let start = Instant::now();
    while !condition() {
        assert!(
            start.elapsed() < Duration::from_secs(15),
            "never happened: {what}"
        );
        std::thread::sleep(Duration::from_millis(20));
    }
}

fn gauge(wire: &mut Wire, name: &str) -> u64 {
    wire.result("stats", json!({}))["rpc"][name]
        .as_u64()
        .unwrap()
}

/// Asks like any other program, and checks every answer.
fn polite_requests(client: &mut Client, sockid: u64, count: usize) {
    for index in 0..count {
        let start = Instant::now();
        let off = (index * 997 % 50_000) as u64;
        let read = client.ppeek(sockid, Side::Server, off, 1000).unwrap();
        assert!(read.bytes == pattern(off, 1000));
        assert!(start.elapsed() < PROMPT, "waited {:?}", start.elapsed());
    }
}

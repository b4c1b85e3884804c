//! Events over a real socket: subscribe, follow, wait.

#![allow(
    clippy::needless_pass_by_value,
    reason = "parameters are written where they are used"
)]
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test says what it expects by unwrapping it"
)]

mod capturing;
mod following;
#[path = "../rpc_common/mod.rs"]
mod rpc_common;
mod subscriptions;
mod waiting;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use rpc_common::start::{serve, talk};
use rpc_common::{Wire, pattern};
use serde_json::Value;

fn listener(wire: &mut Wire, method: &str, params: Value) -> u64 {
    wire.result(method, params)["sockid"].as_u64().unwrap()
}

/// The next events, as many as are named, in this order.
#[track_caller]
fn expect(wire: &mut Wire, names: &[&str]) -> Vec<Value> {
    let events: Vec<_> = names.iter().map(|_| wire.event()).collect();
    assert_eq!(
        events
            .iter()
            .map(|event| event["event"].as_str().unwrap())
            .collect::<Vec<_>>(),
        names,
        "{events:?}"
    );
    events
}

fn bytes(event: &Value) -> Vec<u8> {
    STANDARD.decode(event["data"].as_str().unwrap()).unwrap()
}

/// Reads lines until the reply; returns it, and the number of events before it.
fn reply_among_events(wire: &mut Wire) -> (Value, usize) {
    for events in 0.. {
        let line: Value = serde_json::from_str(&wire.line().unwrap()).unwrap();
        if line.get("method").is_none() {
            return (line, events);
        }
        if let Some(raw) = line["params"]["raw"].as_u64() {
            let off = line["params"]["off"].as_u64().unwrap();
            assert!(wire.raw(raw as usize) == pattern(off, raw as usize));
        }
    }
    unreachable!("lines do not end by themselves")
}

/// Reads a followed side until its end; returns its bytes, with zeros for holes, its gaps, and the reason for the end.
fn collect(wire: &mut Wire, side: &str) -> (Vec<u8>, Vec<(String, u64, u64)>, String) {
    let (mut stream, mut holes) = (Vec::new(), Vec::new());
    loop {
        let event = wire.event();
        let raw = event["raw"].as_u64().map(|raw| wire.raw(raw as usize));
        if event["side"] != side {
            continue;
        }
        let name = event["event"].as_str().unwrap().to_owned();
        if name == "end" {
            return (stream, holes, event["reason"].as_str().unwrap().to_owned());
        }
        let (off, len) = (
            event["off"].as_u64().unwrap(),
            event["len"].as_u64().unwrap(),
        );
        assert_eq!(
            off,
            stream.len() as u64,
            "in order, without a byte twice: {name}"
        );
        match raw {
            Some(raw) => stream.extend(raw),
            None if name == "data" => stream.extend(bytes(&event)),
            None => {
                stream.resize(stream.len() + len as usize, 0);
                holes.push((name, off, len));
            }
        }
        assert_eq!(stream.len() as u64, off + len);
    }
}

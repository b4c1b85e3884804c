//! `sockets`: its conditions, its orders, and its pages while connections come and go.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test says what it expects by unwrapping it"
)]
#![allow(
    clippy::needless_pass_by_value,
    reason = "parameters are written where they are used"
)]

mod rpc_common;

use std::collections::BTreeSet;

use monitor_daemon::control::Engine;
use monitor_daemon::events::Publisher;
use monitor_engine::{EngineConfig, SockId};
use rpc_common::talk::{From, Talk};
use rpc_common::{Server, Wire, engines};
use serde_json::{Value, json};

const SECOND: u64 = 1_000_000_000;

fn ids(page: &Value) -> Vec<u64> {
    page["sockets"]
        .as_array()
        .unwrap()
        .iter()
        .map(|socket| socket["sockid"].as_u64().unwrap())
        .collect()
}

/// Ten connections over two workers: number n opened n seconds after the first, carried n * 100 bytes, and lived for
/// ten seconds. Odd ones are closed. The last packet comes 20 s after the first.
fn ten() -> (Vec<Engine>, Vec<u64>) {
    let mut engines = engines(2);
    let mut talks = Vec::new();
    for number in 0..10_u64 {
        let engine = &mut engines[number as usize % 2];
        let mut talk = Talk::new(
            &format!("10.0.{number}.1:{}", 1000 + number),
            "192.0.2.1:80",
        );
        talk.vlan = if number == 9 { vec![7] } else { Vec::new() };
        talk.time += number * SECOND;
        talk.open(engine);
        talk.say(engine, From::Client, &vec![b'x'; number as usize * 60]);
        talk.say(engine, From::Server, &vec![b'x'; number as usize * 40]);
        talks.push(talk);
    }
    // An engine's time never goes back: connections end after all have begun.
    let ids = talks
        .iter()
        .enumerate()
        .map(|(number, talk)| talk.id(&engines[number % 2]).as_u64())
        .collect();
    for (number, talk) in talks.iter_mut().enumerate() {
        let engine = &mut engines[number % 2];
        talk.time += 10 * SECOND;
        if number % 2 == 1 {
            talk.reset(engine, From::Client);
        } else {
            talk.at(engine, From::Client, 0, b"");
        }
    }
    for engine in &mut engines {
        engine.advance((1_700_000_000 + 20) * SECOND);
    }
    (engines, ids)
}

#[test]
fn every_condition_must_hold() {
    let (engines, all) = ten();
    let server = Server::start(&engines);
    let mut wire = server.wire();
    let mut listed = |params: Value| {
        let found = ids(&wire.result("sockets", params));
        let mut numbers: Vec<_> = found
            .iter()
            .map(|id| all.iter().position(|it| it == id).unwrap())
            .collect();
        numbers.sort_unstable();
        numbers
    };
    assert_eq!(
        listed(json!({ "filter": "src net 10.0.4.0/24 or port 1006 or 1001" })),
        [1, 4, 6]
    );
    assert_eq!(
        listed(json!({ "filter": "dst host 192.0.2.1 and not src net 10.0" })),
        Vec::<usize>::new()
    );
    assert_eq!(listed(json!({ "filter": "vlan 7" })), [9]);
    assert_eq!(listed(json!({ "filter": "" })).len(), 10);
    assert_eq!(listed(json!({ "closed": true })), [1, 3, 5, 7, 9]);
    assert_eq!(listed(json!({ "closed": false })), [0, 2, 4, 6, 8]);
    // Each was opened a few microseconds after its second.
    assert_eq!(listed(json!({ "min_age": 17.5 })), [0, 1, 2]);
    assert_eq!(listed(json!({ "max_age": 13 })), [7, 8, 9]);
    assert_eq!(
        listed(json!({ "min_age": 13.5, "max_age": 16.5 })),
        [4, 5, 6]
    );
    assert_eq!(listed(json!({ "min_age": 1e300 })), Vec::<usize>::new());
    assert_eq!(listed(json!({ "min_bytes": 700 })), [7, 8, 9]);
    assert_eq!(listed(json!({ "min_bytes": 701 })), [8, 9]);
    let some = json!({ "min_bytes": 300, "closed": false, "filter": "portrange 1000-1007", "address": "10.0.0.0/8" });
    assert_eq!(listed(some), [4, 6]);
    let null = json!({ "filter": null, "closed": null, "min_age": null, "max_age": null, "min_bytes": null, "sort": null });
    assert_eq!(listed(null).len(), 10);
}

#[test]
fn the_first_of_an_order_are_listed() {
    let (engines, all) = ten();
    let server = Server::start(&engines);
    let mut wire = server.wire();
    let mut listed = |params: Value| {
        let page = wire.result("sockets", params);
        assert!(page["next"].is_null());
        ids(&page)
            .iter()
            .map(|id| all.iter().position(|it| it == id).unwrap())
            .collect::<Vec<_>>()
    };
    for sort in ["opened", "last", "bytes", "rate"] {
        assert_eq!(
            listed(json!({ "sort": sort })),
            [9, 8, 7, 6, 5, 4, 3, 2, 1, 0],
            "{sort}"
        );
        assert_eq!(
            listed(json!({ "sort": sort, "limit": 3 })),
            [9, 8, 7],
            "{sort}"
        );
        assert_eq!(
            listed(json!({ "sort": sort, "limit": 10_000, "closed": true })),
            [9, 7, 5, 3, 1],
            "{sort}"
        );
    }
    let top = wire.result("sockets", json!({ "sort": "bytes", "limit": 1 }));
    assert_eq!(
        top["sockets"][0],
        wire.result("info", json!({ "sockid": all[9] }))
    );
}

#[test]
fn wrong_conditions_are_named() {
    let (engines, all) = ten();
    let server = Server::start(&engines);
    let mut wire = server.wire();
    for (name, wrong) in [
        ("filter", json!({ "filter": "port" })),
        ("filter", json!({ "filter": 80 })),
        ("closed", json!({ "closed": "yes" })),
        ("min_age", json!({ "min_age": -1 })),
        ("min_age", json!({ "min_age": "1s" })),
        ("max_age", json!({ "max_age": -0.5 })),
        ("min_bytes", json!({ "min_bytes": 0.5 })),
        ("sort", json!({ "sort": "age" })),
        ("limit", json!({ "sort": "bytes", "limit": 10_001 })),
        ("limit", json!({ "sort": "bytes", "limit": 0 })),
        ("after", json!({ "sort": "bytes", "after": all[0] })),
    ] {
        let error = wire.error("sockets", wrong);
        assert_eq!(
            (&error["code"], &error["data"]["parameter"]),
            (&json!(-32602), &json!(name)),
            "{error}"
        );
        assert!(
            error["message"]
                .as_str()
                .unwrap()
                .contains(&format!("`{name}`")),
            "{error}"
        );
    }
    let error = wire.error(
        "sockets",
        json!({ "filter": "host 10.0.0.1 and port htpp" }),
    );
    assert_eq!(error["data"]["place"], 23);
    let message = error["message"].as_str().unwrap();
    assert!(
        message.ends_with("\n  host 10.0.0.1 and port htpp\n                         ^~~~"),
        "{message}"
    );
}

#[test]
fn sorting_takes_its_memory_from_the_replies() {
    let (engines, _) = ten();
    let server = Server::start_with(rpc_common::status(&engines), |rpc| rpc.memory = 1 << 20);
    let mut wire = server.wire();
    let error = wire.error("sockets", json!({ "sort": "bytes", "limit": 10_000 }));
    assert_eq!(
        (&error["code"], &error["data"]["reason"]),
        (&json!(11), &json!("memory"))
    );
    assert_eq!(
        ids(&wire.result("sockets", json!({ "sort": "bytes", "limit": 50 }))).len(),
        10
    );
    let server = Server::start(&engines);
    let mut wire = server.wire();
    wire.result("sockets", json!({ "sort": "bytes", "limit": 10_000 }));
    assert_eq!(
        wire.result("stats", json!({}))["rpc"]["reply_memory"],
        0,
        "it is given back"
    );
}

/// Walks all pages; between them, `change` does something to the connections.
fn walk(wire: &mut Wire, mut params: Value, mut change: impl FnMut()) -> Vec<u64> {
    let mut listed = Vec::new();
    loop {
        let page = wire.result("sockets", params.clone());
        listed.extend(ids(&page));
        if page["next"].is_null() {
            return listed;
        }
        params["after"] = page["next"].clone();
        change();
    }
}

#[test]
fn lasting_connections_are_listed_once_while_others_come_and_go() {
    // So small that connections push each other out.
    let config = EngineConfig {
        memory: 1 << 20,
        ..EngineConfig::default()
    };
    let mut engines = [Publisher::engine(config).unwrap()];
    let mut stay = Vec::new();
    let open = |engine: &mut Engine, number: usize, stays: bool| {
        let port = if stays { 443 } else { 80 };
        let client = format!("10.{}.{}.1:{}", number >> 8, number & 255, 1024 + number);
        let mut talk = Talk::new(&client, &format!("192.0.2.1:{port}"));
        talk.time += number as u64 * SECOND / 100;
        talk.open(engine);
        // Closed connections are evicted first.
        if stays {
            talk.say(engine, From::Client, b"x");
        } else {
            talk.reset(engine, From::Client);
        }
        talk.id(engine).as_u64()
    };
    let mut number = 0;
    for _ in 0..300 {
        let stays = number % 3 == 0;
        let id = open(&mut engines[0], number, stays);
        if stays {
            stay.push(id);
        }
        number += 1;
    }
    let server = Server::start(&engines);
    let mut wire = server.wire();
    let before = wire.result("sockets", json!({}));
    for limit in [1, 7, 64] {
        for filter in ["", "port 443"] {
            let params = json!({ "limit": limit, "filter": filter });
            let listed = walk(&mut wire, params, || {
                for _ in 0..20 {
                    open(&mut engines[0], number, false);
                    number += 1;
                }
            });
            let unique: BTreeSet<_> = listed.iter().copied().collect();
            assert_eq!(unique.len(), listed.len(), "none twice");
            assert!(
                stay.iter().all(|id| unique.contains(id)),
                "limit {limit}, filter {filter:?}"
            );
            assert!(listed.is_sorted_by_key(|id| SockId::from_u64(*id).unwrap().position()));
        }
    }
    let after = ids(&wire.result("sockets", json!({})));
    assert!(
        ids(&before).iter().any(|id| !after.contains(id)),
        "some went meanwhile"
    );
}

//! Every method, and every error, over a real socket.

#![allow(
    clippy::needless_pass_by_value,
    reason = "parameters are written where they are used"
)]
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test says what it expects by unwrapping it"
)]

mod listing;
mod reading;
#[path = "../rpc_common/mod.rs"]
mod rpc_common;
mod turns;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use monitor_daemon::control::Engine;
use rpc_common::talk::{From, Talk};
use rpc_common::{Server, engines};
use serde_json::{Value, json};

const ENDS: (&str, &str) = ("10.0.0.1:1234", "10.0.0.2:80");

/// Creates a connection with data in both directions.
fn spoken() -> (Vec<Engine>, Talk, u64) {
    let mut engines = engines(1);
    let mut talk = Talk::new(ENDS.0, ENDS.1);
    talk.open(&mut engines[0]);
    talk.say(&mut engines[0], From::Client, b"GET / HTTP/1.1\r\n\r\n");
    talk.say(
        &mut engines[0],
        From::Server,
        b"HTTP/1.1 200 OK\r\n\r\nhello",
    );
    let id = talk.id(&engines[0]).as_u64();
    (engines, talk, id)
}

fn peek(sockid: u64, side: Value, off: u64, len: u64) -> Value {
    json!({ "sockid": sockid, "side": side, "off": off, "len": len })
}

fn data(result: &Value) -> Vec<u8> {
    STANDARD.decode(result["data"].as_str().unwrap()).unwrap()
}

fn errno(error: &Value) -> (i64, &str, &str) {
    let text = |key: &str| error["data"][key].as_str().unwrap_or_default();
    (
        error["code"].as_i64().unwrap(),
        text("errno"),
        text("reason"),
    )
}

fn many() -> Vec<Engine> {
    let mut engines = engines(3);
    for number in 0..60_u16 {
        let engine = &mut engines[usize::from(number % 3)];
        let client = format!("10.{}.0.1:{}", number % 5, 2000 + number);
        let mut talk = Talk::new(
            &client,
            if number % 2 == 0 {
                "192.0.2.1:80"
            } else {
                "192.0.2.2:443"
            },
        );
        if number < 50 {
            talk.open(engine);
        } else {
            talk.syn(engine);
        }
    }
    engines
}

#[test]
fn hello_introduces_the_server() {
    let engines = engines(2);
    let server = Server::start(&engines);
    let mut wire = server.wire();
    let hello = wire.result("hello", json!({ "client": "test" }));
    assert_eq!(hello["version"], 1);
    assert!(hello["server"].as_str().unwrap().starts_with("monitord "));
    assert_eq!(hello["pid"], std::process::id());
    assert_eq!(
        hello["capture"],
        json!({ "mode": "replay", "path": null, "interfaces": ["a.pcap"], "workers": 2 })
    );
    assert_eq!(hello["max_len"], 16 << 20);
    for method in hello["methods"].as_array().unwrap() {
        let reply = wire.ask(method.as_str().unwrap(), json!({}));
        assert_ne!(
            reply["error"]["code"], -32601,
            "{method} is listed and not there"
        );
    }
}

#[test]
fn info_shows_a_connection() {
    let (engines, _, sockid) = spoken();
    let server = Server::start(&engines);
    let socket = server.wire().result("info", json!({ "sockid": sockid }));
    assert_eq!(socket["sockid"], sockid);
    assert_eq!(
        (&socket["client"], &socket["server"]),
        (&json!(ENDS.0), &json!(ENDS.1))
    );
    assert_eq!(socket["vlan"], json!([]));
    assert_eq!(
        socket["state"],
        json!({ "client": "ESTABLISHED", "server": "ESTABLISHED" })
    );
    assert_eq!(
        (&socket["closed"], &socket["midstream"], &socket["worker"]),
        (&json!(null), &json!(false), &json!(0))
    );
    let opened = socket["opened"].as_f64().unwrap();
    assert!(
        (1.7e9..1.7e9 + 1.0).contains(&opened) && socket["last"].as_f64().unwrap() > opened,
        "{socket}"
    );
    let side = &socket["sides"]["server"];
    let expected = json!({ "base": 0, "next": 18, "end": 18, "fin": null, "isn": 1000, "retained": 18, "gaps": 0,
        "retransmitted": 0, "conflicts": 0, "enabled": true, "window": 24 << 20, "overlap": "linux" });
    assert_eq!(*side, expected);
    assert_eq!(socket["sides"]["client"]["isn"], 0xffff_ff00_u32);
    assert_eq!(socket["sides"]["client"]["end"], 24);
}

#[test]
fn stats_sum_up_the_workers() {
    let engines = many();
    let server = Server::start(&engines);
    let mut wire = server.wire();
    wire.error("info", json!({ "sockid": 1_u64 << 52 }));
    let stats = wire.result("stats", json!({}));
    let capture = &stats["capture"];
    assert_eq!(
        (&capture["mode"], &capture["xdp"], &capture["finished"]),
        (&json!("replay"), &json!(null), &json!(true))
    );
    for name in [
        "rx_packets",
        "rx_bytes",
        "rx_dropped",
        "rx_ring_full",
        "fill_ring_empty",
        "passed",
    ] {
        assert!(capture[name].is_u64(), "{name}");
    }
    assert_eq!(stats["flows"]["active"], 60);
    assert_eq!(stats["flows"]["opened"], 60);
    assert_eq!(stats["flows"]["evicted"], 0);
    assert_eq!(
        stats["store"]["budget"].as_u64().unwrap() / 3 / (1 << 20),
        160
    );
    assert_eq!(stats["decode"]["packets"], 50 * 3 + 10);
    let workers = stats["workers"].as_array().unwrap();
    assert_eq!(workers.len(), 3);
    for (index, worker) in workers.iter().enumerate() {
        assert_eq!(
            (&worker["worker"], &worker["flows"]["active"]),
            (&json!(index), &json!(20))
        );
    }
    for (group, names) in [
        ("decode", &stats["decode"]),
        ("flows", &stats["flows"]),
        ("tcp", &stats["tcp"]),
    ] {
        for (name, sum) in names.as_object().unwrap() {
            let own: u64 = workers
                .iter()
                .map(|worker| worker[group][name].as_u64().unwrap())
                .sum();
            assert_eq!(sum.as_u64(), Some(own), "{group}.{name}");
        }
    }
    let rpc = &stats["rpc"];
    assert_eq!(
        (&rpc["clients"], &rpc["accepted"], &rpc["errors"]),
        (&json!(1), &json!(1), &json!(1))
    );
    assert_eq!(
        server.client().stats().unwrap().flows.get("active"),
        Some(60)
    );
}

#[test]
fn wrong_parameters_are_refused_in_plain_words() {
    let (engines, _, sockid) = spoken();
    let server = Server::start(&engines);
    let mut wire = server.wire();
    let good = peek(sockid, json!("server"), 0, 1);
    for (name, wrong) in [
        ("sockid", json!(-1)),
        ("sockid", json!("1")),
        ("sockid", json!(1_u64 << 53)),
        ("side", json!("middle")),
        ("side", json!(2)),
        ("off", json!(-5)),
        ("off", json!(0.5)),
        ("off", json!(u64::MAX)),
        ("off", json!(1e300)),
        ("len", json!(null)),
        ("len", json!(-1)),
        ("encoding", json!("hex")),
        ("worker", json!(-1)),
        ("offset", json!(0)),
    ] {
        let mut params = good.clone();
        params[name] = wrong;
        let error = wire.error("ppeek", params);
        assert_eq!(
            (&error["code"], &error["data"]["parameter"]),
            (&json!(-32602), &json!(name)),
            "{error}"
        );
    }
    for name in ["sockid", "side", "off", "len"] {
        let mut params = good.clone();
        params.as_object_mut().unwrap().remove(name);
        let error = wire.error("ppeek", params);
        assert_eq!(
            (&error["code"], &error["data"]["parameter"]),
            (&json!(-32602), &json!(name)),
            "{error}"
        );
    }
    assert_eq!(
        wire.error("ppeek", json!([sockid, "server", 0, 1]))["code"],
        -32602
    );
    assert_eq!(wire.error("pppeek", json!({}))["code"], -32601);
    assert_eq!(
        data(&wire.result("ppeek", good)),
        b"G",
        "and the connection goes on"
    );
}

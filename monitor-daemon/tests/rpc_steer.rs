//! `stop` and `configure` over a real socket, with engines that run their commands.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test says what it expects by unwrapping it"
)]

mod rpc_common;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use monitor_daemon::status::Status;
use rpc_common::engine_threads::EngineThreads;
use rpc_common::talk::{From, Talk};
use rpc_common::{Server, Wire, engines, start, status};
use serde_json::{Value, json};

const SERVER: &str = "10.0.0.2:80";

/// Starts a server with one worker, which monitors a connection with data in both directions.
fn spoken() -> (Server, EngineThreads, Talk, u64) {
    let (mut engines, mut talk, id) = start::spoken(&[1; 10_000]);
    talk.say(&mut engines[0], From::Server, b"answer");
    let (server, workers) = Server::with_threads(engines);
    (server, workers, talk, id)
}

/// Sends more bytes of an end.
fn say(workers: &EngineThreads, mut talk: Talk, from: From, bytes: &'static [u8]) -> Talk {
    workers.with(0, move |engine| {
        talk.say(engine, from, bytes);
        talk
    })
}

/// A new connection from this client port, on which the server says 20 000 bytes.
fn opened(workers: &EngineThreads, wire: &mut Wire, port: u16) -> Value {
    let client = format!("10.0.0.1:{port}");
    let mut talk = Talk::new(&client, SERVER);
    workers.with(0, move |engine| {
        talk.open(engine);
        talk.say(engine, From::Server, &[7; 20_000]);
    });
    wire.result("lookup", json!({ "client": client, "server": SERVER }))
}

fn errno(error: &Value) -> (i64, &str, &str) {
    let text = |key: &str| error["data"][key].as_str().unwrap_or_default();
    (
        error["code"].as_i64().unwrap(),
        text("errno"),
        text("reason"),
    )
}

fn peek(sockid: u64, side: &str) -> Value {
    json!({ "sockid": sockid, "side": side, "off": 0, "len": 100 })
}

#[test]
fn a_stopped_connection_is_closed_and_readable() {
    let (server, workers, talk, sockid) = spoken();
    let mut wire = server.wire();
    let stopped = wire.result("stop", json!({ "sockid": sockid }));
    assert_eq!(
        (&stopped["closed"], &stopped["sockid"]),
        (&json!("stopped"), &json!(sockid))
    );
    assert_eq!(wire.result("info", json!({ "sockid": sockid })), stopped);
    say(&workers, talk, From::Server, b"unheard");
    let read = wire.result("ppeek", peek(sockid, "client"));
    assert_eq!(
        STANDARD.decode(read["data"].as_str().unwrap()).unwrap(),
        b"answer"
    );
    let flows = wire.result("stats", json!({}))["flows"].take();
    assert_eq!(
        (&flows["stopped"], &flows["stopped_segments"]),
        (&json!(1), &json!(2))
    );
    assert_eq!(
        wire.result("stop", json!({ "sockid": sockid }))["closed"],
        "stopped",
        "again: as it is"
    );
}

#[test]
fn one_side_is_stopped_and_then_the_other() {
    let (server, workers, talk, sockid) = spoken();
    let mut wire = server.wire();
    let stopped = wire.result("stop", json!({ "sockid": sockid, "side": "server" }));
    assert_eq!(
        (&stopped["closed"], &stopped["sides"]["server"]["enabled"]),
        (&Value::Null, &json!(false))
    );
    say(&workers, talk, From::Server, b" goes on");
    let read = wire.result("ppeek", peek(sockid, "client"));
    assert_eq!(
        STANDARD.decode(read["data"].as_str().unwrap()).unwrap(),
        b"answer goes on"
    );
    for method in ["ppeek", "fragments"] {
        let mut params = peek(sockid, "server");
        if method == "fragments" {
            params = json!({ "sockid": sockid, "side": "server" });
        }
        assert_eq!(
            errno(&wire.error(method, params)),
            (22, "EINVAL", "disabled"),
            "{method}"
        );
    }
    assert_eq!(
        wire.result("stop", json!({ "sockid": sockid, "side": 0 }))["closed"],
        "stopped"
    );
}

#[test]
fn settings_of_a_live_connection_change() {
    let (server, workers, talk, sockid) = spoken();
    let mut wire = server.wire();
    let params = json!({ "sockid": sockid, "side": "server", "window": 4096, "overlap": "last" });
    let side = wire.result("configure", params)["sides"]["server"].take();
    assert_eq!(
        (&side["base"], &side["window"], &side["overlap"]),
        (&json!(5904), &json!(4096), &json!("last"))
    );
    let error = wire.error("ppeek", peek(sockid, "server"));
    assert_eq!(errno(&error), (61, "ENODATA", "evicted"));
    let talk = say(&workers, talk, From::Server, &[2; 10_000]);
    let sides = wire.result("info", json!({ "sockid": sockid }))["sides"].take();
    assert_eq!(
        (&sides["client"]["base"], &sides["client"]["overlap"]),
        (&json!(0), &json!("linux"))
    );

    let both = wire.result("configure", json!({ "sockid": sockid, "enabled": false }));
    assert_eq!(both["sides"]["client"]["enabled"], false);
    assert_eq!(both["sides"]["server"]["retained"], 0);
    say(&workers, talk, From::Client, &[3; 500]);
    let side = wire.result("info", json!({ "sockid": sockid }))["sides"]["server"].take();
    assert_eq!(
        (&side["base"], &side["next"], &side["retained"]),
        (&json!(10_500), &json!(10_500), &json!(0))
    );
    let error = wire.error("configure", json!({ "sockid": sockid, "window": 8192 }));
    assert_eq!(errno(&error), (22, "EINVAL", "disabled"));
}

#[test]
fn rules_are_for_connections_to_come() {
    let (server, workers, _, sockid) = spoken();
    let mut wire = server.wire();
    let rule =
        |wire: &mut Wire, params: Value| wire.result("configure", params)["rule"].as_u64().unwrap();
    let first = rule(
        &mut wire,
        json!({ "filter": "src port 2000", "side": "client", "enabled": false }),
    );
    let second = rule(
        &mut wire,
        json!({ "filter": "port 2000 or 2001", "window": 5000 }),
    );
    assert_ne!(first, second);
    assert_eq!(
        wire.result("info", json!({ "sockid": sockid }))["sides"]["client"]["window"],
        24 << 20
    );
    let kept = |socket: &Value| {
        (
            socket["sides"]["client"]["retained"].clone(),
            socket["sides"]["server"]["window"].clone(),
        )
    };
    assert_eq!(
        kept(&opened(&workers, &mut wire, 2000)),
        (json!(0), json!(24 << 20)),
        "the first, and only it"
    );
    assert_eq!(
        kept(&opened(&workers, &mut wire, 2001)),
        (json!(5000), json!(5000))
    );
    assert_eq!(
        kept(&opened(&workers, &mut wire, 2002)),
        (json!(20_000), json!(24 << 20))
    );
    assert_eq!(
        wire.result("configure", json!({ "rule": first, "remove": true })),
        json!({})
    );
    let error = wire.error("configure", json!({ "rule": first, "remove": true }));
    assert_eq!(
        (&error["code"], &error["data"]["parameter"]),
        (&json!(-32602), &json!("rule"))
    );
    let late = Talk::new("10.0.0.9:2000", SERVER);
    workers.with(0, move |engine| {
        let mut late = late;
        late.open(engine);
        late.say(engine, From::Server, &[7; 20_000]);
    });
    let late = wire.result(
        "lookup",
        json!({ "client": "10.0.0.9:2000", "server": SERVER }),
    );
    assert_eq!(kept(&late), (json!(5000), json!(5000)));
}

#[test]
fn there_are_as_many_rules_as_there_can_be() {
    let (server, _workers, ..) = spoken();
    let mut wire = server.wire();
    let params = json!({ "filter": "port 80", "enabled": false });
    let rules: Vec<_> = (0..64)
        .map(|_| wire.result("configure", params.clone())["rule"].clone())
        .collect();
    assert_eq!(
        errno(&wire.error("configure", params.clone())),
        (11, "EAGAIN", "rules")
    );
    wire.result("configure", json!({ "rule": rules[7], "remove": true }));
    let next = wire.result("configure", params)["rule"].clone();
    assert!(!rules.contains(&next), "a name is never used again");
}

#[test]
fn a_wrong_value_is_refused_with_its_parameter() {
    let (server, _workers, _, sockid) = spoken();
    let mut wire = server.wire();
    for (params, name) in [
        (json!({ "sockid": sockid, "window": 4095 }), "window"),
        (
            json!({ "sockid": sockid, "window": (160_u64 << 20) + 1 }),
            "window",
        ),
        (json!({ "sockid": sockid, "window": -1 }), "window"),
        (json!({ "sockid": sockid, "enabled": true }), "enabled"),
        (json!({ "sockid": sockid, "overlap": "windows" }), "overlap"),
        (
            json!({ "sockid": sockid, "filter": "", "enabled": false }),
            "filter",
        ),
        (
            json!({ "filter": "port http or", "enabled": false }),
            "filter",
        ),
        (
            json!({ "filter": "", "enabled": false, "worker": 0 }),
            "worker",
        ),
        (json!({ "sockid": sockid, "rule": 1 }), "rule"),
        (json!({ "rule": 1, "enabled": false }), "rule"),
        (json!({ "rule": 1 }), "remove"),
        (
            json!({ "sockid": sockid, "enabled": false, "remove": true }),
            "remove",
        ),
        (json!({ "rule": 77, "remove": true }), "rule"),
        (
            json!({ "sockid": sockid, "side": "both", "enabled": false }),
            "side",
        ),
    ] {
        let error = wire.error("configure", params.clone());
        assert_eq!(
            (&error["code"], &error["data"]["parameter"]),
            (&json!(-32602), &json!(name)),
            "{params}"
        );
        assert!(
            error["message"]
                .as_str()
                .unwrap()
                .contains(&format!("`{name}`")),
            "{error}"
        );
    }
    for params in [
        json!({}),
        json!({ "sockid": sockid }),
        json!({ "sockid": sockid, "side": 1 }),
        json!({ "filter": "" }),
    ] {
        assert_eq!(wire.error("configure", params)["code"], -32602);
    }
    let unknown = sockid + (1 << 6);
    for (method, params) in [
        ("stop", json!({ "sockid": unknown })),
        ("configure", json!({ "sockid": unknown, "enabled": false })),
        ("stop", json!({ "sockid": sockid + 1 })),
    ] {
        assert_eq!(
            errno(&wire.error(method, params)),
            (9, "EBADF", "no_connection"),
            "{method}"
        );
    }
    let error = wire.error("stop", json!({ "sockid": sockid, "worker": 1 }));
    assert_eq!(errno(&error), (13, "EACCES", "no_worker"));
    assert_eq!(
        wire.result("info", json!({ "sockid": sockid }))["closed"],
        Value::Null,
        "nothing was done"
    );
}

#[test]
fn a_listener_is_no_connection() {
    let (server, _workers, ..) = spoken();
    let mut wire = server.wire();
    let listener = wire.result("subscribe", json!({ "events": ["closed"] }))["sockid"].clone();
    for (method, params) in [
        ("stop", json!({ "sockid": listener })),
        ("configure", json!({ "sockid": listener, "enabled": false })),
    ] {
        let error = wire.error(method, params);
        assert_eq!(
            (error["code"].as_i64(), &error["data"]["errno"]),
            (Some(94), &json!("ESOCKTNOSUPPORT"))
        );
    }
}

#[test]
fn a_notification_is_carried_out() {
    let (server, _workers, _, sockid) = spoken();
    let mut wire = server.wire();
    let notification =
        json!({ "jsonrpc": "2.0", "method": "stop", "params": { "sockid": sockid } });
    wire.send_line(&notification.to_string());
    assert_eq!(
        wire.result("info", json!({ "sockid": sockid }))["closed"],
        "stopped"
    );
}

/// A worker that hangs delays its own clients only, for a bounded time.
#[test]
fn a_worker_that_does_not_answer_is_said_to() {
    let mut engines = engines(1);
    let mut talk = Talk::new("10.0.0.1:1234", SERVER);
    talk.open(&mut engines[0]);
    let sockid = talk.id(&engines[0]).as_u64();
    let idle: Status = status(&engines);
    let server = Server::start_with(idle, |_| {});
    let mut asking = server.wire();
    let request =
        json!({ "jsonrpc": "2.0", "id": 1, "method": "stop", "params": { "sockid": sockid } });
    asking.send_line(&request.to_string());
    let mut other = server.wire();
    assert_eq!(
        other.result("info", json!({ "sockid": sockid }))["sockid"],
        sockid
    );
    assert_eq!(
        errno(&asking.reply()["error"]),
        (11, "EAGAIN", "unanswered")
    );
}

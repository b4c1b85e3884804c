//! Turns of a conversation.

use serde_json::{Value, json};

use crate::rpc_common::Server;
use crate::rpc_common::talk::From;
use crate::{errno, spoken};

/// Side, offset and length of each turn.
fn places(reply: &Value) -> Vec<(&str, u64, u64)> {
    let turns = reply["turns"].as_array().unwrap();
    turns
        .iter()
        .map(|turn| {
            let side = turn["side"].as_str().unwrap();
            (side, number(turn, "off"), number(turn, "len"))
        })
        .collect()
}

fn number(object: &Value, name: &str) -> u64 {
    object[name].as_u64().unwrap()
}

#[test]
fn turns_come_in_the_order_of_the_conversation() {
    let (mut engines, mut talk, sockid) = spoken();
    // Two milliseconds.
    talk.time += 2_000_000;
    talk.say(&mut engines[0], From::Client, b"GET /more");
    talk.say(&mut engines[0], From::Server, b"404");
    let server = Server::start(&engines);
    let mut wire = server.wire();
    let reply = wire.result("turns", json!({ "sockid": sockid }));
    let expected = [
        ("server", 0, 18),
        ("client", 0, 24),
        ("server", 18, 9),
        ("client", 24, 3),
    ];
    assert_eq!(places(&reply), expected);
    assert_eq!(reply["next"], json!({ "client": 27, "server": 27 }));
    let times: Vec<f64> = reply["turns"]
        .as_array()
        .unwrap()
        .iter()
        .map(|turn| turn["time"].as_f64().unwrap())
        .collect();
    // SYN, SYN-ACK, ACK, then the request: a microsecond each.
    let expected = [0.000_004, 0.000_006, 0.002_008, 0.002_010];
    for (time, expected) in times.iter().zip(expected) {
        assert!(
            (time - 1_700_000_000.0 - expected).abs() < 5e-7,
            "{times:?}"
        );
    }
}

#[test]
fn pages_of_turns_follow_each_other() {
    let (engines, _, sockid) = spoken();
    let server = Server::start(&engines);
    let mut wire = server.wire();
    let first = wire.result("turns", json!({ "sockid": sockid, "limit": 1 }));
    assert_eq!(places(&first), [("server", 0, 18)]);
    assert_eq!(first["next"], json!({ "client": 0, "server": 18 }));
    let params = json!({ "sockid": sockid, "from": first["next"], "limit": 1_000_000 });
    let second = wire.result("turns", params);
    assert_eq!(places(&second), [("client", 0, 24)]);
    let params = json!({ "sockid": sockid, "from": second["next"] });
    let last = wire.result("turns", params);
    assert_eq!(last, json!({ "turns": [], "next": second["next"] }));
}

#[test]
fn wrong_parameters_of_turns_are_named() {
    let (engines, _, sockid) = spoken();
    let server = Server::start(&engines);
    let mut wire = server.wire();
    for (params, parameter) in [
        (json!({ "sockid": sockid, "limit": 0 }), "limit"),
        (json!({ "sockid": sockid, "from": 7 }), "from"),
        (json!({ "sockid": sockid, "from": { "client": 1 } }), "from"),
        (
            json!({ "sockid": sockid, "from": { "client": 1, "server": -1 } }),
            "from.server",
        ),
    ] {
        let error = wire.error("turns", params);
        assert_eq!(error["code"], -32602);
        assert_eq!(error["data"]["parameter"], parameter, "{error}");
    }
    let error = wire.error("turns", json!({ "sockid": 1_u64 << 52 }));
    assert_eq!(errno(&error), (9, "EBADF", "no_connection"));
}

/// Seconds since the start of a conversation, to a microsecond.
fn since_start(time: &Value) -> f64 {
    let time = time.as_f64().unwrap() - 1_700_000_000.0;
    (time * 1e6).round() / 1e6
}

#[test]
fn info_shows_the_times_of_fins_and_the_rst() {
    for from in [From::Client, From::Server] {
        let (mut engines, mut talk, sockid) = spoken();
        talk.time = 1_700_000_001_000_000_000;
        talk.fin(&mut engines[0], From::Client);
        talk.time = 1_700_000_002_000_000_000;
        let server = Server::start(&engines);
        let mut wire = server.wire();
        let open = wire.result("info", json!({ "sockid": sockid }));
        assert!((1.0..1.1).contains(&since_start(&open["fins"]["client"])));
        assert_eq!(open["fins"]["server"], json!(null));
        assert_eq!(open["reset"], json!(null));
        drop((wire, server));

        talk.reset(&mut engines[0], from);
        talk.time = 1_700_000_003_000_000_000;
        talk.reset(&mut engines[0], from);
        let server = Server::start(&engines);
        let listed = server.wire().result("sockets", json!({}));
        let closed = &listed["sockets"][0];
        assert_eq!(closed["closed"], "rst");
        assert_eq!(closed["fins"], open["fins"]);
        let name = if from == From::Client {
            "client"
        } else {
            "server"
        };
        assert_eq!(closed["reset"]["by"], name);
        assert!((2.0..2.1).contains(&since_start(&closed["reset"]["time"])));
        assert!(since_start(&closed["last"]) >= 3.0);
    }
}

#[test]
fn info_shows_the_fins_of_both_ends() {
    let (mut engines, mut talk, sockid) = spoken();
    talk.time = 1_700_000_001_000_000_000;
    talk.fin(&mut engines[0], From::Server);
    talk.time = 1_700_000_002_000_000_000;
    talk.fin(&mut engines[0], From::Client);
    let server = Server::start(&engines);
    let socket = server.wire().result("info", json!({ "sockid": sockid }));
    assert_eq!(socket["closed"], "fin");
    assert_eq!(socket["reset"], json!(null));
    assert!((1.0..1.1).contains(&since_start(&socket["fins"]["server"])));
    assert!((2.0..2.1).contains(&since_start(&socket["fins"]["client"])));
}

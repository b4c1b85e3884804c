//! `watch` over a real socket.

#![allow(
    clippy::needless_pass_by_value,
    reason = "parameters are written where they are used"
)]
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test says what it expects by unwrapping it"
)]

mod rpc_common;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use monitor_daemon::events::Publisher;
use monitor_engine::EngineConfig;
use rpc_common::engine_threads::EngineThreads;
use rpc_common::start::{serve, talk};
use rpc_common::talk::From;
use rpc_common::{Server, Wire, engines};
use serde_json::{Value, json};

const SECOND: u64 = 1_000_000_000;

/// The next event, which must be a match: side, offset, length and pattern.
#[track_caller]
fn found(wire: &mut Wire) -> (String, u64, u64, Value) {
    let event = wire.event();
    assert_eq!(event["event"], "match", "{event}");
    let number = |key: &str| event[key].as_u64().unwrap();
    (
        event["side"].as_str().unwrap().to_owned(),
        number("off"),
        number("len"),
        event["pattern"].clone(),
    )
}

/// Checks that no more events come: the reply to a request is next.
fn silent(wire: &mut Wire) {
    std::thread::sleep(std::time::Duration::from_millis(100));
    assert!(wire.result("stats", json!({}))["rpc"]["searched_bytes"].is_u64());
}

#[test]
fn patterns_are_found_whatever_segments_they_come_in() {
    let (threads, _server, mut wire) = serve(2);
    let patterns = json!(["secret=[0-9]+;", { "text": "HELLO", "nocase": true, "id": "greeting" },
        { "hex": "00fF01", "id": 77 }, { "regex": "^GET /", "nocase": true }]);
    let watching = wire.result("watch", json!({ "patterns": patterns, "context": 3 }));
    assert_eq!(watching["patterns"], 4);
    let mut talk = talk(1000);
    let mut engine = threads.engine(1);
    talk.open(&mut engine);
    let stream = b"get / secret=1234; and \x00\xff\x01";
    // Byte by byte, the second half in reverse order, and everything twice.
    let (first, second) = stream.split_at(10);
    for (off, byte) in first.iter().enumerate() {
        talk.at(&mut engine, From::Client, off as u64, &[*byte]);
    }
    for (index, byte) in second.iter().enumerate().rev() {
        talk.at(&mut engine, From::Client, 10 + index as u64, &[*byte]);
    }
    talk.at(&mut engine, From::Client, 0, stream);
    talk.say(&mut engine, From::Server, b"xx heLLo xx");
    let sockid = talk.id(&engine).as_u64();
    drop(engine);
    let first = wire.event();
    // The match, and the bytes that were behind it when it was found.
    let context = STANDARD
        .decode(first["context"]["data"].as_str().unwrap())
        .unwrap();
    assert!(
        context.len() >= 5 && b"get / se".starts_with(&context),
        "{first}"
    );
    assert_eq!(first["context"]["off"], 0);
    assert_eq!(
        (
            &first["sockid"],
            &first["listener"],
            &first["pattern"],
            &first["off"],
            &first["len"],
            first.get("cut")
        ),
        (
            &json!(sockid),
            &watching["sockid"],
            &json!(3),
            &json!(0),
            &json!(5),
            None
        )
    );
    assert!(
        (1_699_999_999.0..1_700_000_100.0).contains(&first["time"].as_f64().unwrap()),
        "{first}"
    );
    assert_eq!(found(&mut wire), ("server".to_owned(), 6, 12, json!(0)));
    assert_eq!(found(&mut wire), ("server".to_owned(), 23, 3, json!(77)));
    assert_eq!(
        found(&mut wire),
        ("client".to_owned(), 3, 5, json!("greeting"))
    );
    silent(&mut wire);
    wire.result("unsubscribe", json!({ "sockid": watching["sockid"] }));
    talk.say(&mut threads.engine(1), From::Server, b"hello");
    silent(&mut wire);
}

#[test]
fn connections_and_sides_are_chosen() {
    let (threads, _server, mut wire) = serve(1);
    let mut engine = threads.engine(0);
    let mut talks: Vec<_> = (1000..1003).map(talk).collect();
    talks.iter_mut().for_each(|talk| talk.open(&mut engine));
    let one = talks[2].id(&engine).as_u64();
    drop(engine);
    let by_filter = wire.result(
        "watch",
        json!({ "pattern": "x", "filter": "src port 1001", "side": "client" }),
    );
    let by_sockid = wire.result("watch", json!({ "pattern": "x", "sockid": one }));
    for talk in &mut talks {
        let mut engine = threads.engine(0);
        talk.say(&mut engine, From::Client, b"x");
        talk.say(&mut engine, From::Server, b"x");
    }
    let mut events: Vec<_> = (0..3).map(|_| wire.event()).collect();
    events.sort_by_key(|event| {
        (
            event["listener"].as_u64(),
            event["side"].as_str().map(str::to_owned),
        )
    });
    let expected = [
        (&by_filter, "client"),
        (&by_sockid, "client"),
        (&by_sockid, "server"),
    ];
    for (event, (listener, side)) in events.iter().zip(expected) {
        assert_eq!(
            (&event["listener"], &event["side"]),
            (&listener["sockid"], &json!(side)),
            "{event}"
        );
    }
    silent(&mut wire);
}

#[test]
fn holes_and_ends() {
    let (threads, _server, mut wire) = serve(1);
    wire.result("watch", json!({ "patterns": ["abcd", "cd$", r"\bend\b"] }));
    let mut talk = talk(1000);
    let mut engine = threads.engine(0);
    talk.open(&mut engine);
    talk.at(&mut engine, From::Client, 0, b"ab");
    talk.at(&mut engine, From::Client, 3, b"cd abcd");
    // The receiver has everything: the missing bytes were lost on the way to the monitor.
    talk.sent[0] = 10;
    talk.at(&mut engine, From::Server, 0, b"");
    talk.time += SECOND;
    engine.advance(talk.time);
    talk.at(&mut engine, From::Client, 2, b"-");
    talk.fin(&mut engine, From::Client);
    talk.say(&mut engine, From::Server, b"the end");
    talk.reset(&mut engine, From::Server);
    drop(engine);
    let mut all: Vec<_> = (0..3).map(|_| found(&mut wire)).collect();
    all.sort_by_key(|(_, off, _, pattern)| (pattern.as_u64(), *off));
    assert_eq!(
        all,
        [
            ("server".to_owned(), 6, 4, json!(0)),
            ("server".to_owned(), 8, 2, json!(1)),
            ("client".to_owned(), 4, 3, json!(2)),
        ]
    );
    silent(&mut wire);
}

#[test]
fn bytes_that_were_not_searched_are_reported() {
    let config = EngineConfig {
        memory: 4 << 20,
        window: 8 << 10,
        ..EngineConfig::default()
    };
    let (threads, status) = EngineThreads::start(vec![Publisher::engine(config).unwrap()]);
    let server = Server::start_with(status, |_| {});
    let mut wire = server.wire();
    wire.result("watch", json!({ "pattern": "needle" }));
    let mut talk = talk(1000);
    let mut engine = threads.engine(0);
    talk.open(&mut engine);
    // More than the window holds, at once.
    let mut bytes = vec![b'-'; 50_000];
    bytes[49_990..49_996].copy_from_slice(b"needle");
    talk.say(&mut engine, From::Client, &bytes);
    let base = engine.reader().connection(talk.id(&engine)).unwrap().sides[1].base;
    drop(engine);
    let lost = wire.event();
    assert_eq!(
        (&lost["event"], &lost["side"], &lost["off"], &lost["len"]),
        (&json!("lost"), &json!("server"), &json!(0), &json!(base)),
        "{lost}"
    );
    assert_eq!(found(&mut wire), ("server".to_owned(), 49_990, 6, json!(0)));
}

#[test]
fn wrong_patterns_are_refused_by_name() {
    let (_attended, server, mut wire) = serve(1);
    for (name, wrong) in [
        ("pattern", json!({})),
        ("pattern", json!({ "pattern": "a", "patterns": ["b"] })),
        ("pattern", json!({ "pattern": 7 })),
        ("pattern", json!({ "pattern": "a(" })),
        ("pattern", json!({ "pattern": "a*" })),
        ("pattern", json!({ "pattern": { "id": 1 } })),
        (
            "pattern",
            json!({ "pattern": { "text": "a", "hex": "00" } }),
        ),
        ("pattern", json!({ "pattern": { "hex": "0" } })),
        ("pattern", json!({ "pattern": { "hex": "+1" } })),
        ("patterns[1]", json!({ "patterns": ["a", "(?s)a.{3000}b"] })),
        ("patterns", json!({ "patterns": [] })),
        ("filter", json!({ "pattern": "a", "filter": "port" })),
        (
            "filter",
            json!({ "pattern": "a", "filter": "port 1", "sockid": 1 }),
        ),
        ("context", json!({ "pattern": "a", "context": 4097 })),
        ("queue", json!({ "pattern": "a", "queue": 0 })),
        ("side", json!({ "pattern": "a", "side": "both" })),
        ("colour", json!({ "pattern": "a", "colour": "red" })),
    ] {
        let filter_and_sockid = wrong.get("sockid").is_some();
        let error = wire.error("watch", wrong.clone());
        if filter_and_sockid && error["code"] == 9 {
            continue;
        }
        assert_eq!(
            (&error["code"], &error["data"]["parameter"]),
            (&json!(-32602), &json!(name)),
            "{wrong} {error}"
        );
    }
    let error = wire.error("watch", json!({ "pattern": "a(" }));
    assert!(
        error["message"]
            .as_str()
            .unwrap()
            .contains("unclosed group"),
        "{error}"
    );
    assert_eq!(
        wire.error("watch", json!({ "pattern": "a", "sockid": 1 << 20 }))["data"]["reason"],
        "no_connection"
    );
    drop(wire);
    drop(server);
    let (_attended, status) = EngineThreads::start(engines(1));
    let server = Server::start_with(status, |_| {});
    let error = server
        .wire()
        .error("watch", json!({ "patterns": vec!["a"; 10_001] }));
    assert!(
        error["message"]
            .as_str()
            .unwrap()
            .contains("10000 are possible"),
        "{error}"
    );
}

#[test]
fn patterns_that_match_at_every_byte_leave_other_clients_their_turn() {
    let config = EngineConfig {
        memory: 16 << 20,
        window: 1 << 20,
        ..EngineConfig::default()
    };
    let (threads, status) = EngineThreads::start(vec![Publisher::engine(config).unwrap()]);
    let server = Server::start_with(status, |_| {});
    let mut watchers = [server.wire(), server.wire()];
    let patterns: Vec<String> = (1..=25)
        .map(|count| format!("a[^z]*b{{{count}}}"))
        .collect();
    for wire in &mut watchers {
        wire.result("watch", json!({ "patterns": patterns }));
    }
    let mut talk = talk(1000);
    let mut engine = threads.engine(0);
    talk.open(&mut engine);
    talk.say(&mut engine, From::Client, b"a");
    for _ in 0..26 {
        talk.say(&mut engine, From::Client, &[b'b'; 10_000]);
        // Acknowledges them.
        talk.at(&mut engine, From::Server, 0, b"");
    }
    drop(engine);
    let mut other = server.wire();
    let searched = |wire: &mut Wire| {
        let stats = wire.result("stats", json!({}));
        stats["rpc"]["searched_bytes"].as_u64().unwrap()
    };
    // Without optimisation a step takes ten times as long: the bound is for that.
    let most = std::time::Duration::from_millis(500);
    while searched(&mut other) < 2 * 260_001 {
        let asked = std::time::Instant::now();
        other.result("sockets", json!({}));
        assert!(asked.elapsed() < most, "{:?}", asked.elapsed());
    }
    for wire in &mut watchers {
        let mut lengths: Vec<_> = (0..25).map(|_| wire.event()).collect();
        lengths.sort_by_key(|event| event["pattern"].as_u64());
        for (pattern, event) in (0..).zip(lengths) {
            assert_eq!(
                (
                    &event["pattern"],
                    &event["off"],
                    &event["len"],
                    event.get("cut")
                ),
                (&json!(pattern), &json!(0), &json!(pattern + 2), None),
                "each matches once"
            );
        }
        silent(wire);
    }
}

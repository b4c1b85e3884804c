//! Reads: offsets, holes, encodings, errors.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use monitor_daemon::events::Publisher;
use monitor_engine::{EngineConfig, SockId};
use serde_json::json;

use crate::rpc_common::talk::{From, Talk};
use crate::rpc_common::{Server, engines, pattern};
use crate::{ENDS, data, errno, peek, spoken};

#[test]
fn ppeek_reads_any_offset_of_both_sides() {
    let (engines, _, sockid) = spoken();
    let server = Server::start(&engines);
    let mut wire = server.wire();
    let whole = wire.result("ppeek", peek(sockid, json!("server"), 0, 100));
    assert_eq!(data(&whole), b"GET / HTTP/1.1\r\n\r\n");
    let rest = json!({ "off": 0, "len": 18, "base": 0, "next": 18, "end": 18, "fin": null, "eof": false,
        "data": STANDARD.encode(b"GET / HTTP/1.1\r\n\r\n") });
    assert_eq!(whole, rest);
    assert_eq!(
        data(&wire.result("ppeek", peek(sockid, json!("client"), 9, 6))),
        b"200 OK"
    );
    assert_eq!(
        data(&wire.result("ppeek", peek(sockid, json!(0), 9, 6))),
        b"200 OK"
    );
    assert_eq!(
        data(&wire.result("ppeek", peek(sockid, json!(1), 4, 1))),
        b"/"
    );
    let empty = wire.result("ppeek", peek(sockid, json!(1), 1_000_000, 0));
    assert_eq!(
        (&empty["len"], &empty["data"], &empty["off"]),
        (&json!(0), &json!(""), &json!(1_000_000))
    );
}

#[test]
fn a_fin_is_reported_as_eof() {
    let (mut engines, mut talk, sockid) = spoken();
    talk.fin(&mut engines[0], From::Client);
    let server = Server::start(&engines);
    let mut wire = server.wire();
    let read = wire.result("ppeek", peek(sockid, json!("server"), 0, 18));
    assert_eq!((&read["eof"], &read["fin"]), (&json!(true), &json!(18)));
    let read = wire.result("ppeek", peek(sockid, json!("server"), 0, 17));
    assert_eq!(read["eof"], false);
    let error = wire.error("ppeek", peek(sockid, json!("server"), 18, 1));
    assert_eq!(errno(&error), (61, "ENODATA", "eof"));
}

#[test]
fn out_of_order_bytes_are_read_and_holes_are_reported() {
    let (mut engines, mut talk, sockid) = spoken();
    talk.at(&mut engines[0], From::Client, 100, b"later");
    let server = Server::start(&engines);
    let mut wire = server.wire();
    let read = wire.result("ppeek", peek(sockid, json!("server"), 102, 100));
    assert_eq!(
        (data(&read), &read["next"], &read["end"]),
        (b"ter".to_vec(), &json!(18), &json!(105))
    );
    let short = wire.result("ppeek", peek(sockid, json!("server"), 10, 1000));
    assert_eq!(short["len"], 8, "a read stops at a hole");
    let error = wire.error("ppeek", peek(sockid, json!("server"), 18, 1));
    assert_eq!(errno(&error), (61, "ENODATA", "gap"));
    let place = json!({ "base": 0, "next": 18, "end": 105, "next_extent": 100 });
    for (key, value) in place.as_object().unwrap() {
        assert_eq!(error["data"][key], *value, "{key}");
    }
    let fragments = wire.result("fragments", json!({ "sockid": sockid, "side": "server" }));
    assert_eq!(
        fragments,
        json!({ "extents": [[0, 18], [100, 5]], "base": 0, "next": 18, "end": 105 })
    );
    let error = wire.error("ppeek", peek(sockid, json!("server"), 105, 1));
    assert_eq!(errno(&error), (61, "ENODATA", "future"));
    assert_eq!(error["data"]["next_extent"], json!(null));
    assert!(
        error["data"]
            .as_object()
            .unwrap()
            .contains_key("next_extent")
    );
}

#[test]
fn evicted_bytes_are_reported() {
    let config = EngineConfig {
        memory: 8 << 20,
        window: 64 << 10,
        ..EngineConfig::default()
    };
    let mut engine = Publisher::engine(config).unwrap();
    let mut talk = Talk::new(ENDS.0, ENDS.1);
    talk.open(&mut engine);
    let stream = pattern(0, 1 << 20);
    talk.say(&mut engine, From::Server, &stream);
    let sockid = talk.id(&engine).as_u64();
    let engines = [engine];
    let server = Server::start(&engines);
    let mut wire = server.wire();
    let error = wire.error("ppeek", peek(sockid, json!("client"), 0, 1));
    assert_eq!(errno(&error), (61, "ENODATA", "evicted"));
    let base = error["data"]["base"].as_u64().unwrap();
    assert!(base > 0 && error["data"]["end"] == 1 << 20, "{error}");
    let read = wire.result("ppeek", peek(sockid, json!("client"), base, 16 << 20));
    assert_eq!(data(&read), stream[base as usize..]);
}

#[test]
fn large_reads_come_whole_raw_and_in_base64() {
    let mut engines = engines(1);
    let mut talk = Talk::new(ENDS.0, ENDS.1);
    talk.open(&mut engines[0]);
    let stream = pattern(0, (17 << 20) + 5);
    talk.say(&mut engines[0], From::Client, &stream);
    let sockid = talk.id(&engines[0]).as_u64();
    let server = Server::start(&engines);
    let mut wire = server.wire();
    let longest = 16 << 20;
    for len in [
        1,
        3,
        1000,
        65_535,
        65_536,
        65_537,
        1 << 20,
        longest - 1,
        longest,
    ] {
        let mut params = peek(sockid, json!("server"), 3, len as u64);
        params["encoding"] = json!("raw");
        let head = wire.result("ppeek", params);
        assert_eq!(
            (&head["raw"], &head["len"], head.get("data")),
            (&json!(len), &json!(len), None)
        );
        assert!(
            wire.raw(len) == stream[3..3 + len],
            "raw bytes differ at length {len}"
        );
        let read = wire.result("ppeek", peek(sockid, json!("server"), 3, len as u64));
        assert!(
            data(&read) == stream[3..3 + len],
            "base64 bytes differ at length {len}"
        );
    }
    let mut params = peek(sockid, json!("server"), 0, 1 << 40);
    params["encoding"] = json!("raw");
    assert_eq!(
        wire.result("ppeek", params)["raw"],
        longest,
        "a longer read is cut to max_len"
    );
    assert!(wire.raw(longest) == stream[..longest]);
    assert_eq!(wire.result("stats", json!({}))["rpc"]["cut_reads"], 0);
}

#[test]
fn errors_of_connections() {
    let (mut engines, _, sockid) = spoken();
    let mut half = Talk::new("10.0.0.9:9", ENDS.1);
    half.syn(&mut engines[0]);
    let half = half.id(&engines[0]).as_u64();
    let id = SockId::from_u64(sockid).unwrap();
    let other_generation = SockId::new(id.worker(), id.slot(), id.generation() + 1).as_u64();
    let server = Server::start(&engines);
    let mut wire = server.wire();
    for gone in [
        other_generation,
        SockId::new(0, 9999, 1).as_u64(),
        SockId::new(62, 0, 0).as_u64(),
        (1 << 53) - 1,
    ] {
        for (method, params) in [
            ("info", json!({ "sockid": gone })),
            ("fragments", json!({ "sockid": gone, "side": 0 })),
            ("ppeek", peek(gone, json!(0), 0, 1)),
        ] {
            assert_eq!(
                errno(&wire.error(method, params)),
                (9, "EBADF", "no_connection"),
                "{method} {gone}"
            );
        }
    }
    let error = wire.error("ppeek", peek(half, json!("client"), 0, 1));
    assert_eq!(errno(&error), (107, "ENOTCONN", "not_established"));
    let mut params = peek(sockid, json!("client"), 0, 1);
    params["worker"] = json!(0);
    assert_eq!(wire.result("ppeek", params.clone())["len"], 1);
    params["worker"] = json!(1);
    assert_eq!(
        errno(&wire.error("ppeek", params)),
        (13, "EACCES", "no_worker")
    );
}

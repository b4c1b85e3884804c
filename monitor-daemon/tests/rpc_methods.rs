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

mod rpc_common;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use monitor_daemon::control::Engine;
use monitor_daemon::events::Publisher;
use monitor_engine::{EngineConfig, SockId};
use rpc_common::talk::{From, Talk};
use rpc_common::{Server, Wire, engines, pattern};
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
fn a_fin_is_told_as_eof() {
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
fn out_of_order_bytes_are_read_and_holes_are_told() {
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
fn evicted_bytes_are_told() {
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

#[test]
fn lookup_finds_the_newest() {
    let (mut engines, mut first, old) = spoken();
    first.reset(&mut engines[0], From::Client);
    let mut second = Talk::new(ENDS.0, ENDS.1);
    second.time = first.time + 1_000_000_000;
    second.isn = [77_000, 88_000];
    second.open(&mut engines[0]);
    let new = second.id(&engines[0]).as_u64();
    assert_ne!(old, new);
    let mut tagged = Talk::new(ENDS.0, ENDS.1);
    tagged.vlan = vec![5, 6];
    tagged.time = second.time + 1_000_000_000;
    tagged.open(&mut engines[0]);
    let tagged = tagged.id(&engines[0]).as_u64();
    let mut v6 = Talk::new("[2001:db8::1]:1000", "[2001:db8::2]:443");
    v6.open(&mut engines[0]);
    let v6 = v6.id(&engines[0]).as_u64();

    let server = Server::start(&engines);
    let mut wire = server.wire();
    let mut found = |params: Value| wire.result("lookup", params)["sockid"].as_u64().unwrap();
    assert_eq!(found(json!({ "client": ENDS.0, "server": ENDS.1 })), tagged);
    assert_eq!(
        found(json!({ "client": ENDS.0, "server": ENDS.1, "vlan": [] })),
        new
    );
    assert_eq!(
        found(json!({ "client": ENDS.0, "server": ENDS.1, "vlan": [5, 6] })),
        tagged
    );
    assert_eq!(
        found(json!({ "client": "[2001:db8:0::1]:1000", "server": "[2001:db8::2]:443" })),
        v6
    );
    for params in [
        json!({ "client": ENDS.1, "server": ENDS.0 }),
        json!({ "client": ENDS.0, "server": ENDS.1, "vlan": [5] }),
    ] {
        assert_eq!(
            errno(&wire.error("lookup", params)),
            (107, "ENOTCONN", "not_found")
        );
    }
    let closed = wire.result("info", json!({ "sockid": old }));
    assert_eq!(
        closed["closed"], "rst",
        "a closed connection stays readable"
    );
}

/// 60 connections over 3 workers, with different ports, addresses and states.
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

fn ids(page: &Value) -> Vec<u64> {
    page["sockets"]
        .as_array()
        .unwrap()
        .iter()
        .map(|socket| socket["sockid"].as_u64().unwrap())
        .collect()
}

fn pages(wire: &mut Wire, mut params: Value) -> Vec<Vec<u64>> {
    let mut pages = Vec::new();
    loop {
        let page = wire.result("sockets", params.clone());
        pages.push(ids(&page));
        if page["next"].is_null() {
            return pages;
        }
        assert_eq!(
            page["next"].as_u64().as_ref(),
            ids(&page).last(),
            "next is the last sockid of the page"
        );
        params["after"] = page["next"].clone();
    }
}

#[test]
fn sockets_are_listed_in_pages() {
    let engines = many();
    let server = Server::start(&engines);
    let mut wire = server.wire();
    let all = wire.result("sockets", json!({}));
    assert!(all["next"].is_null());
    let all = ids(&all);
    assert_eq!(all.len(), 60);
    let places: Vec<_> = all
        .iter()
        .map(|&id| SockId::from_u64(id).unwrap().position())
        .collect();
    assert!(places.is_sorted(), "{places:?}");
    for limit in [1, 7, 20, 59, 60, 61] {
        let pages = pages(&mut wire, json!({ "limit": limit }));
        assert!(pages.iter().all(|page| page.len() <= limit), "{limit}");
        assert_eq!(
            pages.len(),
            60_usize.div_ceil(limit),
            "no empty page at the end"
        );
        assert_eq!(pages.concat(), all, "{limit}");
    }
    let info = wire.result("info", json!({ "sockid": all[10] }));
    let listed = wire.result("sockets", json!({ "limit": 1, "after": all[9] }));
    assert_eq!(listed["sockets"][0], info);
    assert_eq!(
        server
            .client()
            .sockets(&Default::default())
            .unwrap()
            .sockets
            .len(),
        60
    );
}

#[test]
fn paging_goes_on_when_the_last_one_is_gone() {
    let engines = many();
    let server = Server::start(&engines);
    let mut wire = server.wire();
    let all = ids(&wire.result("sockets", json!({})));
    let last = SockId::from_u64(all[30]).unwrap();
    let gone = SockId::new(last.worker(), last.slot(), last.generation() + 9).as_u64();
    assert_eq!(
        ids(&wire.result("sockets", json!({ "after": gone }))),
        all[31..]
    );
}

#[test]
fn sockets_are_filtered() {
    let engines = many();
    let server = Server::start(&engines);
    let mut wire = server.wire();
    let mut count = |params: Value| ids(&wire.result("sockets", params)).len();
    assert_eq!(count(json!({ "port": 443 })), 30);
    assert_eq!(count(json!({ "port": 2010 })), 1);
    assert_eq!(count(json!({ "port": 1 })), 0);
    assert_eq!(count(json!({ "address": "10.3.0.1" })), 12);
    assert_eq!(count(json!({ "address": "10.0.0.0/15" })), 24);
    assert_eq!(count(json!({ "address": "192.0.2.2" })), 30);
    assert_eq!(count(json!({ "address": "2001:db8::/32" })), 0);
    assert_eq!(count(json!({ "state": "ESTABLISHED" })), 50);
    assert_eq!(count(json!({ "state": "syn-sent" })), 10);
    assert_eq!(
        count(json!({ "state": "ESTABLISHED", "port": 80, "address": "10.0.0.0/8" })),
        25
    );
    let port_80 = ids(&wire.result("sockets", json!({ "port": 80 })));
    assert_eq!(
        pages(&mut wire, json!({ "port": 80, "limit": 7 })).concat(),
        port_80
    );
    for (name, wrong) in [
        ("limit", json!(0)),
        ("limit", json!(1.5)),
        ("after", json!(63)),
        ("address", json!("10.0.0.0/33")),
        ("address", json!("example.org")),
        ("port", json!(65536)),
        ("state", json!("OPEN")),
        ("colour", json!("red")),
    ] {
        let error = wire.error("sockets", json!({ name: wrong }));
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

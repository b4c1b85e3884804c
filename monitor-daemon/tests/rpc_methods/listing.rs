//! Look-up and lists of connections.

use monitor_daemon::control::Engine;
use monitor_engine::SockId;
use serde_json::{Value, json};

use crate::rpc_common::hellos::{client_hello, server_hello};
use crate::rpc_common::talk::{From, Talk};
use crate::rpc_common::{Server, Wire, engines};
use crate::{ENDS, errno, many, spoken};

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

#[test]
fn a_socket_shows_the_tls_parameters() {
    let mut engines = engines(1);
    let mut talk = Talk::new(ENDS.0, ENDS.1);
    talk.open(&mut engines[0]);
    let info = |talk: &Talk, engines: &[Engine]| {
        let sockid = talk.id(&engines[0]).as_u64();
        let server = Server::start(engines);
        let info = server.wire().result("info", json!({ "sockid": sockid }));
        let list =
            |params: Value| server.wire().result("sockets", params)["sockets"][0]["tls"].clone();
        assert_eq!(list(json!({ "tls": true })), info["tls"]);
        assert_eq!(list(json!({})), Value::Null, "only if asked for");
        info["tls"].clone()
    };
    assert_eq!(info(&talk, &engines), Value::Null);
    talk.say(&mut engines[0], From::Client, &client_hello());
    let mut expected = json!({ "version": null, "sni": "a.test", "alpn": ["h2"] });
    assert_eq!(info(&talk, &engines), expected);
    talk.say(&mut engines[0], From::Server, &server_hello());
    expected["version"] = json!("TLSv1.3");
    assert_eq!(info(&talk, &engines), expected);
    // The hello leaves the window.
    let window = engines[0]
        .reader()
        .connection(talk.id(&engines[0]))
        .unwrap()
        .sides[1]
        .window;
    talk.say(&mut engines[0], From::Client, &vec![0; window as usize]);
    assert_eq!(
        info(&talk, &engines),
        json!({ "version": "TLSv1.3", "sni": null, "alpn": [] })
    );
}

/// 60 connections over 3 workers, with different ports, addresses and states.
pub fn ids(page: &Value) -> Vec<u64> {
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
fn paging_continues_when_the_last_connection_is_gone() {
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

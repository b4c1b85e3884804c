//! The RPC of the real daemon, as clients that share no code with it see it: the contract, method by method, error by error.

#![expect(
    clippy::unwrap_used,
    reason = "a test says what it expects by unwrapping it"
)]

mod errors;
mod framing;

use monitor_tests::wiregen::{Capture, End, Flow, Layers, Random, flags};
use monitor_tests::{Daemon, Rpc};
use serde_json::json;
use tempfile::TempDir;

/// Capture served by the daemon in these tests.
struct World {
    daemon: Daemon,
    /// Data both ways, closed by FINs.
    whole: Flow,
    /// The server's bytes 1448.. to 2896 were never captured; still open.
    holed: Flow,
    _files: TempDir,
}

impl World {
    fn new() -> Self {
        let mut random = Random::new(1);
        let mut whole = Flow::new("10.0.0.1:40000", "10.0.0.2:80");
        whole
            .open()
            .send(End::Client, b"question")
            .send(End::Server, &random.bytes(300_000))
            .close();
        let mut holed = Flow::new("[2001:db8::1]:40001", "[2001:db8::2]:443");
        holed.open().send(End::Server, &random.bytes(6000));
        let seq = holed.seq(End::Server, 1448);
        holed
            .segments
            .retain(|segment| segment.from == End::Client || segment.seq != seq);
        // Nothing but a SYN.
        let mut syn = Flow::new("10.0.0.3:1", "10.0.0.4:2");
        syn.segment(End::Client, flags::SYN, &[]);
        let captures = [&whole, &holed, &syn].map(|flow| Capture::of(&Layers::ethernet(), flow));
        let files = tempfile::tempdir().unwrap();
        let file = files.path().join("world.pcap");
        std::fs::write(&file, Capture::mix(captures).pcap()).unwrap();
        let daemon = Daemon::replay(&[&file], "[rpc]\nmode = '0600'\n", &[]);
        daemon.finished();
        Self {
            daemon,
            whole,
            holed,
            _files: files,
        }
    }

    fn lookup(rpc: &mut Rpc, flow: &Flow) -> u64 {
        let ends = json!({"client": flow.client.to_string(), "server": flow.server.to_string()});
        rpc.ok("lookup", ends)["sockid"].as_u64().unwrap()
    }
}

#[test]
fn every_method_of_the_first_step() {
    let world = World::new();
    let mut rpc = world.daemon.rpc();

    let hello = rpc.ok("hello", json!({"client": "rpc.rs"}));
    assert_eq!(
        (&hello["version"], &hello["pid"]),
        (&json!(1), &json!(world.daemon.pid()))
    );
    assert_eq!(hello["capture"]["mode"], "replay");
    assert_eq!(hello["max_len"], 16 << 20);
    for method in [
        "hello",
        "sockets",
        "lookup",
        "info",
        "fragments",
        "ppeek",
        "stats",
    ] {
        assert!(
            hello["methods"]
                .as_array()
                .unwrap()
                .contains(&json!(method)),
            "{method}: {hello}"
        );
    }

    assert_eq!(rpc.sockets(json!({})).len(), 3);
    assert_eq!(
        rpc.sockets(json!({"limit": 1})).len(),
        3,
        "through three pages"
    );
    assert_eq!(rpc.sockets(json!({"port": 443})).len(), 1);
    assert_eq!(rpc.sockets(json!({"address": "2001:db8::1"})).len(), 1);
    assert_eq!(rpc.sockets(json!({"address": "203.0.113.9"})).len(), 0);

    let sockid = World::lookup(&mut rpc, &world.whole);
    let info = rpc.ok("info", json!({ "sockid": sockid }));
    assert_eq!(
        (&info["client"], &info["server"]),
        (&json!("10.0.0.1:40000"), &json!("10.0.0.2:80"))
    );
    assert_eq!(
        (&info["closed"], &info["midstream"], &info["vlan"]),
        (&json!("fin"), &json!(false), &json!([]))
    );
    assert_eq!(info["sides"]["server"]["isn"], 1000);
    assert_eq!(info["sides"]["client"]["fin"], 300_000);
    assert_eq!(info["sides"]["client"]["retained"], 300_000);
    assert!(info["last"].as_f64() > info["opened"].as_f64());
    assert_eq!(info, rpc.sockets(json!({"port": 80}))[0]);

    let question = rpc.ok(
        "ppeek",
        json!({"sockid": sockid, "side": "server", "off": 0, "len": 100}),
    );
    assert_eq!(question["data"], "cXVlc3Rpb24=", "base64 of question");
    assert_eq!(
        (&question["len"], &question["eof"]),
        (&json!(8), &json!(true))
    );
    let numbered = rpc.ok(
        "ppeek",
        json!({"sockid": sockid, "side": 1, "off": 3, "len": 2}),
    );
    assert_eq!(
        (&numbered["data"], &numbered["eof"]),
        (&json!("c3Q="), &json!(false))
    );
    let nothing = rpc.ok(
        "ppeek",
        json!({"sockid": sockid, "side": "server", "off": 999, "len": 0}),
    );
    assert_eq!(nothing["len"], 0);

    let holed = World::lookup(&mut rpc, &world.holed);
    let fragments = rpc.ok("fragments", json!({"sockid": holed, "side": "client"}));
    assert_eq!(
        fragments["extents"],
        json!([[0, 1448], [2896, 6000 - 2896]])
    );
    let (_, bytes) = rpc.ppeek(holed, "client", 3000, 10_000).unwrap();
    assert_eq!(bytes, world.holed.received_by(End::Client)[3000..]);

    let stats = rpc.ok("stats", json!({}));
    assert_eq!(stats["flows"]["opened"], 3);
    for group in ["capture", "decode", "flows", "tcp", "store", "rpc"] {
        assert!(stats[group].is_object(), "{group}");
    }
    world.daemon.stop();
}

//! Every error of the protocol.

use monitor_tests::Daemon;
use monitor_tests::wiregen::{Capture, End, Flow, Layers, Random};
use serde_json::{Value, json};

use crate::World;

#[test]
fn every_error() {
    let world = World::new();
    let mut rpc = world.daemon.rpc();
    let (whole, holed) = (
        World::lookup(&mut rpc, &world.whole),
        World::lookup(&mut rpc, &world.holed),
    );
    let syn = rpc.sockets(json!({"port": 2}))[0]["sockid"].clone();
    let peek = |sockid: &Value, side: &str, off: u64| json!({"sockid": sockid, "side": side, "off": off, "len": 10});
    let (whole, holed) = (json!(whole), json!(holed));

    // Nothing will ever come at the FIN, nor behind it.
    for off in [8, 9] {
        let error = rpc.err("ppeek", peek(&whole, "server", off));
        assert_eq!(
            (error.code, &error.data["errno"]),
            (61, &json!("ENODATA")),
            "{error}"
        );
        assert_eq!(error.data["reason"], "eof", "{off}: {error}");
        assert_eq!(
            (&error.data["next"], &error.data["end"]),
            (&json!(8), &json!(8))
        );
    }
    let error = rpc.err("ppeek", peek(&holed, "client", 2000));
    assert_eq!(
        (&error.data["reason"], &error.data["next_extent"]),
        (&json!("gap"), &json!(2896))
    );
    let error = rpc.err("ppeek", peek(&holed, "client", 6000));
    assert_eq!(error.data["reason"], "future");

    let error = rpc.err("ppeek", peek(&syn, "server", 0));
    assert_eq!(
        (error.code, &error.data["errno"]),
        (107, &json!("ENOTCONN")),
        "{error}"
    );
    let error = rpc.err(
        "lookup",
        json!({"client": "10.0.0.9:1", "server": "10.0.0.2:80"}),
    );
    assert_eq!(
        (error.code, &error.data["errno"]),
        (107, &json!("ENOTCONN")),
        "{error}"
    );
    for unknown in [(1_u64 << 53) - 1, 1 << 40] {
        let error = rpc.err("info", json!({ "sockid": unknown }));
        assert_eq!(
            (error.code, &error.data["errno"]),
            (9, &json!("EBADF")),
            "{error}"
        );
    }

    for (method, params, names) in [
        (
            "ppeek",
            json!({"sockid": whole, "side": "server", "off": 0, "len": 1, "colour": 1}),
            "colour",
        ),
        (
            "ppeek",
            json!({"sockid": whole, "side": "left", "off": 0, "len": 1}),
            "side",
        ),
        (
            "ppeek",
            json!({"sockid": whole, "side": "server", "off": -1, "len": 1}),
            "off",
        ),
        (
            "ppeek",
            json!({"sockid": whole, "side": "server", "len": 1}),
            "off",
        ),
        (
            "ppeek",
            json!({"sockid": 1.5, "side": "server", "off": 0, "len": 1}),
            "sockid",
        ),
        ("info", json!({}), "sockid"),
        (
            "lookup",
            json!({"client": "nonsense", "server": "10.0.0.2:80"}),
            "client",
        ),
        ("sockets", json!({"port": 70_000}), "port"),
    ] {
        let error = rpc.err(method, params.clone());
        assert_eq!(error.code, -32602, "{method} {params}: {error}");
        assert!(error.message.contains(names), "{method} {params}: {error}");
    }
    assert_eq!(rpc.err("nosuchmethod", json!({})).code, -32601);
    world.daemon.stop();
}

#[test]
fn bytes_behind_the_window_are_evicted() {
    let mut flow = Flow::new("10.0.0.1:40000", "10.0.0.2:80");
    flow.open()
        .send(End::Server, &Random::new(2).bytes(3 << 20))
        .close();
    let files = tempfile::tempdir().unwrap();
    let file = files.path().join("long.pcap");
    std::fs::write(&file, Capture::of(&Layers::ethernet(), &flow).pcap()).unwrap();
    let daemon = Daemon::replay(&[&file], "[store]\nwindow = '1MiB'\n", &[]);
    daemon.finished();
    let mut rpc = daemon.rpc();
    let sockid = World::lookup(&mut rpc, &flow);
    let side = rpc.side(sockid, "client");
    let base = side["base"].as_u64().unwrap();
    assert_eq!(side["next"], 3 << 20);
    assert!(
        base > 0 && side["retained"].as_u64().unwrap() >= (1 << 20) - (64 << 10),
        "{side}"
    );
    let error = rpc.err(
        "ppeek",
        json!({"sockid": sockid, "side": "client", "off": base - 1, "len": 1}),
    );
    assert_eq!(
        (error.code, &error.data["reason"], &error.data["base"]),
        (61, &json!("evicted"), &json!(base))
    );
    let (_, bytes) = rpc.ppeek(sockid, "client", base, 4 << 20).unwrap();
    assert!(bytes == flow.received_by(End::Client)[base as usize..]);
    daemon.stop();
}

//! Settings of connections, and rules for new ones.

use monitor_tests::wiregen::flags::{ACK, PSH, SYN};
use monitor_tests::wiregen::{Capture, End, Flow, Layers, Random};
use monitor_tests::{Daemon, Network, Pair, Rpc, Transfer, exchange, inject, needs, until};
use serde_json::json;

use crate::{content, rest, settings};

#[test]
fn rules_are_followed_by_connections_to_come() {
    needs!();
    let Pair { a, b } = Network::default().pair();
    let daemon = Daemon::start(&a, &settings("tap"));
    let mut rpc = daemon.rpc();
    let rule = rpc.ok(
        "configure",
        json!({"filter": "dst port 7001", "side": "client", "enabled": false}),
    );
    let bytes = Random::new(1).bytes(300_000);
    let transfers = [Transfer {
        request: &bytes[..5000],
        response: &bytes,
    }];
    let check = |rpc: &mut Rpc, port: u16, kept: u64| {
        exchange(
            &a,
            &b,
            format!("10.9.0.1:{port}").parse().unwrap(),
            &transfers,
        );
        let socket = rpc.complete(port, 1).remove(0);
        let retained = |side: &str| socket["sides"][side]["retained"].as_u64().unwrap();
        assert_eq!(
            (retained("client"), retained("server")),
            (kept, 5000),
            "port {port}"
        );
        assert_eq!(socket["sides"]["client"]["fin"], 300_000, "port {port}");
    };
    check(&mut rpc, 7001, 0);
    check(&mut rpc, 7002, 300_000);
    rpc.ok("configure", json!({"rule": rule["rule"], "remove": true}));
    let rule = rpc.ok(
        "configure",
        json!({"filter": "net 10.9.0.0/16", "side": "client", "window": 10_000}),
    );
    assert!(rule["rule"].is_u64());
    check(&mut rpc, 7003, 10_000);
    daemon.stop();
}

#[test]
fn another_overlap_policy_decides_on_a_live_connection() {
    needs!("python3");
    let Pair { a, b } = Network::default().pair();
    let daemon = Daemon::start(&a, &settings("mirror"));
    let mut rpc = daemon.rpc();
    for (port, policy, expected) in [(81, "last", b"xNEWNEWy"), (82, "first", b"xOLDOLDy")] {
        let mut flow = Flow::new("192.0.2.1:40000", &format!("192.0.2.2:{port}"));
        flow.open();
        let seq = |flow: &Flow, offset| flow.seq(End::Client, offset);
        let at = seq(&flow, 1);
        flow.segment_at(End::Client, at, PSH | ACK, b"OLDOLD");
        inject(&b, "veth", &rest(&flow, 0), &[0]);
        let socket = until("the segment ahead of a hole", || {
            let socket = rpc.sockets(json!({ "port": port })).pop()?;
            (socket["sides"]["server"]["end"] == 7).then_some(socket)
        });
        let sockid = socket["sockid"].as_u64().unwrap();
        let params = json!({"sockid": sockid, "side": "server", "overlap": policy});
        assert_eq!(
            rpc.ok("configure", params)["sides"]["server"]["overlap"],
            policy
        );
        let before = flow.segments.len();
        let (zero, seven) = (seq(&flow, 0), seq(&flow, 7));
        flow.segment_at(End::Client, at, PSH | ACK, b"NEWNEW");
        flow.segment_at(End::Client, seven, PSH | ACK, b"y")
            .segment_at(End::Client, zero, PSH | ACK, b"x");
        inject(&b, "veth", &rest(&flow, before), &[0]);
        let bytes = until("all bytes", || {
            rpc.ppeek(sockid, "server", 0, 100)
                .ok()
                .map(|(_, bytes)| bytes)
                .filter(|bytes| bytes.len() == 8)
        });
        assert_eq!(bytes, expected, "{policy}");
    }
    daemon.stop();
}

/// After the files' end there are workers still.
#[test]
fn connections_of_a_replay_are_stopped_and_configured() {
    let mut flow = Flow::new("192.0.2.1:40000", "192.0.2.2:80");
    flow.open().send(End::Client, &content(0, 100_000)).close();
    let mut stray = Flow::new("192.0.2.1:40001", "192.0.2.2:80");
    stray.segment(End::Client, SYN, &[]);
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("two.pcap");
    let captures = [&flow, &stray].map(|flow| Capture::of(&Layers::ethernet(), flow));
    std::fs::write(&file, Capture::mix(captures).pcap()).unwrap();
    let daemon = Daemon::replay(&[&file], "", &[]);
    daemon.finished();
    let mut rpc = daemon.rpc();
    let find = |rpc: &mut Rpc, client: &str| {
        rpc.ok(
            "lookup",
            json!({"client": client, "server": "192.0.2.2:80"}),
        )["sockid"]
            .as_u64()
            .unwrap()
    };
    let closed = find(&mut rpc, "192.0.2.1:40000");
    let side =
        rpc.ok("configure", json!({"sockid": closed, "window": 5000}))["sides"]["server"].take();
    assert_eq!(
        (&side["base"], &side["retained"]),
        (&json!(95_000), &json!(5000))
    );
    assert_eq!(
        rpc.ok("stop", json!({"sockid": closed}))["closed"],
        "fin",
        "it was over"
    );
    let open = find(&mut rpc, "192.0.2.1:40001");
    assert_eq!(rpc.ok("stop", json!({"sockid": open}))["closed"], "stopped");
    daemon.stop();
}

//! `decode.tunnels`: connections inside tunnels, in a live capture and in files.

use std::process::Command;

use monitor_tests::wiregen::{Capture, End, Flow, Frame, Layers, LinkLayer, Random};
use monitor_tests::{Daemon, Network, Nginx, Pair, Program, needs, skip, until};
use serde_json::{Value, json};

/// Returns the only connection at a port of the server, once it is closed.
#[track_caller]
fn closed(rpc: &mut monitor_tests::Rpc, port: u16) -> Value {
    rpc.complete(port, 1).remove(0)
}

#[test]
fn a_connection_in_a_live_vxlan_tunnel() {
    needs!("nginx", "curl");
    let Pair { a, b } = Network::default().pair();
    for (namespace, own, other) in [(&a, 1, 2), (&b, 2, 1)] {
        let device = format!(
            "link add vx type vxlan id 77 local 10.9.0.{own} remote 10.9.0.{other} dstport 4789 dev veth"
        );
        let mut add = namespace.command("ip");
        let added = Program::start(add.args(device.split_whitespace())).finish();
        if !added.status.success() {
            skip!("needs a kernel with VXLAN: {}", added.stderr.trim());
        }
        namespace.ip(&format!("address add 10.77.0.{own}/24 dev vx"));
        namespace.ip("link set vx up");
    }
    let body = Random::new(1).bytes(3_000_000);
    let server = Nginx::start(&a, 8080);
    server.serve("file", &body);
    for path in ["packet", "xdp"] {
        let settings = |tunnels: &str| {
            format!(
                "[capture]\ninterfaces = ['veth']\npath = '{path}'\nworkers = 2\nbuffers = '128MiB'\n\
                 [store]\nwindow = '8MiB'\nmemory = '64MiB'\n[decode]\ntunnels = {tunnels}\n"
            )
        };
        let fetch = || {
            let output = Program::run(b.command("curl").args(["-s", "http://10.77.0.1:8080/file"]));
            assert!(output.stdout == body, "curl received other bytes");
        };
        let daemon = Daemon::start(&a, &settings("['vxlan']"));
        fetch();
        let mut rpc = daemon.rpc();
        let socket = closed(&mut rpc, 8080);
        assert_eq!(
            socket["tunnels"],
            json!([{"kind": "vxlan", "id": 77, "ends": ["10.9.0.1", "10.9.0.2"]}]),
            "{path}: {socket:#}"
        );
        assert_eq!(
            (&socket["closed"], &socket["midstream"]),
            (&json!("fin"), &json!(false))
        );
        let sockid = socket["sockid"].as_u64().unwrap();
        let response = rpc.stream(sockid, "client");
        assert!(
            response.ends_with(&body),
            "{path}: {} bytes",
            response.len()
        );
        let request = rpc.stream(sockid, "server");
        assert!(request.starts_with(b"GET /file HTTP/1.1\r\n"), "{path}");
        rpc.nothing_lost();
        daemon.stop();

        let daemon = Daemon::start(&a, &settings("[]"));
        fetch();
        let mut rpc = daemon.rpc();
        until("packets that are not followed", || {
            let stats = rpc.ok("stats", json!({}));
            let names = ["xdp_not_tcp", "tap_not_tcp", "packet_not_tcp"];
            let passed = names
                .iter()
                .filter_map(|name| stats["capture"][name].as_u64());
            (passed.sum::<u64>() > 100).then_some(())
        });
        assert_eq!(rpc.sockets(json!({})).len(), 0, "{path}");
        daemon.stop();
    }
}

/// Puts each frame, an IP packet, into a VXLAN packet between two hosts.
fn tunneled(inner: &Capture, vni: u32) -> Capture {
    let wrap = |frame: &Frame| {
        let mut data = vec![2, 0, 0, 0, 0, 2, 2, 0, 0, 0, 0, 1, 8, 0];
        let vxlan = [&[8, 0, 0, 0][..], &(vni << 8).to_be_bytes(), &frame.data].concat();
        let udp = [40_000, 4789, 8 + vxlan.len() as u16, 0].map(u16::to_be_bytes);
        data.extend([0x45, 0]);
        data.extend((28 + vxlan.len() as u16).to_be_bytes());
        data.extend([0, 0, 0, 0, 64, 17, 0, 0, 192, 0, 2, 1, 192, 0, 2, 2]);
        data.extend(udp.concat());
        data.extend(vxlan);
        Frame {
            time: frame.time,
            data,
        }
    };
    Capture {
        link_type: LinkLayer::Ethernet.link_type(),
        frames: inner.frames.iter().map(wrap).collect(),
    }
}

#[test]
fn tunnels_in_a_file_separate_connections_with_equal_addresses() {
    let flow = |seed| {
        let mut random = Random::new(seed);
        let mut flow = Flow::new("10.0.0.1:40000", "10.0.0.2:80");
        flow.open();
        for end in [End::Client, End::Server, End::Client] {
            flow.send(end, &random.bytes(3000));
        }
        flow.close();
        flow
    };
    let (red, blue) = (flow(1), flow(2));
    let inner = |flow: &Flow| Capture::of(&Layers::ethernet(), flow);
    let mixed = Capture::mix([tunneled(&inner(&red), 1), tunneled(&inner(&blue), 2)]);
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("tunnels.pcap");
    std::fs::write(&file, mixed.pcap()).unwrap();
    for workers in [1, 3] {
        let settings =
            format!("[capture]\nworkers = {workers}\n[decode]\ntunnels = ['vxlan', 'gre']\n");
        let daemon = Daemon::replay(&[&file], &settings, &[]);
        daemon.finished();
        let mut rpc = daemon.rpc();
        let sockets = rpc.sockets(json!({}));
        assert_eq!(sockets.len(), 2, "{sockets:#?}");
        for (flow, vni) in [(&red, 1), (&blue, 2)] {
            let socket = sockets
                .iter()
                .find(|socket| socket["tunnels"][0]["id"] == vni);
            let sockid = socket.unwrap()["sockid"].as_u64().unwrap();
            for (end, side) in [(End::Client, "client"), (End::Server, "server")] {
                assert!(
                    rpc.stream(sockid, side) == flow.received_by(end),
                    "{vni} {side}"
                );
            }
        }
        daemon.stop();
    }
}

#[test]
fn an_unknown_kind_of_tunnel_is_refused_with_the_known_ones() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("config.toml");
    std::fs::write(&file, "[decode]\ntunnels = ['vxlan', 'vlan']\n").unwrap();
    let mut check = Command::new(monitor_tests::monitord());
    let finished = Program::start(check.arg("--check-config").arg("--config").arg(&file)).finish();
    assert!(!finished.status.success());
    for word in ["line 2", "tunnels", "\"vlan\"", "\"geneve\""] {
        assert!(
            finished.stderr.contains(word),
            "{word}: {}",
            finished.stderr
        );
    }
}

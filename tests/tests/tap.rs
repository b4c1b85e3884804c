//! `tap`: this host's own connections, captured while they run.

#![expect(
    clippy::unwrap_used,
    reason = "a test says what it expects by unwrapping it"
)]

use std::net::SocketAddr;

use monitor_tests::wiregen::{Capture, End, Flow, Layers, Random};
use monitor_tests::{
    Daemon, Namespace, Network, Nginx, Pair, Program, Rpc, Transfer, exchange, inject, needs, skip,
    until,
};
use serde_json::{Value, json};

const MIB: usize = 1 << 20;

/// Settings that lose nothing at full speed on a busy machine: `window` and `memory` in MiB.
fn tap(interfaces: &str, workers: u32, window: usize, memory: usize) -> String {
    format!(
        "[capture]\nmode = 'tap'\ninterfaces = [{interfaces}]\nworkers = {workers}\nbuffers = '256MiB'\n\
         [store]\nwindow = '{window}MiB'\nmemory = '{memory}MiB'\n"
    )
}

/// Asserts that the connections on `port` are exactly these transfers, each byte of each side; returns them as listed.
#[track_caller]
fn assert_captured(
    rpc: &mut Rpc,
    port: u16,
    clients: &[SocketAddr],
    transfers: &[Transfer<'_>],
) -> Vec<Value> {
    let sockets = rpc.complete(port, transfers.len());
    rpc.nothing_lost();
    for (client, transfer) in clients.iter().zip(transfers) {
        let found = sockets
            .iter()
            .filter(|socket| socket["client"] == client.to_string());
        let found: Vec<_> = found.collect();
        assert_eq!(found.len(), 1, "one connection of {client}");
        let sockid = found[0]["sockid"].as_u64().unwrap();
        for (side, sent) in [("server", transfer.request), ("client", transfer.response)] {
            assert!(
                rpc.stream(sockid, side) == sent,
                "{client}: the {side} side differs"
            );
        }
    }
    sockets
}

#[test]
fn nginx_serves_100_mb_to_curl_on_lo() {
    needs!("nginx", "curl", "ss");
    let namespace = Namespace::new();
    let nginx = Nginx::start(&namespace, 8080);
    let body = Random::new(1).bytes(100_000_000);
    nginx.serve("file", &body);
    let daemon = Daemon::start(&namespace, &tap("'lo'", 0, 128, 512));

    let dir = tempfile::tempdir().unwrap();
    let (headers, file) = (dir.path().join("headers"), dir.path().join("file"));
    let mut curl = namespace.command("curl");
    curl.args(["-sv", "http://127.0.0.1:8080/file", "-D"])
        .arg(&headers)
        .arg("-o")
        .arg(&file);
    let curl = Program::run(&mut curl);
    assert!(
        std::fs::read(&file).unwrap() == body,
        "curl got what nginx sent"
    );

    let mut rpc = daemon.rpc();
    let sockid = rpc.complete(8080, 1)[0]["sockid"].as_u64().unwrap();
    // -v shows the lines of the request, -D writes the response's headers as they came.
    let lines = curl
        .stderr
        .lines()
        .filter_map(|line| line.strip_prefix("> "));
    let request: String = lines
        .map(|line| format!("{}\r\n", line.trim_end()))
        .collect();
    assert!(
        request.starts_with("GET /file HTTP/1.1\r\nHost: 127.0.0.1:8080\r\n"),
        "{request}"
    );
    assert_eq!(
        String::from_utf8(rpc.stream(sockid, "server")).unwrap(),
        request
    );
    let response = rpc.stream(sockid, "client");
    let headers = std::fs::read(&headers).unwrap();
    assert!(response.starts_with(&headers) && !headers.is_empty());
    assert!(
        response[headers.len()..] == body,
        "the captured body differs"
    );
    rpc.nothing_lost();
    daemon.stop();
}

#[test]
fn full_size_segments_on_lo_with_and_without_segmentation_offload() {
    needs!("ethtool");
    let namespace = Namespace::new();
    let bytes = Random::new(2).bytes(20 * MIB);
    for features in ["tso on gso on", "tso off gso off"] {
        namespace.run(&format!("ethtool -K lo {features}"));
        let daemon = Daemon::start(&namespace, &tap("'lo'", 1, 32, 128));
        for (port, host) in [(7000, "127.0.0.1"), (7001, "[::1]")] {
            let transfers = [Transfer {
                request: &bytes,
                response: &bytes[MIB..],
            }];
            let address = format!("{host}:{port}").parse().unwrap();
            let clients = exchange(&namespace, &namespace, address, &transfers);
            assert_captured(&mut daemon.rpc(), port, &clients, &transfers);
        }
        daemon.stop();
    }
}

#[test]
fn one_transfer_of_500_mb_over_veth_with_all_offloads() {
    needs!();
    let Pair { a, b } = Network::default().pair();
    let bytes = Random::new(3).bytes(500_000_000);
    let daemon = Daemon::start(&a, &tap("'veth'", 2, 512, 1200));
    let transfers = [Transfer {
        request: b"all of it, please",
        response: &bytes,
    }];
    let clients = exchange(&a, &b, "10.9.0.1:7000".parse().unwrap(), &transfers);
    assert_captured(&mut daemon.rpc(), 7000, &clients, &transfers);
    daemon.stop();
}

#[test]
fn connections_64_at_once_over_2_workers() {
    needs!();
    let Pair { a, b } = Network::default().pair();
    let bytes = Random::new(4).bytes(8 * MIB);
    let daemon = Daemon::start(&a, &tap("'veth'", 2, 8, 1200));
    // Each connection has bytes of its own, and lengths that no other has.
    let transfers: Vec<_> = (0..64)
        .map(|n| Transfer {
            request: &bytes[n * 1000..][..100_000 + n * 7],
            response: &bytes[n * 3001..][..4 * MIB - n * 11],
        })
        .collect();
    let clients = exchange(&a, &b, "10.9.0.1:7000".parse().unwrap(), &transfers);
    let sockets = assert_captured(&mut daemon.rpc(), 7000, &clients, &transfers);
    for worker in [0, 1] {
        let share = sockets
            .iter()
            .filter(|socket| socket["worker"] == worker)
            .count();
        assert!(share >= 10, "worker {worker} has {share} of 64 connections");
    }
    daemon.stop();
}

#[test]
fn ipv6_over_veth() {
    needs!();
    let Pair { a, b } = Network::default().pair();
    let bytes = Random::new(5).bytes(10 * MIB);
    let daemon = Daemon::start(&a, &tap("'veth'", 0, 16, 128));
    let transfers = [Transfer {
        request: &bytes[..MIB],
        response: &bytes,
    }];
    let clients = exchange(&a, &b, "[fd09::1]:7000".parse().unwrap(), &transfers);
    let sockets = assert_captured(&mut daemon.rpc(), 7000, &clients, &transfers);
    assert_eq!(sockets[0]["server"], "[fd09::1]:7000");
    daemon.stop();
}

#[test]
fn without_offloads_and_with_jumbo_frames() {
    needs!("ethtool");
    let bytes = Random::new(6).bytes(4 * MIB);
    for network in [
        Network {
            offloads: false,
            ..Network::default()
        },
        Network {
            mtu: 9000,
            ..Network::default()
        },
    ] {
        let Pair { a, b } = network.pair();
        let daemon = Daemon::start(&a, &tap("'veth'", 0, 8, 64));
        let transfers = [Transfer {
            request: &bytes,
            response: &bytes[1..],
        }];
        let clients = exchange(&a, &b, "10.9.0.1:7000".parse().unwrap(), &transfers);
        assert_captured(&mut daemon.rpc(), 7000, &clients, &transfers);
        daemon.stop();
    }
}

#[test]
fn a_vlan_is_seen_with_its_tag_below_and_without_it_above() {
    needs!();
    let Pair { a, b } = Network::default().pair();
    for (namespace, host) in [(&a, 1), (&b, 2)] {
        let words = [
            "link", "add", "link", "veth", "name", "veth.7", "type", "vlan", "id", "7",
        ];
        let added = Program::start(namespace.command("ip").args(words)).finish();
        if !added.status.success() {
            skip!("needs a kernel with VLAN devices: {}", added.stderr.trim());
        }
        namespace.ip(&format!("address add 10.9.7.{host}/24 dev veth.7"));
        namespace.ip("link set veth.7 up");
    }
    let bytes = Random::new(7).bytes(4 * MIB);
    for (interface, vlan) in [("veth", json!([7])), ("veth.7", json!([]))] {
        let daemon = Daemon::start(&a, &tap(&format!("'{interface}'"), 2, 8, 64));
        let transfers = [Transfer {
            request: &bytes[..9999],
            response: &bytes,
        }];
        let clients = exchange(&a, &b, "10.9.7.1:7000".parse().unwrap(), &transfers);
        let sockets = assert_captured(&mut daemon.rpc(), 7000, &clients, &transfers);
        assert_eq!(sockets[0]["vlan"], vlan, "on {interface}");
        daemon.stop();
    }
}

#[test]
fn tagged_frames_from_the_wire_keep_their_tags() {
    needs!("python3");
    let Pair { a, b } = Network::default().pair();
    let daemon = Daemon::start(&a, &tap("'veth'", 2, 8, 64));
    // The kernel takes the outer tag out of the bytes before any program sees them.
    for (tags, vlan, port) in [
        (vec![(0x8100, 7)], json!([7]), 7000),
        (vec![(0x88a8, 100), (0x8100, 7)], json!([100, 7]), 7001),
    ] {
        let mut flow = Flow::new("192.0.2.1:40000", &format!("192.0.2.2:{port}"));
        flow.mss = 1400;
        flow.open()
            .send(End::Client, b"question")
            .send(End::Server, &Random::new(9).bytes(100_000))
            .close();
        inject(
            &b,
            "veth",
            &Capture::of(
                &Layers {
                    tags,
                    ..Layers::ethernet()
                },
                &flow,
            ),
            &[0],
        );
        let mut rpc = daemon.rpc();
        let socket = rpc.complete(port, 1).remove(0);
        assert_eq!(socket["vlan"], vlan);
        let sockid = socket["sockid"].as_u64().unwrap();
        assert!(rpc.stream(sockid, "server") == b"question");
        assert!(rpc.stream(sockid, "client") == flow.received_by(End::Client));
        rpc.nothing_lost();
    }
    daemon.stop();
}

#[test]
fn a_live_connection_is_read_while_it_runs() {
    needs!("python3", "ss");
    let namespace = Namespace::new();
    let daemon = Daemon::start(&namespace, &tap("'lo'", 0, 1, 64));
    // Says each line back in capitals, and stays.
    let server = "import socket\ns = socket.create_server(('127.0.0.1', 7000))\nc, _ = s.accept()\n\
                  for line in c.makefile('rb'): c.sendall(line.upper())\n";
    let _server = Program::start(namespace.command("python3").args(["-c", server]));
    until("the server to listen", || {
        namespace
            .run("ss -Hltn")
            .contains("127.0.0.1:7000 ")
            .then_some(())
    });
    let client = namespace
        .enter(|| std::net::TcpStream::connect("127.0.0.1:7000"))
        .unwrap();
    let mut rpc = daemon.rpc();
    let mut said = Vec::new();
    for line in [&b"one\n"[..], b"two\n", b"three\n"] {
        std::io::Write::write_all(&mut &client, line).unwrap();
        said.extend(line);
        let socket = until("the connection", || {
            rpc.sockets(json!({"port": 7000})).pop()
        });
        let sockid = socket["sockid"].as_u64().unwrap();
        for (side, expected) in [
            ("server", said.clone()),
            ("client", said.to_ascii_uppercase()),
        ] {
            let bytes = until("the line", || {
                rpc.ppeek(sockid, side, 0, 100)
                    .ok()
                    .filter(|(_, bytes)| bytes.len() == expected.len())
            });
            assert_eq!(bytes.1, expected);
        }
        assert_eq!(
            rpc.ok("info", json!({"sockid": sockid}))["closed"],
            Value::Null
        );
    }
    assert_eq!(rpc.sockets(json!({"port": 7000})).len(), 1);
    daemon.stop();
}

#[test]
fn several_interfaces_and_one_that_goes_and_comes_back() {
    needs!();
    let Pair { a, b } = Network::default().pair();
    let daemon = Daemon::start(&a, &tap("'lo', 'veth'", 0, 8, 128));
    let mut rpc = daemon.rpc();
    let bytes = Random::new(8).bytes(MIB);
    let transfers = [Transfer {
        request: &bytes,
        response: &bytes[7..],
    }];
    let check = |client: &Namespace, address: &str, port: u16| {
        let clients = exchange(
            &a,
            client,
            format!("{address}:{port}").parse().unwrap(),
            &transfers,
        );
        assert_captured(&mut daemon.rpc(), port, &clients, &transfers);
    };
    check(&a, "127.0.0.1", 7000);
    check(&b, "10.9.0.1", 7001);

    let mut up = |expected: bool| {
        until(
            &format!("veth to be {}", if expected { "up" } else { "down" }),
            || {
                let stats = rpc.ok("stats", json!({}));
                let interfaces = stats["capture"]["interfaces"].as_array().unwrap().clone();
                let veth = interfaces
                    .iter()
                    .find(|interface| interface["name"] == "veth")
                    .unwrap();
                let lo = interfaces
                    .iter()
                    .find(|interface| interface["name"] == "lo")
                    .unwrap();
                assert_eq!(lo["up"], true, "lo goes on");
                (veth["up"] == expected).then_some(())
            },
        );
    };
    up(true);
    a.ip("link set veth down");
    up(false);
    check(&a, "127.0.0.1", 7002);
    a.ip("link set veth up");
    up(true);
    check(&b, "10.9.0.1", 7003);

    a.ip("link del veth");
    up(false);
    assert!(
        daemon.log().contains("veth"),
        "the log says so: {}",
        daemon.log()
    );
    check(&a, "127.0.0.1", 7004);
    Network::default().connect(&a, &b);
    up(true);
    check(&b, "10.9.0.1", 7005);
    check(&a, "127.0.0.1", 7006);
    daemon.stop();
}

#[test]
fn what_cannot_start_says_why() {
    needs!();
    let namespace = Namespace::new();
    for (settings, says) in [
        ("[capture]\ninterfaces = ['nosuch0']\n", "nosuch0"),
        (
            "[capture]\nmode = 'mirror'\ninterfaces = ['nosuch0']\n",
            "nosuch0",
        ),
        ("[capture]\nnosuchkey = 1\n", "nosuchkey"),
    ] {
        let log = Daemon::refused(&namespace, settings);
        assert!(log.contains(says), "{settings} gave {log}");
        assert!(!log.contains("panicked"), "{log}");
    }
}

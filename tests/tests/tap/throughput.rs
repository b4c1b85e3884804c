//! Large transfers without loss.

use monitor_tests::wiregen::Random;
use monitor_tests::{Daemon, Namespace, Network, Nginx, Pair, Program, Transfer, exchange, needs};

use crate::{MIB, assert_captured, tap};

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

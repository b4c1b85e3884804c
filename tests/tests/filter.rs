//! `[filter]`: flows outside are neither delivered nor listed, and they are counted.

#![expect(
    clippy::unwrap_used,
    reason = "a test says what it expects by unwrapping it"
)]

use monitor_tests::wiregen::Random;
use monitor_tests::{Daemon, Network, Pair, Transfer, exchange, needs};
use serde_json::json;

/// Runs the same five connections under a filter; those to `kept` addresses must be there whole, the others not at
/// all, and counted as `counter`.
#[track_caller]
fn assert_filtered(filter: &str, kept: &[&str], counter: &str) {
    let Pair { a, b } = Network::default().pair();
    a.ip("address add 10.9.1.1/32 dev veth");
    b.ip("route add 10.9.1.1/32 dev veth");
    let settings = format!(
        "[capture]\nmode = 'tap'\ninterfaces = ['veth']\nworkers = 2\n[filter]\n{filter}\n[store]\nwindow = '4MiB'\n"
    );
    let daemon = Daemon::start(&a, &settings);
    let bytes = Random::new(1).bytes(1 << 20);
    let addresses = [
        "10.9.0.1:7000",
        "10.9.0.1:7001",
        "10.9.1.1:7000",
        "[fd09::1]:7000",
        "[fd09::1]:443",
    ];
    let transfer = [Transfer {
        request: &bytes[..1000],
        response: &bytes,
    }];
    for address in addresses {
        exchange(&a, &b, address.parse().unwrap(), &transfer);
    }
    let mut rpc = daemon.rpc();
    monitor_tests::until("the wanted connections", || {
        let closed = rpc
            .sockets(json!({}))
            .iter()
            .filter(|socket| socket["closed"] == "fin")
            .count();
        (closed >= kept.len()).then_some(())
    });
    let sockets = rpc.sockets(json!({}));
    let mut listed: Vec<_> = sockets
        .iter()
        .map(|socket| socket["server"].as_str().unwrap())
        .collect();
    listed.sort_unstable();
    let mut kept = kept.to_vec();
    kept.sort_unstable();
    assert_eq!(listed, kept, "{filter}");
    for socket in &sockets {
        let sockid = socket["sockid"].as_u64().unwrap();
        assert!(rpc.stream(sockid, "client") == bytes);
        assert!(rpc.stream(sockid, "server") == bytes[..1000]);
    }
    rpc.nothing_lost();
    // Each connection left out has at least its handshake and its end.
    let out = 6 * (addresses.len() - kept.len()) as u64;
    assert!(rpc.stat("capture", counter) >= out, "{filter}: {counter}");
    assert!(rpc.stat("capture", "passed") >= out);
    assert_eq!(
        rpc.stat("decode", "filtered"),
        0,
        "they never reach an engine"
    );
    daemon.stop();
}

#[test]
fn by_port() {
    needs!();
    assert_filtered(
        "ports = [7001, 443]",
        &["10.9.0.1:7001", "[fd09::1]:443"],
        "tap_filtered_port",
    );
}

#[test]
fn by_prefix() {
    needs!();
    assert_filtered(
        "networks = ['10.9.1.0/24']",
        &["10.9.1.1:7000"],
        "tap_filtered_network",
    );
    assert_filtered(
        "networks = ['fd09::1/128']",
        &["[fd09::1]:7000", "[fd09::1]:443"],
        "tap_filtered_network",
    );
}

#[test]
fn by_both() {
    needs!();
    assert_filtered(
        "ports = [7000]\nnetworks = ['10.9.1.1/32', 'fd09::/16']",
        &["10.9.1.1:7000", "[fd09::1]:7000"],
        "tap_filtered_port",
    );
}

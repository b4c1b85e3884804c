//! In tap mode the host does not notice.

#![expect(
    clippy::unwrap_used,
    reason = "a test says what it expects by unwrapping it"
)]

use std::collections::BTreeMap;

use monitor_tests::wiregen::Random;
use monitor_tests::{Daemon, Namespace, Network, Pair, Transfer, exchange, needs, until};

/// Counters of the kernel's TCP that only rise when something went wrong.
const TROUBLE: [&str; 8] = [
    "TcpInErrs",
    "TcpInCsumErrors",
    "TcpAttemptFails",
    "TcpEstabResets",
    "TcpExtTCPTimeouts",
    "TcpExtTCPRcvQDrop",
    "TcpExtTCPBacklogDrop",
    "IpInDiscards",
];

/// Segments that TCP sent again and had to: those that the receiver then reported as duplicates (RFC 2883) had only
/// been late, as they are on a processor with more to do than it can.
const LOST: &str = "segments lost";

/// Error counters up to now, both namespaces together.
fn trouble(pair: &Pair) -> BTreeMap<&'static str, u64> {
    let mut sum = BTreeMap::new();
    let (mut again, mut duplicate) = (0, 0);
    for namespace in [&pair.a, &pair.b] {
        for (name, value) in counters(namespace) {
            if let Some(known) = TROUBLE.iter().find(|known| **known == name) {
                *sum.entry(*known).or_default() += value;
            }
            match name.as_str() {
                "TcpRetransSegs" => again += value,
                "TcpExtTCPDSACKRecvSegs" => duplicate += value,
                _ => {}
            }
        }
    }
    assert_eq!(sum.len(), TROUBLE.len(), "the kernel counts all of it");
    sum.insert(LOST, again - duplicate);
    sum
}

/// Every counter of /proc/net/snmp and netstat: pairs of lines, names and values.
fn counters(namespace: &Namespace) -> Vec<(String, u64)> {
    let text = namespace.run("cat /proc/net/snmp /proc/net/netstat");
    let lines: Vec<&str> = text.lines().collect();
    let mut counters = Vec::new();
    for pair in lines.chunks_exact(2) {
        let (group, names) = pair[0].split_once(": ").unwrap();
        let (_, values) = pair[1].split_once(": ").unwrap();
        for (name, value) in names.split(' ').zip(values.split(' ')) {
            counters.push((format!("{group}{name}"), value.parse().unwrap_or(0)));
        }
    }
    counters
}

/// Returns the increase of each counter during a transfer.
fn transfer(pair: &Pair, bytes: &[u8]) -> BTreeMap<&'static str, u64> {
    let before = trouble(pair);
    let transfers = [Transfer {
        request: &bytes[..bytes.len() / 4],
        response: bytes,
    }; 4];
    // Compares every byte on arrival.
    exchange(
        &pair.a,
        &pair.b,
        "10.9.0.1:7000".parse().unwrap(),
        &transfers,
    );
    trouble(pair)
        .into_iter()
        .map(|(name, after)| (name, after.saturating_sub(before[name])))
        .collect()
}

#[test]
fn the_same_transfer_with_and_without_the_daemon() {
    needs!();
    let pair = Network::default().pair();
    let bytes = Random::new(1).bytes(20 << 20);
    // A busy machine has its troubles with and without us: the most of three without against the least of three with.
    let without: Vec<_> = (0..3).map(|_| transfer(&pair, &bytes)).collect();
    let settings = "[capture]\ninterfaces = ['veth']\nbuffers = '256MiB'\n[store]\nwindow = '32MiB'\nmemory = '1GiB'\n";
    let daemon = Daemon::start(&pair.a, settings);
    let with: Vec<_> = (0..3).map(|_| transfer(&pair, &bytes)).collect();
    // Three times four connections, each with 20 MiB one way and a quarter of it the other.
    let mut rpc = daemon.rpc();
    until("all of it to be captured", || {
        (rpc.stat("tcp", "payload_bytes") >= (3 * 4 * 25) << 20).then_some(())
    });
    rpc.nothing_lost();
    for name in TROUBLE.into_iter().chain([LOST]) {
        let most = without.iter().map(|counters| counters[name]).max().unwrap();
        let least = with.iter().map(|counters| counters[name]).min().unwrap();
        assert!(
            least <= most,
            "{name}: {without:?} without, {with:?} with the daemon"
        );
    }
    daemon.stop();
}

#[test]
fn nothing_of_the_interface_is_changed() {
    needs!("ethtool");
    let Pair { a, b: _b } = Network {
        queues: 2,
        ..Network::default()
    }
    .pair();
    let settings = "[capture]\ninterfaces = ['veth']\n";
    // Features, queues and everything else about the link except its attached programs.
    let look = || {
        let link = a.ip("-details link show dev veth");
        let link: Vec<_> = link
            .lines()
            .filter(|line| !line.contains("prog/"))
            .map(str::to_owned)
            .collect();
        (a.run("ethtool -k veth"), a.run("ethtool -l veth"), link)
    };
    let before = look();
    let daemon = Daemon::start(&a, settings);
    assert_eq!(look(), before, "while it captures");
    daemon.stop();
    assert_eq!(look(), before, "afterwards");
}

#[test]
fn a_client_that_stops_reading_does_not_stop_the_capture() {
    needs!();
    let Pair { a, b } = Network::default().pair();
    let bytes = Random::new(2).bytes(8 << 20);
    let settings = "[capture]\ninterfaces = ['veth']\nbuffers = '64MiB'\n[store]\nwindow = '16MiB'\nmemory = '512MiB'\n";
    let daemon = Daemon::start(&a, settings);
    let transfers = [Transfer {
        request: b"all",
        response: &bytes,
    }];
    exchange(&a, &b, "10.9.0.1:7000".parse().unwrap(), &transfers);
    let mut rpc = daemon.rpc();
    let sockid = rpc.complete(7000, 1)[0]["sockid"].as_u64().unwrap();
    // Twenty clients ask for 8 MiB each, many times over, and never read.
    let request = format!(
        "{{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"ppeek\",\"params\":{{\"sockid\":{sockid},\"side\":\"client\",\
         \"off\":0,\"len\":8388608,\"encoding\":\"raw\"}}}}\n"
    );
    let idle: Vec<_> = (0..20)
        .map(|_| {
            let mut client = daemon.rpc();
            client.send(request.repeat(50).as_bytes()).unwrap();
            client
        })
        .collect();
    exchange(&a, &b, "10.9.0.1:7001".parse().unwrap(), &transfers);
    let sockid = rpc.complete(7001, 1)[0]["sockid"].as_u64().unwrap();
    assert!(rpc.stream(sockid, "client") == bytes);
    rpc.nothing_lost();
    assert!(
        daemon.resident() < (512 + 64 + 64 + 256) << 20,
        "{} bytes",
        daemon.resident()
    );
    drop(idle);
    daemon.stop();
}

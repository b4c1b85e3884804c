//! The checks, in the order in which they run.

use std::net::SocketAddr;
use std::process::Command;

use monitor_tests::wiregen::Random;
use monitor_tests::{Daemon, Namespace, Program, Rpc, Transfer, exchange, have, until};
use serde_json::{Value, json};

use crate::cards::Cards;

/// Result of a check that didn't panic.
pub enum Verdict {
    /// Passed, with the capture path.
    Ok(String),
    /// Not possible here, with the reason.
    Skipped(String),
}

/// Name and function of a check.
type Check = (&'static str, fn() -> Verdict);

/// Every check.
pub const CHECKS: [Check; 9] = [
    ("tap-lo", tap_lo),
    ("tap-card", tap_card),
    ("tap-vlan", tap_vlan),
    ("mirror", mirror),
    ("mirror-vlan", mirror_vlan),
    ("mirror-jumbo", mirror_jumbo),
    ("down-up", down_up),
    ("sigkill-tap", sigkill_tap),
    ("sigkill-mirror", sigkill_mirror),
];

/// Bytes in each direction. Emulated processors move about 10 MB/s.
const BYTES: usize = 2_000_000;

fn settings(mode: &str, interface: &str) -> String {
    format!(
        "[capture]\nmode = '{mode}'\ninterfaces = ['{interface}']\nworkers = 2\npin = 'never'\n\
         [store]\nmemory = '256MiB'\nwindow = '16MiB'\n"
    )
}

/// Name of the capture path in use, from `stats`.
fn path(rpc: &mut Rpc) -> String {
    let capture = rpc.ok("stats", json!({}))["capture"].take();
    let text = |value: &Value| value.as_str().map(str::to_owned);
    let xdp = text(&capture["xdp"]);
    text(&capture["path"])
        .map(|path| match xdp.clone() {
            Some(xdp) => format!("{path} {xdp}"),
            None => path,
        })
        .or(xdp)
        .unwrap_or_else(|| "?".to_owned())
}

/// Waits until packets of a mirror port arrive. Some drivers accept an XDP program and don't run it; the daemon notices
/// that by traffic.
fn settle(daemon: &Daemon, cards: &Cards) {
    let transfer = Transfer {
        request: &[1; 20_000],
        response: &[2; 20_000],
    };
    until("packets at the mirror port", || {
        exchange(
            &cards.server,
            &cards.client,
            "10.9.0.2:6999".parse().unwrap(),
            &[transfer],
        );
        let stats = daemon.rpc().ok("stats", json!({}));
        (stats["capture"]["rx_packets"].as_u64() > Some(0)).then_some(())
    });
}

/// Attempts of a transfer. An emulated processor may be too slow for the daemon to keep up.
const ATTEMPTS: u16 = 3;

/// Transfers bytes in both directions and compares the daemon's streams with them. An attempt with counted losses is
/// repeated; a loss that no counter has is a failure. Returns the path, and the number of lost packets if there are any.
fn compare(daemon: &Daemon, server: &Namespace, client: &Namespace, address: &str) -> String {
    let mut address: SocketAddr = address.parse().unwrap();
    let mut rpc = daemon.rpc();
    let mut attempt = 1;
    loop {
        let mut random = Random::new(u64::from(address.port()));
        let (request, response) = (random.bytes(BYTES), random.bytes(BYTES));
        let transfer = Transfer {
            request: &request,
            response: &response,
        };
        exchange(server, client, address, &[transfer]);
        let socket = rpc.complete(address.port(), 1).remove(0);
        let sockid = socket["sockid"].as_u64().unwrap();
        let lost = losses(&mut rpc);
        let has_gaps = |side: &str| socket["sides"][side]["gaps"] != 0;
        if has_gaps("server") || has_gaps("client") {
            let stats = rpc.ok("stats", json!({}));
            assert!(
                lost > 0,
                "a hole without a counted loss: {}",
                counted(&stats)
            );
            assert!(
                attempt < ATTEMPTS,
                "each of {ATTEMPTS} transfers has holes; {lost} packets lost, all counted"
            );
            attempt += 1;
            address.set_port(address.port() + 1000);
            continue;
        }
        for (side, sent) in [("server", &request), ("client", &response)] {
            let held = rpc.stream(sockid, side);
            assert!(
                held == *sent,
                "{side}: {} bytes held, {} sent",
                held.len(),
                sent.len()
            );
        }
        let path = path(&mut rpc);
        return if lost == 0 {
            path
        } else {
            format!("{path} ({lost} packets lost, counted)")
        };
    }
}

/// Names and values of all counters above 0.
fn counted(stats: &Value) -> String {
    let groups = stats.as_object().unwrap().values();
    let counters = groups.filter_map(Value::as_object).flatten();
    let above = counters.filter(|(_, value)| value.as_u64() > Some(0));
    let texts = above.map(|(name, value)| format!("{name} {value}"));
    texts.collect::<Vec<_>>().join(", ")
}

/// Number of packets that the daemon reports as lost.
fn losses(rpc: &mut Rpc) -> u64 {
    let stats = rpc.ok("stats", json!({}));
    let count = |name: &str| stats["capture"][name].as_u64().unwrap_or(0);
    [
        "rx_dropped",
        "rx_ring_full",
        "device_dropped",
        "tap_clone_failed",
        "tap_vlan_lost",
    ]
    .into_iter()
    .map(count)
    .sum()
}

fn tap_lo() -> Verdict {
    let namespace = Namespace::new();
    let daemon = Daemon::start(&namespace, &settings("tap", "lo"));
    let path = compare(&daemon, &namespace, &namespace, "127.0.0.1:7000");
    daemon.stop();
    Verdict::Ok(path)
}

fn tap_card() -> Verdict {
    let cards = Cards::new(1500);
    let daemon = Daemon::start(&cards.client, &settings("tap", "eth0"));
    let path = compare(&daemon, &cards.server, &cards.client, "10.9.0.2:7001");
    compare(&daemon, &cards.server, &cards.client, "[fd09::2]:7002");
    daemon.stop();
    Verdict::Ok(path)
}

fn tap_vlan() -> Verdict {
    let cards = Cards::new(1500);
    cards.add_vlan();
    let daemon = Daemon::start(&cards.client, &settings("tap", "eth0"));
    let path = compare(&daemon, &cards.server, &cards.client, "10.9.1.2:7003");
    assert_vlan(&daemon, 7003);
    daemon.stop();
    Verdict::Ok(path)
}

fn mirror() -> Verdict {
    let cards = Cards::new(1500);
    let daemon = Daemon::start(&cards.mirror, &settings("mirror", "eth2"));
    settle(&daemon, &cards);
    let path = compare(&daemon, &cards.server, &cards.client, "10.9.0.2:7004");
    compare(&daemon, &cards.server, &cards.client, "[fd09::2]:7005");
    daemon.stop();
    Verdict::Ok(path)
}

fn mirror_vlan() -> Verdict {
    let cards = Cards::new(1500);
    cards.add_vlan();
    let daemon = Daemon::start(&cards.mirror, &settings("mirror", "eth2"));
    settle(&daemon, &cards);
    let path = compare(&daemon, &cards.server, &cards.client, "10.9.1.2:7006");
    assert_vlan(&daemon, 7006);
    daemon.stop();
    Verdict::Ok(path)
}

fn mirror_jumbo() -> Verdict {
    let cards = Cards::new(9000);
    let daemon = Daemon::start(&cards.mirror, &settings("mirror", "eth2"));
    settle(&daemon, &cards);
    let path = compare(&daemon, &cards.server, &cards.client, "10.9.0.2:7007");
    daemon.stop();
    Verdict::Ok(path)
}

fn assert_vlan(daemon: &Daemon, port: u16) {
    let sockets = daemon.rpc().sockets(json!({ "port": port }));
    assert_eq!(sockets[0]["vlan"], json!([100]), "{sockets:?}");
}

fn down_up() -> Verdict {
    let cards = Cards::new(1500);
    let daemon = Daemon::start(&cards.mirror, &settings("mirror", "eth2"));
    let mut rpc = daemon.rpc();
    let mut wait_for = |up: bool| {
        until("the change of the interface", || {
            let stats = rpc.ok("stats", json!({}));
            (stats["capture"]["interfaces"][0]["up"] == up).then_some(())
        });
    };
    wait_for(true);
    settle(&daemon, &cards);
    cards.mirror.ip("link set eth2 down");
    wait_for(false);
    cards.mirror.ip("link set eth2 up");
    wait_for(true);
    let path = compare(&daemon, &cards.server, &cards.client, "10.9.0.2:7008");
    daemon.stop();
    Verdict::Ok(path)
}

fn sigkill_tap() -> Verdict {
    sigkill(|cards| &cards.client, "tap", "eth0", "10.9.0.2:7009")
}

fn sigkill_mirror() -> Verdict {
    sigkill(|cards| &cards.mirror, "mirror", "eth2", "10.9.0.2:7010")
}

/// Kills a capturing daemon, checks that the kernel removed everything, and captures again.
fn sigkill(pick: fn(&Cards) -> &Namespace, mode: &str, interface: &str, address: &str) -> Verdict {
    if !have("bpftool") {
        return Verdict::Skipped("bpftool isn't installed".to_owned());
    }
    let cards = Cards::new(1500);
    let namespace = pick(&cards);
    let before = devices(namespace);
    let daemon = Daemon::start(namespace, &settings(mode, interface));
    let held = daemon.bpf();
    daemon.kill();
    until("programs and devices to be removed", || {
        (devices(namespace) == before && !held.iter().any(exists)).then_some(())
    });
    let daemon = Daemon::start(namespace, &settings(mode, interface));
    if mode == "mirror" {
        settle(&daemon, &cards);
    }
    let path = compare(&daemon, &cards.server, &cards.client, address);
    daemon.stop();
    Verdict::Ok(path)
}

/// Names of the interfaces, with the XDP programs attached to them, and queueing disciplines.
fn devices(namespace: &Namespace) -> Vec<String> {
    let mut lines = Vec::new();
    for line in namespace.run("ip -details -oneline link show").lines() {
        let name = line.split(": ").nth(1).unwrap_or_default();
        let has_program = line.contains("prog/xdp");
        let is_promiscuous = line.contains("PROMISC");
        lines.push(format!("{name} {has_program} {is_promiscuous}"));
    }
    lines.push(namespace.run("tc qdisc show"));
    lines
}

fn exists((kind, id): &(&str, u64)) -> bool {
    let id = id.to_string();
    Program::start(Command::new("bpftool").args([kind, "show", "id", &id]))
        .finish()
        .status
        .success()
}

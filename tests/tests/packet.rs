//! Packet sockets: the path for hosts and interfaces on which XDP does not work.

#![expect(
    clippy::unwrap_used,
    reason = "a test says what it expects by unwrapping it"
)]

use std::fmt::Write;
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Command, Stdio};

use monitor_tests::wiregen::Random;
use monitor_tests::{
    Daemon, Namespace, Network, Pair, Program, Rpc, Transfer, exchange, monitord, needs, skip,
    until,
};
use serde_json::json;

const STORE: &str = "[store]\nwindow = '8MiB'\nmemory = '128MiB'\n";

/// Asserts that each byte of the transfers was captured.
#[track_caller]
fn assert_captured(rpc: &mut Rpc, port: u16, clients: &[SocketAddr], transfers: &[Transfer<'_>]) {
    let sockets = rpc.complete(port, transfers.len());
    rpc.nothing_lost();
    for (client, transfer) in clients.iter().zip(transfers) {
        let found = sockets
            .iter()
            .find(|socket| socket["client"] == client.to_string());
        let sockid = found.unwrap()["sockid"].as_u64().unwrap();
        for (side, sent) in [("server", transfer.request), ("client", transfer.response)] {
            assert!(
                rpc.stream(sockid, side) == sent,
                "{client}: the {side} side differs"
            );
        }
    }
}

fn transfers(bytes: &[u8], count: usize) -> Vec<Transfer<'_>> {
    let each = bytes.len() / count;
    bytes
        .chunks_exact(each)
        .map(|part| Transfer {
            request: &part[..each / 3],
            response: &part[each / 3..],
        })
        .collect()
}

#[test]
fn packet_sockets_capture_connections_on_lo_with_two_workers() {
    needs!();
    let namespace = Namespace::new();
    let settings = format!("[capture]\npath = 'packet'\nworkers = 2\nbuffers = '128MiB'\n{STORE}");
    let daemon = Daemon::start(&namespace, &settings);
    let bytes = Random::new(1).bytes(64_000_000);
    let transfers = transfers(&bytes, 32);
    let address = "127.0.0.1:7000".parse().unwrap();
    let clients = exchange(&namespace, &namespace, address, &transfers);
    let mut rpc = daemon.rpc();
    assert_captured(&mut rpc, 7000, &clients, &transfers);
    assert_eq!(rpc.ok("hello", json!({}))["capture"]["path"], "packet");
    let capture = &rpc.ok("stats", json!({}))["capture"];
    assert_eq!(capture["path"], "packet");
    assert_eq!(capture["interfaces"][0]["path"], "packet");
    assert_eq!(capture["rx_packets"], capture["packet_accepted"]);
    daemon.stop();
}

/// A command that runs the daemon as another user with these capabilities alone, where there is no TUN device.
fn unprivileged(namespace: &Namespace, capabilities: &str) -> Command {
    let caps = format!("-all,{capabilities}");
    // "$2" is the configuration: the daemon creates its socket beside it.
    let script = format!(
        "mount -t tmpfs none /dev/net && chmod 777 \"$(dirname \"$2\")\" && exec setpriv --reuid=65534 \
         --regid=65534 --clear-groups --inh-caps={caps} --ambient-caps={caps} --bounding-set={caps} {} \"$@\"",
        monitord().display()
    );
    let mut command = namespace.command("unshare");
    command.args(["--mount", "--", "sh", "-c", &script, "sh"]);
    command
}

/// The daemon's program must be reachable for another user.
fn others_may_run_it() -> bool {
    let status = Command::new("setpriv")
        .args(["--reuid=65534", "--clear-groups"])
        .arg(monitord())
        .arg("--version")
        .stdout(Stdio::null())
        .status();
    status.is_ok_and(|status| status.success())
}

#[test]
fn five_hundred_interfaces_without_tun_device_or_root() {
    needs!("setpriv", "unshare");
    if !Path::new("/dev/net").exists() || !others_may_run_it() {
        skip!("needs /dev/net, and a program that another user may run");
    }
    const INTERFACES: usize = 500;
    let (a, b) = (Namespace::new(), Namespace::new());
    let mut batch = String::new();
    for index in 0..INTERFACES {
        let peer = b.path();
        let peer = peer.file_name().unwrap().to_str().unwrap();
        writeln!(
            batch,
            "link add v{index} type veth peer name v{index} netns {peer}"
        )
        .unwrap();
        writeln!(batch, "link set v{index} up").unwrap();
    }
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("batch");
    std::fs::write(&file, batch).unwrap();
    a.ip(&format!("-batch {}", file.display()));
    let used = [0, 7, 250, 499];
    for (namespace, host) in [(&a, 1), (&b, 2)] {
        for index in used {
            namespace.ip(&format!("link set v{index} up"));
            namespace.ip(&format!(
                "address add 10.20.{}.{host}/24 dev v{index}",
                index / 2
            ));
        }
    }
    for namespace in [&a, &b] {
        for index in used {
            namespace.until_up(&format!("v{index}"));
        }
    }
    let names: Vec<_> = (0..INTERFACES).map(|index| format!("'v{index}'")).collect();
    let settings = format!(
        "[capture]\nworkers = 2\nbuffers = '64MiB'\ninterfaces = [{}]\n{STORE}",
        names.join(",")
    );
    let daemon = Daemon::start_by(unprivileged(&a, "+net_raw,+bpf"), &settings);
    let mut rpc = daemon.rpc();
    let reason = rpc.ok("stats", json!({}))["capture"]["path_reason"].to_string();
    assert!(reason.contains("missing CAP_NET_ADMIN"), "{reason}");
    let bytes = Random::new(2).bytes(4_000_000);
    for (port, index) in (7000..).zip(used) {
        let transfers = transfers(&bytes, 4);
        let address = format!("10.20.{}.1:{port}", index / 2).parse().unwrap();
        let clients = exchange(&a, &b, address, &transfers);
        assert_captured(&mut rpc, port, &clients, &transfers);
    }
    // An interface that is recreated is captured again.
    a.ip("link del v7");
    let state =
        |rpc: &mut Rpc| rpc.ok("stats", json!({}))["capture"]["interfaces"][7]["up"] == true;
    until("v7 to be gone", || (!state(&mut rpc)).then_some(()));
    let peer = b.path();
    let peer = peer.file_name().unwrap().to_str().unwrap().to_owned();
    a.ip(&format!("link add v7 type veth peer name v7 netns {peer}"));
    for (namespace, host) in [(&a, 1), (&b, 2)] {
        namespace.ip(&format!("address add 10.20.3.{host}/24 dev v7"));
        namespace.ip("link set v7 up");
    }
    for namespace in [&a, &b] {
        namespace.until_up("v7");
    }
    until("v7 to be back", || state(&mut rpc).then_some(()));
    let transfers = transfers(&bytes, 2);
    let clients = exchange(&a, &b, "10.20.3.1:7100".parse().unwrap(), &transfers);
    assert_captured(&mut rpc, 7100, &clients, &transfers);
    daemon.stop();
}

#[test]
fn with_cap_net_raw_alone_one_worker_captures_everything() {
    needs!("setpriv", "unshare");
    if !Path::new("/dev/net").exists() || !others_may_run_it() {
        skip!("needs /dev/net, and a program that another user may run");
    }
    let namespace = Namespace::new();
    let settings = format!("[capture]\nworkers = 4\nbuffers = '64MiB'\n{STORE}");
    let daemon = Daemon::start_by(unprivileged(&namespace, "+net_raw"), &settings);
    let bytes = Random::new(3).bytes(8_000_000);
    let transfers = transfers(&bytes, 8);
    let address = "127.0.0.1:7000".parse().unwrap();
    let clients = exchange(&namespace, &namespace, address, &transfers);
    let mut rpc = daemon.rpc();
    assert_captured(&mut rpc, 7000, &clients, &transfers);
    assert_eq!(rpc.ok("hello", json!({}))["capture"]["workers"], 1);
    daemon.stop();
}

#[test]
fn sigkill_leaves_nothing_of_packet_sockets() {
    needs!("bpftool");
    let namespace = Namespace::new();
    let settings = format!("[capture]\npath = 'packet'\nworkers = 2\n{STORE}");
    let before = namespace.run("ip -details link show");
    let daemon = Daemon::start(&namespace, &settings);
    let held = daemon.bpf();
    assert_eq!(held.len(), 2, "accept and fanout: {held:?}");
    daemon.kill();
    assert_eq!(namespace.run("ip -details link show"), before);
    for (kind, id) in held {
        let id = id.to_string();
        until("the programs to be unloaded", || {
            let shown = Program::start(Command::new("bpftool").args([kind, "show", "id", &id]));
            (!shown.finish().status.success()).then_some(())
        });
    }
}

#[test]
fn segments_with_unfinished_checksums_are_captured_at_a_mirror_port() {
    needs!();
    let Pair { a, b } = Network::default().pair();
    let settings = format!(
        "[capture]\nmode = 'mirror'\npath = 'packet'\ninterfaces = ['veth']\nworkers = 2\n{STORE}"
    );
    let daemon = Daemon::start(&a, &settings);
    // A mirror port reports received packets only: the client's segments. The veth leaves their checksums unfinished.
    let bytes = Random::new(4).bytes(1_000_000);
    let transfer = Transfer {
        request: &bytes,
        response: &bytes[..1000],
    };
    exchange(&a, &b, "10.9.0.1:7000".parse().unwrap(), &[transfer]);
    let mut rpc = daemon.rpc();
    until("the request", || {
        let sockets = rpc.sockets(json!({ "port": 7000 }));
        let sockid = sockets.first()?["sockid"].as_u64()?;
        (rpc.side(sockid, "server")["next"] == bytes.len()).then_some(())
    });
    let sockid = rpc.sockets(json!({ "port": 7000 }))[0]["sockid"].as_u64();
    assert!(rpc.stream(sockid.unwrap(), "server") == bytes);
    assert_eq!(rpc.stat("decode", "bad_checksum"), 0);
    daemon.stop();
}

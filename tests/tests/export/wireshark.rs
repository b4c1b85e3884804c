//! Real servers, a lossy network, and Wireshark's own interface.

use std::fs;
use std::process::Command;

use monitor_tests::wiregen::Random;
use monitor_tests::{
    Daemon, Network, Nginx, Pair, Program, Transfer, exchange, monitorctl, needs, open_to_all,
    skip, until,
};
use serde_json::json;

use crate::live::TAP;
use crate::{Exported, ctl};

/// Exports each connection to a port alone, and asserts that tshark finds the bytes that `ppeek` reads.
#[track_caller]
fn assert_exported(daemon: &Daemon, port: u16) {
    let mut rpc = daemon.rpc();
    for socket in rpc.sockets(json!({"port": port})) {
        let sockid = socket["sockid"].as_u64().unwrap();
        let exported = Exported::new(daemon, &[&sockid.to_string()]);
        exported.is_clean();
        let [client, server] = exported.streams(0);
        assert!(client == rpc.stream(sockid, "server"), "{socket}");
        assert!(server == rpc.stream(sockid, "client"), "{socket}");
    }
}

#[test]
fn a_download_from_nginx_over_ipv4_and_ipv6() {
    needs!("tshark", "nginx", "curl");
    let Pair { a, b } = Network::default().pair();
    let nginx = Nginx::start(&a, 80);
    nginx.serve("file", &Random::new(3).bytes(5 << 20));
    let daemon = Daemon::start(&a, TAP);
    for address in ["10.9.0.1", "[fd09::1]"] {
        b.run(&format!("curl -sS -o /dev/null http://{address}/file"));
    }
    daemon.rpc().complete(80, 2);
    assert_exported(&daemon, 80);
    daemon.stop();
}

#[test]
fn a_download_over_a_lossy_vlan() {
    needs!("tshark", "nginx", "curl", "tc");
    let Pair { a, b } = Network::default().pair();
    for (namespace, host) in [(&a, 1), (&b, 2)] {
        let words = "link add link veth name veth.7 type vlan id 7";
        let added = Program::start(namespace.command("ip").args(words.split(' '))).finish();
        if !added.status.success() {
            skip!("needs a kernel with VLAN devices: {}", added.stderr.trim());
        }
        namespace.ip(&format!("address add 10.9.7.{host}/24 dev veth.7"));
        namespace.ip("link set veth.7 up");
    }
    // The loss is in front of the monitor: it sees retransmissions, and no hole stays.
    let lossy = "qdisc add dev veth root netem loss 1%";
    let added = Program::start(b.command("tc").args(lossy.split(' '))).finish();
    if !added.status.success() {
        skip!("needs a kernel with netem: {}", added.stderr.trim());
    }
    let nginx = Nginx::start(&a, 80);
    nginx.serve("file", &Random::new(4).bytes(5 << 20));
    let daemon = Daemon::start(&a, TAP);
    b.run("curl -sS -o /dev/null http://10.9.7.1/file");
    daemon.rpc().complete(80, 1);
    assert_exported(&daemon, 80);
    daemon.stop();
}

#[test]
fn tshark_captures_through_the_extcap() {
    needs!("tshark", "setpriv");
    let Pair { a, b } = Network::default().pair();
    let daemon = Daemon::start(&a, &format!("{TAP}[rpc]\nmode = '0666'\n"));
    open_to_all(&daemon.socket());
    let dir = tempfile::tempdir().unwrap();
    let program = dir.path().join("monitorctl");
    open_to_all(&program);
    fs::copy(monitorctl(), &program).unwrap();
    Program::run(
        Command::new(&program)
            .args(["extcap", "install", "--dir"])
            .arg(dir.path()),
    );
    let tshark = || {
        // It ignores the variable as root.
        let mut command = Command::new("setpriv");
        command.args([
            "--reuid=65534",
            "--regid=65534",
            "--clear-groups",
            "tshark",
            "-n",
        ]);
        command.env("WIRESHARK_EXTCAP_DIR", dir.path());
        command.env("HOME", "/nonexistent");
        command
    };
    let listed = Program::run(tshark().arg("-D")).text();
    assert!(listed.contains("monitord-connection"), "{listed}");
    let socket = |name: &str| format!("extcap.{name}.socket:{}", daemon.socket().display());

    let mut capture = tshark();
    capture.args(["-i", "monitord", "-f", "port 7000", "-c", "20"]);
    let capture = Program::start(capture.args(["-o", &socket("monitord")]));
    let mut rpc = daemon.rpc();
    until("the subscription", || {
        (rpc.stat("rpc", "listeners") > 0).then_some(())
    });
    let bytes = Random::new(5).bytes(100_000);
    let transfers = [Transfer {
        request: &bytes,
        response: b"done",
    }];
    for port in [7001, 7000] {
        exchange(&a, &b, ([10, 9, 0, 1], port).into(), &transfers);
    }
    let shown = capture.finish().text();
    assert_eq!(shown.lines().count(), 20, "{shown}");
    assert!(!shown.contains("7001"), "the filter holds: {shown}");

    // One connection, by its sockid.
    let sockid = rpc.complete(7001, 1)[0]["sockid"].as_u64().unwrap();
    let mut options = Command::new(dir.path().join("monitor-extcap"));
    options.args([
        "--extcap-interface",
        "monitord-connection",
        "--extcap-config",
    ]);
    options.args(["--extcap-reload-option", "sockid", "--socket"]);
    let offered = Program::run(options.arg(daemon.socket())).text();
    assert!(
        offered.contains(&format!("{{value={sockid}}}")),
        "{offered}"
    );
    let mut capture = tshark();
    capture.args([
        "-i",
        "monitord-connection",
        "-c",
        "5",
        "-o",
        &socket("monitord_connection"),
    ]);
    capture.args(["-o", &format!("extcap.monitord_connection.sockid:{sockid}")]);
    let shown = Program::run(&mut capture).text();
    assert_eq!(
        shown.lines().filter(|line| line.contains("7001")).count(),
        5
    );

    // The error of a wrong filter is shown.
    let mut check = Command::new(dir.path().join("monitor-extcap"));
    check.args([
        "--extcap-interface",
        "monitord",
        "--extcap-capture-filter",
        "prot 80",
    ]);
    let error = Program::run(check.arg("--socket").arg(daemon.socket())).text();
    let refused = Program::start(&mut ctl(&daemon, &["sockets", "--filter", "prot 80"])).finish();
    assert!(!error.trim().is_empty(), "{error}");
    assert!(
        refused.stderr.contains(error.trim()),
        "{error}: {}",
        refused.stderr
    );
    daemon.stop();
}

//! Several interfaces at once: packets that cross more than one, equal addresses on two, names given by a pattern.

#![expect(
    clippy::unwrap_used,
    reason = "a test says what it expects by unwrapping it"
)]

use monitor_tests::wiregen::{Capture, End, Flow, Layers, Random};
use monitor_tests::{
    Daemon, Namespace, Program, Rpc, Transfer, exchange, inject, needs, skip, until,
};
use serde_json::json;

const STORE: &str =
    "workers = 2\nbuffers = '128MiB'\n[store]\nwindow = '8MiB'\nmemory = '128MiB'\n";

/// A bridge with the monitor, and a namespace on each of its ports.
struct Bridge {
    host: Namespace,
    ends: Vec<Namespace>,
}

impl Bridge {
    fn new() -> Self {
        let host = Namespace::new();
        host.ip("link add bridge type bridge");
        host.ip("address add 10.9.0.100/24 dev bridge");
        host.ip("link set bridge up");
        Self {
            host,
            ends: Vec::new(),
        }
    }

    /// Connects a namespace by a veth; its address is 10.9.0.N for the Nth.
    fn connect(&mut self) {
        let number = self.ends.len() + 1;
        let end = Namespace::new();
        let (port, name) = (format!("port{number}"), end.name());
        self.host.ip(&format!(
            "link add {port} type veth peer name veth netns {name}"
        ));
        self.host.ip(&format!("link set {port} master bridge up"));
        end.ip(&format!("address add 10.9.0.{number}/24 dev veth"));
        end.ip("link set veth up");
        self.ends.push(end);
    }
}

fn await_interfaces(rpc: &mut Rpc, count: usize) {
    until(&format!("{count} interfaces to be up"), || {
        let stats = rpc.ok("stats", json!({}));
        let interfaces = stats["capture"]["interfaces"].as_array().unwrap().clone();
        let up = interfaces
            .iter()
            .filter(|interface| interface["up"] == true);
        (up.count() == count && interfaces.len() == count).then_some(())
    });
}

/// Asserts that the only connection on a port has these bytes.
#[track_caller]
fn assert_bytes(rpc: &mut Rpc, port: u16, transfer: Transfer<'_>) -> serde_json::Value {
    let socket = rpc.complete(port, 1).remove(0);
    let sockid = socket["sockid"].as_u64().unwrap();
    assert!(rpc.stream(sockid, "server") == transfer.request);
    assert!(rpc.stream(sockid, "client") == transfer.response);
    socket
}

#[test]
fn bytes_that_cross_a_bridge_and_its_ports_count_once() {
    needs!();
    let mut bridge = Bridge::new();
    bridge.connect();
    let settings = format!("[capture]\ninterfaces = ['bridge', 'port*']\n{STORE}");
    let daemon = Daemon::start(&bridge.host, &settings);
    let mut rpc = daemon.rpc();
    await_interfaces(&mut rpc, 2);
    bridge.connect();
    await_interfaces(&mut rpc, 3);

    let bytes = Random::new(1).bytes(4_000_000);
    let transfer = Transfer {
        request: &bytes[..1_000_000],
        response: &bytes[1_000_000..],
    };
    // From port to port, and from a port to the bridge's own address: each packet is captured on two interfaces.
    let [a, b] = bridge.ends.as_slice() else {
        panic!("two ends");
    };
    let paths = [
        (a, b, "10.9.0.1:7000", "port2"),
        (&bridge.host, a, "10.9.0.100:7001", "port1"),
    ];
    for (server, client, address, first) in paths {
        let address: std::net::SocketAddr = address.parse().unwrap();
        exchange(server, client, address, &[transfer]);
        let socket = assert_bytes(&mut rpc, address.port(), transfer);
        assert_eq!(socket["interface"], first);
        rpc.nothing_lost();
    }
    let resent: u64 = [a, b, &bridge.host].map(retransmitted_by).iter().sum();
    let retransmitted = rpc.stat("tcp", "retransmitted_bytes");
    let elsewhere = rpc.stat("tcp", "seen_elsewhere_bytes");
    // The kernel may retransmit where this machine is slow; that is captured twice as well.
    if resent == 0 {
        assert_eq!(retransmitted + elsewhere, 8_000_000);
        // Where two processors deliver the packets, their copies may come in another order.
        assert!(retransmitted <= 80_000, "{retransmitted}");
    } else {
        assert!(elsewhere >= 8_000_000 && retransmitted <= resent * 65536);
    }
    bridge.host.ip("link del port2");
    await_interfaces(&mut rpc, 2);
    daemon.stop();
}

/// Returns the number of segments that the kernel of a namespace has retransmitted.
fn retransmitted_by(namespace: &Namespace) -> u64 {
    let table = namespace.run("cat /proc/net/snmp");
    let mut lines = table.lines().filter(|line| line.starts_with("Tcp:"));
    let (names, values) = (lines.next().unwrap(), lines.next().unwrap());
    let at = names
        .split(' ')
        .position(|name| name == "RetransSegs")
        .unwrap();
    values.split(' ').nth(at).unwrap().parse().unwrap()
}

#[test]
fn retransmissions_between_two_interfaces_count_as_on_one() {
    needs!("tc");
    let mut bridge = Bridge::new();
    bridge.connect();
    bridge.connect();
    let lossy = "qdisc add dev port2 root netem loss 2%";
    let added = Program::start(bridge.host.command("tc").args(lossy.split(' '))).finish();
    if !added.status.success() {
        skip!("needs a kernel with netem: {}", added.stderr.trim());
    }
    let of = |interfaces: &str| {
        format!("[capture]\npath = 'packet'\ninterfaces = [{interfaces}]\n{STORE}")
    };
    let both = Daemon::start(&bridge.host, &of("'port1', 'port2'"));
    let one = Daemon::start(&bridge.host, &of("'port1'"));
    let bytes = Random::new(2).bytes(3_000_000);
    let transfer = Transfer {
        request: &bytes[..10_000],
        response: &bytes[10_000..],
    };
    // The server's bytes are lost after port1.
    exchange(
        &bridge.ends[0],
        &bridge.ends[1],
        "10.9.0.1:7000".parse().unwrap(),
        &[transfer],
    );
    assert!(
        retransmitted_by(&bridge.ends[0]) > 0,
        "2 % of 2000 segments are lost"
    );
    let [both_counted, one_counted] = [&both, &one].map(|daemon| {
        let mut rpc = daemon.rpc();
        assert_bytes(&mut rpc, 7000, transfer);
        rpc.nothing_lost();
        rpc.stat("tcp", "retransmitted_bytes")
    });
    assert!(one_counted > 0);
    assert_eq!(both_counted, one_counted);
    both.stop();
    one.stop();
}

#[test]
fn equal_addresses_on_two_interfaces_are_two_connections_if_they_are_separate() {
    needs!();
    let host = Namespace::new();
    let far = [Namespace::new(), Namespace::new()];
    for (name, end) in ["red", "blue"].into_iter().zip(&far) {
        host.ip(&format!(
            "link add {name} type veth peer name veth netns {}",
            end.name()
        ));
        host.ip(&format!("link set {name} up"));
        end.ip("link set veth up");
    }
    let settings =
        format!("[flow]\ninterface = 'separate'\n[capture]\ninterfaces = ['red', 'blue']\n{STORE}");
    let daemon = Daemon::start(&host, &settings);
    let mut rpc = daemon.rpc();
    let flows = [11, 12].map(|seed| {
        let mut flow = Flow::new("192.0.2.1:40000", "192.0.2.2:7000");
        flow.mss = 1400;
        let bytes = Random::new(seed).bytes(50_000);
        flow.open()
            .send(End::Client, &bytes[..500])
            .send(End::Server, &bytes);
        flow
    });
    // In turn, so that both are open at the same time.
    for half in 0..2 {
        for (flow, end) in flows.iter().zip(&far) {
            let mut capture = Capture::of(&Layers::ethernet(), flow);
            let middle = capture.frames.len() / 2;
            if half == 0 {
                capture.frames.truncate(middle);
            } else {
                capture.frames.drain(..middle);
            }
            inject(end, "veth", &capture, &[0]);
        }
    }
    for (name, flow) in ["red", "blue"].into_iter().zip(&flows) {
        let socket = until(&format!("the bytes on {name}"), || {
            let all = rpc.sockets(json!({ "port": 7000 }));
            let own = all.iter().find(|socket| socket["interface"] == name)?;
            let end = own["sides"]["client"]["next"].as_u64();
            (end == Some(50_000)).then(|| own.clone())
        });
        let sockid = socket["sockid"].as_u64().unwrap();
        assert!(rpc.stream(sockid, "server") == flow.received_by(End::Server));
        assert!(rpc.stream(sockid, "client") == flow.received_by(End::Client));
    }
    assert_eq!(rpc.sockets(json!({ "port": 7000 })).len(), 2);
    assert_eq!(rpc.stat("tcp", "retransmitted_bytes"), 0);
    daemon.stop();
}

#[test]
fn settings_that_cannot_work_together_are_refused() {
    needs!();
    let host = Namespace::new();
    let refused = Daemon::refused(
        &host,
        "[flow]\ninterface = 'separate'\n[capture]\npath = 'xdp'\ninterfaces = ['lo', 'veth*']\n",
    );
    assert!(
        refused.contains("set [capture] path to \"auto\""),
        "{refused}"
    );
    let refused = Daemon::refused(&host, "[capture]\ninterfaces = ['veth[']\n");
    assert!(refused.contains("\"veth[\" is no pattern"), "{refused}");
}

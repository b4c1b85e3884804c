//! Interfaces and devices under capture: deleted, recreated, changed, taken down.

#![expect(
    clippy::unwrap_used,
    reason = "a test says what it expects by unwrapping it"
)]

use std::time::Duration;

use monitor_tests::wiregen::{Capture, End, Flow, Layers, Random};
use monitor_tests::{Daemon, Network, Pair, Rpc, Transfer, exchange, inject, needs, until};
use serde_json::{Value, json};

const MIRROR: &str = "[capture]\nmode = 'mirror'\ninterfaces = ['veth']\nworkers = 2\nbuffers = '64MiB'\n\
                      [store]\nwindow = '1MiB'\nmemory = '64MiB'\n";
const TAP: &str =
    "[capture]\ninterfaces = ['veth']\nworkers = 2\n[store]\nwindow = '4MiB'\nmemory = '64MiB'\n";

/// A conversation on a port of its own.
fn conversation(port: u16) -> (Flow, Capture) {
    let mut flow = Flow::new("192.0.2.1:40000", &format!("192.0.2.2:{port}"));
    flow.mss = 1400;
    let bytes = Random::new(port.into()).bytes(300_000);
    flow.open()
        .send(End::Client, &bytes[..1000])
        .send(End::Server, &bytes)
        .close();
    let capture = Capture::of(&Layers::ethernet(), &flow);
    (flow, capture)
}

#[track_caller]
fn assert_captured(rpc: &mut Rpc, port: u16, flow: &Flow) {
    let sockid = rpc.complete(port, 1)[0]["sockid"].as_u64().unwrap();
    for (end, side) in [(End::Client, "client"), (End::Server, "server")] {
        assert!(
            rpc.stream(sockid, side) == flow.received_by(end),
            "port {port}: the {side} side differs"
        );
    }
}

/// Waits until `veth` is in this state.
#[track_caller]
fn await_interface(rpc: &mut Rpc, what: &str, is: impl Fn(&Value) -> bool) {
    until(what, || {
        let stats = rpc.ok("stats", json!({}));
        is(&stats["capture"]["interfaces"][0]).then_some(())
    });
}

#[test]
fn a_mirror_port_that_is_made_again_under_its_name() {
    needs!("python3");
    let Pair { a, b } = Network::default().pair();
    let daemon = Daemon::start(&a, MIRROR);
    let mut rpc = daemon.rpc();
    let mut frames = 0;
    for port in 7000..7003 {
        await_interface(&mut rpc, "the port", |veth| veth["up"] == true);
        let (flow, capture) = conversation(port);
        inject(&b, "veth", &capture, &[0]);
        frames += capture.frames.len();
        assert_captured(&mut rpc, port, &flow);
        a.ip("link del veth");
        await_interface(&mut rpc, "the port to be gone", |veth| veth["up"] == false);
        let stats = rpc.ok("stats", json!({}));
        assert_eq!(
            stats["capture"]["rx_packets"], frames,
            "counters outlive the interface"
        );
        assert_eq!(
            stats["capture"]["xdp_redirected"], frames,
            "those of the programs, too"
        );
        Network::default().connect(&a, &b);
    }
    rpc.nothing_lost();
    daemon.stop();
}

#[test]
fn a_mirror_port_with_wrong_checksums_alone_is_reported_with_the_setting() {
    needs!("python3");
    let Pair { a, b } = Network::default().pair();
    let daemon = Daemon::start(&a, MIRROR);
    let (_, mut capture) = conversation(7000);
    for frame in &mut capture.frames {
        // First byte of the TCP checksum, behind Ethernet and IPv4.
        frame.data[14 + 20 + 16] ^= 0xff;
    }
    inject(&b, "veth", &capture, &[0]);
    until("the warning", || {
        let log = daemon.log();
        let warned =
            log.contains("veth: the checksums of its first 100 TCP segments are all wrong");
        (warned && log.contains("verify_checksums = \"never\"")).then_some(())
    });
    daemon.stop();
}

#[test]
fn a_mirror_port_that_gets_more_queues() {
    needs!("python3", "ethtool");
    let Pair { a, b } = Network {
        queues: 4,
        ..Network::default()
    }
    .pair();
    // With fewer receive queues than the other end has for sending, a veth refuses XDP in the driver.
    a.run("ethtool -L veth rx 2");
    let daemon = Daemon::start(&a, MIRROR);
    let mut rpc = daemon.rpc();
    await_interface(&mut rpc, "packet sockets", |veth| {
        veth["path"] == "packet" && veth["xdp"].is_null()
    });
    let reason = rpc.ok("stats", json!({}))["capture"]["path_reason"].to_string();
    assert!(reason.contains("native mode"), "{reason}");
    assert!(daemon.log().contains(&reason[1..20]), "{}", daemon.log());
    let (flow, capture) = conversation(6000);
    inject(&b, "veth", &capture, &[0]);
    assert_captured(&mut rpc, 6000, &flow);
    a.run("ethtool -L veth rx 4");
    await_interface(&mut rpc, "four queues", |veth| {
        veth["queues"] == 4 && veth["xdp"] == "native"
    });
    let (flow, capture) = conversation(7000);
    inject(&b, "veth", &capture, &[0, 1]);
    assert_captured(&mut rpc, 7000, &flow);
    daemon.stop();
}

#[test]
fn a_mirror_port_is_reopened_with_another_mtu() {
    needs!("python3");
    let Pair { a, b } = Network::default().pair();
    let daemon = Daemon::start(&a, MIRROR);
    let mut rpc = daemon.rpc();
    await_interface(&mut rpc, "the port", |veth| veth["up"] == true);
    a.ip("link set veth mtu 3000");
    until("the port to be reopened", || {
        daemon
            .log()
            .contains("another MTU; reopening")
            .then_some(())
    });
    await_interface(&mut rpc, "the port again", |veth| {
        veth["up"] == true && veth["xdp"] == "native"
    });
    let (flow, capture) = conversation(7000);
    inject(&b, "veth", &capture, &[0]);
    assert_captured(&mut rpc, 7000, &flow);
    daemon.stop();
}

#[test]
fn a_monitor_device_that_is_taken_down_or_deleted() {
    needs!();
    let Pair { a, b } = Network::default().pair();
    let daemon = Daemon::start(&a, TAP);
    let bytes = Random::new(1).bytes(1 << 20);
    let transfers = [Transfer {
        request: &bytes[..5000],
        response: &bytes,
    }];
    let check = |port: u16| {
        let address = format!("10.9.0.1:{port}").parse().unwrap();
        exchange(&a, &b, address, &transfers);
        let mut rpc = daemon.rpc();
        let sockid = rpc.complete(port, 1)[0]["sockid"].as_u64().unwrap();
        assert!(rpc.stream(sockid, "client") == bytes, "port {port} differs");
    };
    check(7000);
    a.ip("link set monitord0 down");
    until("the device to be up", || {
        a.ip("link show dev monitord0")
            .contains("LOWER_UP")
            .then_some(())
    });
    check(7001);
    a.ip("link del monitord0");
    until("another device", || {
        daemon.log().matches("tapping").nth(1).map(|_| ())
    });
    check(7002);
    daemon.stop();
    assert!(
        !a.ip("link show").contains("monitord"),
        "the device goes with the daemon"
    );
}

#[test]
fn an_interface_that_is_down_at_the_start() {
    needs!();
    let Pair { a, b } = Network::default().pair();
    a.ip("link set veth down");
    let daemon = Daemon::start(&a, TAP);
    let mut rpc = daemon.rpc();
    await_interface(&mut rpc, "veth to be down", |veth| veth["up"] == false);
    a.ip("link set veth up");
    await_interface(&mut rpc, "veth to be up", |veth| veth["up"] == true);
    // The other end's neighbour table may still have a failed entry.
    std::thread::sleep(Duration::from_millis(100));
    let bytes = Random::new(2).bytes(100_000);
    exchange(
        &a,
        &b,
        "10.9.0.1:7000".parse().unwrap(),
        &[Transfer {
            request: b"x",
            response: &bytes,
        }],
    );
    let sockid = rpc.complete(7000, 1)[0]["sockid"].as_u64().unwrap();
    assert!(rpc.stream(sockid, "client") == bytes);
    daemon.stop();
}

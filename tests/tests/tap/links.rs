//! Kinds of links: IPv6, offloads, VLAN tags, several interfaces.

use monitor_tests::wiregen::{Capture, End, Flow, Layers, Random};
use monitor_tests::{
    Daemon, Namespace, Network, Pair, Program, Transfer, exchange, inject, needs, skip, until,
};
use serde_json::json;

use crate::{MIB, assert_captured, tap};

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

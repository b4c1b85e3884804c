//! `mirror`: packets of other hosts that arrive at a port of ours.

#![expect(
    clippy::unwrap_used,
    reason = "a test says what it expects by unwrapping it"
)]

use std::process::Command;

use monitor_tests::wiregen::{Capture, End, Flow, Layers, Random};
use monitor_tests::{Daemon, Network, Pair, Program, Rpc, inject, needs, until};
use serde_json::{Value, json};

fn mirror(workers: u32, more: &str) -> String {
    format!(
        "[capture]\nmode = 'mirror'\ninterfaces = ['veth']\nworkers = {workers}\nbuffers = '64MiB'\n\
         [store]\nwindow = '8MiB'\nmemory = '512MiB'\n{more}"
    )
}

fn conversation(n: usize, random: &mut Random, bytes: usize) -> Flow {
    let mut flow = Flow::new(
        &format!("192.0.2.{}:{}", n % 250, 10_000 + n),
        "198.51.100.1:443",
    );
    flow.mss = 1400;
    flow.isn(random.number() as u32, random.number() as u32)
        .open();
    flow.send(End::Client, &random.bytes(bytes / 4))
        .send(End::Server, &random.bytes(bytes))
        .close();
    flow
}

#[track_caller]
fn assert_flow(rpc: &mut Rpc, flow: &Flow, vlan: &[u16]) -> Value {
    let params =
        json!({"client": flow.client.to_string(), "server": flow.server.to_string(), "vlan": vlan});
    let socket = rpc.ok("lookup", params);
    let sockid = socket["sockid"].as_u64().unwrap();
    for (end, side) in [(End::Client, "client"), (End::Server, "server")] {
        assert!(
            rpc.stream(sockid, side) == flow.received_by(end),
            "{} differs on the {side} side",
            flow.client
        );
    }
    socket
}

#[test]
fn a_generated_capture_on_native_veth() {
    needs!("python3");
    let Pair { a, b } = Network::default().pair();
    let mut random = Random::new(1);
    let plain: Vec<Flow> = (0..20)
        .map(|n| conversation(n, &mut random, 200_000))
        .collect();
    let qinq = conversation(100, &mut random, 50_000);
    let tags = Layers {
        tags: vec![(0x88a8, 100), (0x8100, 7)],
        ..Layers::ethernet()
    };
    let mut captures: Vec<_> = plain
        .iter()
        .map(|flow| Capture::of(&Layers::ethernet(), flow))
        .collect();
    captures.push(Capture::of(&tags, &qinq));
    let capture = Capture::mix(captures);

    let daemon = Daemon::start(&a, &mirror(2, ""));
    inject(&b, "veth", &capture, &[0]);
    let mut rpc = daemon.rpc();
    rpc.complete(443, 21);
    let stats = rpc.ok("stats", json!({}));
    assert_eq!(stats["capture"]["xdp"], "native", "{stats:#}");
    assert_eq!(stats["capture"]["rx_packets"], capture.frames.len());
    assert_eq!(stats["capture"]["rx_bytes"], capture.bytes());
    let workers: Vec<_> = plain
        .iter()
        .map(|flow| assert_flow(&mut rpc, flow, &[])["worker"].as_u64().unwrap())
        .collect();
    assert!(workers.contains(&0) && workers.contains(&1), "{workers:?}");
    assert_flow(&mut rpc, &qinq, &[100, 7]);
    rpc.nothing_lost();
    daemon.stop();
}

#[test]
fn directions_on_different_queues_are_one_flow_of_one_worker() {
    needs!("python3", "ethtool");
    if std::thread::available_parallelism().unwrap().get() < 2 {
        monitor_tests::skip!("needs 2 processors: the transmit queue follows the sender's");
    }
    let Pair { a, b } = Network {
        queues: 4,
        ..Network::default()
    }
    .pair();
    let mut random = Random::new(2);
    let flows: Vec<Flow> = (0..16)
        .map(|n| conversation(n, &mut random, 20_000))
        .collect();
    let capture = Capture::mix(
        flows
            .iter()
            .map(|flow| Capture::of(&Layers::ethernet(), flow)),
    );
    let daemon = Daemon::start(&a, &mirror(2, ""));
    inject(&b, "veth", &capture, &[0, 1]);
    let mut rpc = daemon.rpc();
    let sockets = rpc.complete(443, flows.len());
    let workers: Vec<_> = sockets
        .iter()
        .map(|socket| socket["worker"].as_u64().unwrap())
        .collect();
    assert!(workers.contains(&0) && workers.contains(&1), "{workers:?}");
    for flow in &flows {
        assert_flow(&mut rpc, flow, &[]);
    }
    // Both directions came, each on its own queue.
    let queues = a.run("ethtool -S veth");
    let used = queues.lines().filter_map(|line| {
        line.trim()
            .strip_prefix("rx_queue_")?
            .split_once("_xdp_packets: ")
    });
    let used: Vec<(&str, u64)> = used
        .map(|(queue, packets)| (queue, packets.parse().unwrap()))
        .collect();
    let busy = used.iter().filter(|(_, packets)| *packets > 100).count();
    assert_eq!((used.len(), busy), (4, 2), "{queues}");
    assert_eq!(
        rpc.ok("stats", json!({}))["capture"]["interfaces"][0]["queues"],
        4
    );
    rpc.nothing_lost();
    daemon.stop();
}

#[test]
fn fragments_on_the_wire_reach_the_worker_of_their_flow() {
    needs!("python3");
    let Pair { a, b } = Network::default().pair();
    let mut random = Random::new(3);
    let flows: Vec<Flow> = (0..16)
        .map(|n| conversation(n, &mut random, 20_000))
        .collect();
    let layers = Layers {
        fragment: Some(480),
        ..Layers::ethernet()
    };
    let capture = Capture::mix(flows.iter().map(|flow| Capture::of(&layers, flow)));
    let daemon = Daemon::start(&a, &mirror(2, ""));
    inject(&b, "veth", &capture, &[0]);
    let mut rpc = daemon.rpc();
    rpc.complete(443, flows.len());
    for flow in &flows {
        assert_flow(&mut rpc, flow, &[]);
    }
    assert!(rpc.stat("decode", "reassembled") > 16 * 10);
    assert_eq!(rpc.stat("decode", "fragments_dropped"), 0);
    assert_eq!(rpc.stat("capture", "handoffs_lost"), 0);
    daemon.stop();
}

#[test]
fn a_wrong_checksum_is_no_data_in_mirror_mode() {
    needs!("python3");
    let Pair { a, b } = Network::default().pair();
    let good = conversation(1, &mut Random::new(4), 1000);
    let bad = conversation(2, &mut Random::new(5), 1000);
    let wrong = Layers {
        bad_checksums: true,
        ..Layers::ethernet()
    };
    let capture = Capture::mix([
        Capture::of(&Layers::ethernet(), &good),
        Capture::of(&wrong, &bad),
    ]);
    let daemon = Daemon::start(&a, &mirror(1, ""));
    inject(&b, "veth", &capture, &[0]);
    let mut rpc = daemon.rpc();
    rpc.complete(443, 1);
    assert_flow(&mut rpc, &good, &[]);
    assert_eq!(
        rpc.stat("decode", "bad_checksum"),
        bad.segments.len() as u64
    );
    daemon.stop();
}

#[test]
fn packets_that_are_not_monitored_are_left_to_the_kernel() {
    needs!("ping");
    let Pair { a, b } = Network::default().pair();
    let daemon = Daemon::start(&a, &mirror(1, ""));
    // ARP and ICMP are answered by the host as before.
    b.run("ping -c 3 -i 0.2 10.9.0.1");
    let mut rpc = daemon.rpc();
    until("the counters", || {
        (rpc.stat("capture", "xdp_not_tcp") >= 3).then_some(())
    });
    assert!(
        rpc.stat("capture", "passed") > rpc.stat("capture", "xdp_not_tcp"),
        "ARP is not IP"
    );
    assert_eq!(rpc.sockets(json!({})).len(), 0);
    daemon.stop();
}

#[test]
fn another_program_on_the_port_is_not_replaced() {
    needs!();
    let Pair { a, b: _b } = Network::default().pair();
    let daemon = Daemon::start(&a, &mirror(1, ""));
    let log = Daemon::refused(&a, &mirror(1, ""));
    assert!(log.contains("another XDP program"), "{log}");
    daemon.rpc().ok("stats", json!({}));
    daemon.stop();
    let links = Program::run(
        Command::new("nsenter")
            .arg(format!("--net={}", a.path().display()))
            .args(["ip", "link"]),
    );
    assert!(!links.text().contains("xdp"), "{}", links.text());
}

//! Large hosts: many queues with many workers.

use monitor_tests::wiregen::{Capture, End, Flow, Layers, Random};
use monitor_tests::{Daemon, Network, Pair, inject, needs};
use serde_json::json;

#[test]
fn twenty_four_queues_with_twenty_four_workers_start_and_capture() {
    needs!("python3");
    let network = Network {
        queues: 24,
        ..Network::default()
    };
    let Pair { a, b } = network.pair();
    // 576 AF_XDP sockets, beside a usual soft limit of 1024 descriptors.
    let settings = "[capture]\nmode = 'mirror'\ninterfaces = ['veth']\nworkers = 24\nbuffers = '64MiB'\n\
                    [store]\nmemory = '256MiB'\n";
    let daemon = Daemon::start(&a, settings);
    let mut rpc = daemon.rpc();
    let stats = rpc.ok("stats", json!({}))["capture"].take();
    assert_eq!(
        (&stats["workers"], &stats["path"]),
        (&json!(24), &json!("xdp")),
        "{stats:#}"
    );
    assert_eq!(stats["interfaces"][0]["queues"], 24, "{stats:#}");
    assert!(daemon.descriptors() > 24 * 24);
    let mut flow = Flow::new("192.0.2.1:5000", "198.51.100.1:80");
    let mut random = Random::new(24);
    flow.open()
        .send(End::Client, &random.bytes(5000))
        .send(End::Server, &random.bytes(50_000))
        .close();
    inject(&b, "veth", &Capture::of(&Layers::ethernet(), &flow), &[0]);
    let sockid = rpc.complete(80, 1)[0]["sockid"].as_u64().unwrap();
    assert!(rpc.stream(sockid, "client") == flow.received_by(End::Client));
    assert!(rpc.stream(sockid, "server") == flow.received_by(End::Server));
    daemon.stop();
}

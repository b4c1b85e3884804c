//! The command: its output, its speed, its end.

use std::time::{Duration, Instant};

use monitor_tests::Daemon;
use monitor_tests::wiregen::{Capture, End, Flow, Layers};
use serde_json::json;

use crate::{Files, assert_streams, conversation, served};

#[test]
fn exit_prints_one_object_with_every_counter() {
    let flow = conversation("10.0.0.1:40000", "10.0.0.2:80", 15);
    let capture = Capture::of(&Layers::ethernet(), &flow);
    let files = Files::new();
    let file = files.write("one.pcap", &capture.pcap());
    let summary = Daemon::replay_and_exit(&[&file], "").summary;
    let payload = flow.received_by(End::Client).len() + flow.received_by(End::Server).len();
    assert_eq!(summary["packets"], capture.frames.len());
    assert_eq!(summary["bytes"], capture.bytes());
    assert_eq!(summary["payload_bytes"], payload);
    assert_eq!(summary["flows"], 1);
    assert!(summary["seconds"].as_f64() > Some(0.0));
    assert_eq!(summary["stats"]["decode"]["packets"], capture.frames.len());

    // Every counter of `stats` is there, with the same value.
    let (daemon, mut rpc) = served(&file, "");
    let stats = rpc.ok("stats", json!({}));
    for group in ["capture", "decode", "flows", "tcp", "store"] {
        for (name, value) in stats[group]
            .as_object()
            .unwrap()
            .iter()
            .filter(|(_, value)| value.is_u64())
        {
            if name != "workers" {
                assert_eq!(&summary["stats"][group][name], value, "{group}.{name}");
            }
        }
    }
    daemon.stop();
}

#[test]
fn recorded_speed() {
    let mut flow = Flow::new("10.0.0.1:40000", "10.0.0.2:80");
    flow.open()
        .send(End::Client, b"first")
        .wait(2_000_000_000)
        .send(End::Server, b"second")
        .close();
    let files = Files::new();
    let file = files.write("slow.pcap", &Capture::of(&Layers::ethernet(), &flow).pcap());
    let start = Instant::now();
    let daemon = Daemon::replay(&[&file], "", &["--speed", "1"]);
    let mut rpc = daemon.rpc();
    let sockid = monitor_tests::until("the connection", || {
        rpc.sockets(json!({}))
            .first()
            .and_then(|socket| socket["sockid"].as_u64())
    });
    assert_eq!(rpc.ok("stats", json!({}))["capture"]["finished"], false);
    monitor_tests::until("the first bytes", || {
        rpc.ppeek(sockid, "server", 0, 10).ok()
    });
    assert_eq!(
        rpc.side(sockid, "client")["end"],
        0,
        "the second part is 2 seconds later"
    );
    daemon.finished();
    assert!(start.elapsed() >= Duration::from_secs(2));
    assert_streams(&mut rpc, &flow, &[]);
    daemon.stop();

    let start = Instant::now();
    let daemon = Daemon::replay(&[&file], "", &["--speed", "1e3"]);
    daemon.finished();
    assert!(start.elapsed() < Duration::from_secs(2));
    daemon.stop();
}

#[test]
fn sigterm_ends_a_slow_replay() {
    let mut flow = Flow::new("10.0.0.1:40000", "10.0.0.2:80");
    flow.open().wait(3_600_000_000_000).close();
    let files = Files::new();
    let file = files.write("hour.pcap", &Capture::of(&Layers::ethernet(), &flow).pcap());
    let daemon = Daemon::replay(&[&file], "", &["--speed", "1"]);
    let start = Instant::now();
    daemon.stop();
    assert!(start.elapsed() < Duration::from_secs(5));
}

//! Exported captures, read by the monitor itself.

use std::path::Path;

use monitor_tests::wiregen::{Capture, End, Flow, Layers, Random};
use monitor_tests::{Daemon, Program, needs, until};
use serde_json::json;

use crate::live::address_of;
use crate::{Exported, ctl, replayed};

/// Returns both sides of the newest connection to a port.
fn sides(daemon: &Daemon, port: u16) -> [Vec<u8>; 2] {
    let mut rpc = daemon.rpc();
    let socket = rpc.sockets(json!({"port": port})).pop().unwrap();
    let sockid = socket["sockid"].as_u64().unwrap();
    ["client", "server"].map(|side| rpc.stream(sockid, side))
}

#[test]
fn the_monitor_reads_the_same_connections_over_tcp() {
    needs!();
    let mut random = Random::new(7);
    let mut flows = Vec::new();
    for port in 1..20 {
        let mut flow = Flow::new("[2001:db8::1]:40000", &format!("[2001:db8::2]:{port}"));
        flow.isn(random.number() as u32, random.number() as u32)
            .open();
        for _ in 0..5 {
            let lengths = [1 + random.below(9000), 1 + random.below(9000)];
            flow.send(End::Client, &random.bytes(lengths[0]))
                .send(End::Server, &random.bytes(lengths[1]));
        }
        flow.close();
        flows.push(flow);
    }
    let daemon = replayed(&flows.iter().collect::<Vec<_>>(), &Layers::ethernet(), "");
    let args = ["export", "--all", "--listen", "127.0.0.1:0"];
    let export = Program::start(&mut ctl(&daemon, &args));
    let source = format!("tcp://{}", address_of(&export));
    let copy = Daemon::replay(&[Path::new(&source)], "", &[]);
    copy.finished();
    for flow in &flows {
        let port = flow.server.port();
        let expected = [End::Client, End::Server].map(|end| flow.received_by(end).to_vec());
        assert!(sides(&copy, port) == expected, "port {port}");
    }
    let (mut one, mut other) = (daemon.rpc(), copy.rpc());
    for field in ["isn", "fin", "gaps", "retransmitted"] {
        for side in ["client", "server"] {
            let values = |sockets: Vec<serde_json::Value>| {
                let mut values: Vec<_> = sockets
                    .iter()
                    .map(|it| {
                        (
                            it["server"].to_string(),
                            it["sides"][side][field].to_string(),
                        )
                    })
                    .collect();
                values.sort();
                values
            };
            let listed = [one.sockets(json!({})), other.sockets(json!({}))].map(values);
            assert_eq!(listed[0], listed[1], "{field} of {side}");
        }
    }
    copy.stop();
    daemon.stop();
}

#[test]
fn late_bytes_are_written_when_they_arrive() {
    needs!("tshark");
    let mut flow = Flow::new("10.0.0.1:40000", "10.0.0.2:80");
    flow.open()
        .wait(2_000_000_000)
        .send(
            End::Server,
            &[[b'a'; 1448], [b'b'; 1448], [b'c'; 1448]].concat(),
        )
        .wait(500_000_000)
        .send(End::Server, b"so the hole is declared lost")
        .wait(500_000_000);
    let second = flow.seq(End::Server, 1448);
    let found = flow
        .segments
        .iter()
        .position(|it| it.seq == second && !it.payload.is_empty());
    let mut late = flow.segments.remove(found.unwrap());
    late.time = flow.now;
    flow.segments.push(late);
    flow.wait(500_000_000).close();
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("capture.pcap");
    std::fs::write(&file, Capture::of(&Layers::ethernet(), &flow).pcap()).unwrap();
    let daemon = Daemon::replay(&[&file], "", &["--speed", "1"]);
    let mut rpc = daemon.rpc();
    let sockid = until("the connection", || {
        rpc.sockets(json!({})).pop()?["sockid"].as_u64()
    });
    let exported = Exported::new(&daemon, &["--live", &sockid.to_string()]);
    let payloads = exported.tshark(&["-Y", "tcp.len > 0", "-T", "fields", "-e", "tcp.payload"]);
    let whole: String = payloads.split_whitespace().collect();
    for byte in *b"abc" {
        let expected = format!("{byte:02x}").repeat(1448);
        assert_eq!(whole.matches(&expected).count(), 1, "{}", byte as char);
    }
    daemon.stop();
}

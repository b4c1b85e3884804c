//! `monitorctl capture`: the packets of a mirror port, which XDP takes before any packet socket.

#![expect(
    clippy::unwrap_used,
    reason = "a test says what it expects by unwrapping it"
)]

use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::Command;

use monitor_tests::wiregen::{Capture, End, Flow, Layers, Random};
use monitor_tests::{Daemon, Network, Pair, Program, inject, monitorctl, needs, until};
use rustix::process::Signal;
use serde_json::json;

fn conversation(port: usize, random: &mut Random) -> Flow {
    let mut flow = Flow::new(&format!("192.0.2.1:{port}"), "198.51.100.1:443");
    flow.mss = 1400;
    flow.isn(random.number() as u32, random.number() as u32)
        .open();
    flow.send(End::Client, &random.bytes(5000))
        .send(End::Server, &random.bytes(100_000))
        .close();
    flow
}

fn capture(daemon: &Daemon, args: &[&str], file: &Path) -> Command {
    let mut command = Command::new(monitorctl());
    command.arg("--socket").arg(daemon.socket());
    command.arg("capture").args(args).arg("-w").arg(file);
    command
}

/// Kinds of the blocks of a pcapng file, and the packets in it.
fn blocks(file: &Path) -> (Vec<u32>, Vec<Vec<u8>>) {
    let bytes = std::fs::read(file).unwrap_or_default();
    let number = |at: usize| u32::from_le_bytes(bytes[at..at + 4].try_into().unwrap()) as usize;
    let (mut kinds, mut packets, mut at) = (Vec::new(), Vec::new(), 0);
    // The last block may be incomplete while the file is written.
    while at + 8 <= bytes.len() && at + number(at + 4) <= bytes.len() {
        kinds.push(number(at) as u32);
        if number(at) == 6 {
            let captured = number(at + 20);
            packets.push(bytes[at + 28..at + 28 + captured].to_vec());
        }
        at += number(at + 4);
    }
    (kinds, packets)
}

#[test]
fn captured_packets_are_those_of_the_sender() {
    needs!("python3");
    let Pair { a, b } = Network::default().pair();
    let mut random = Random::new(9);
    let flows: Vec<Flow> = (0..8)
        .map(|n| conversation(10_000 + n, &mut random))
        .collect();
    let sent = Capture::mix(
        flows
            .iter()
            .map(|flow| Capture::of(&Layers::ethernet(), flow)),
    );
    let daemon = Daemon::start(
        &a,
        "[capture]\nmode = 'mirror'\ninterfaces = ['veth']\nworkers = 2\n[store]\nmemory = '128MiB'\n",
    );
    let dir = tempfile::tempdir().unwrap();
    let (all, some) = (
        dir.path().join("all.pcapng"),
        dir.path().join("some.pcapng"),
    );
    let filter = "port 10003";
    let captures = [
        Program::start(&mut capture(&daemon, &[], &all)),
        Program::start(&mut capture(&daemon, &["--filter", filter], &some)),
    ];
    // The head of the file is written when the workers log their packets.
    until("both captures run", || {
        let runs = [&all, &some].map(|file| !blocks(file).0.is_empty());
        (runs == [true, true]).then_some(())
    });
    inject(&b, "veth", &sent, &[0]);
    let mut rpc = daemon.rpc();
    rpc.complete(443, flows.len());
    let own = Capture::of(&Layers::ethernet(), &flows[3]);
    for (file, expected) in [(&all, &sent), (&some, &own)] {
        let mut expected: Vec<_> = expected.frames.iter().map(|it| it.data.clone()).collect();
        let mut seen = until("all packets are in the file", || {
            let (_, packets) = blocks(file);
            (packets.len() >= expected.len()).then_some(packets)
        });
        expected.sort();
        seen.sort();
        assert!(seen == expected, "{} packets", seen.len());
    }
    for program in captures {
        program.signal(Signal::INT);
        let finished = program.finish();
        assert!(finished.status.success(), "{}", finished.stderr);
        assert!(finished.text().contains(", 0 lost"), "{}", finished.text());
    }
    // A section, an interface, packets, and the counters of the interface.
    let (kinds, packets) = blocks(&all);
    assert_eq!(&kinds[..2], [0x0a0d_0d0a, 1]);
    assert_eq!((kinds.len(), kinds.last()), (packets.len() + 3, Some(&5)));
    assert_eq!(all.metadata().unwrap().permissions().mode() & 0o777, 0o600);
    rpc.nothing_lost();
    daemon.stop();

    let replay = Daemon::replay(&[&all], "", &[]);
    let mut rpc = replay.rpc();
    rpc.complete(443, flows.len());
    for flow in &flows {
        let ends = json!({ "client": flow.client.to_string(), "server": flow.server.to_string() });
        let sockid = rpc.ok("lookup", ends)["sockid"].as_u64().unwrap();
        for (end, side) in [(End::Client, "client"), (End::Server, "server")] {
            assert!(rpc.stream(sockid, side) == flow.received_by(end));
        }
    }
    // A replay has no packets to capture.
    let other = dir.path().join("other.pcapng");
    let refused = Program::start(&mut capture(&replay, &[], &other)).finish();
    assert!(!refused.status.success());
    assert!(refused.stderr.contains("replay"), "{}", refused.stderr);
    replay.stop();
}

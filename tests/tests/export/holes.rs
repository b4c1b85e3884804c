//! Missing bytes: jumps in the sequence, of which tshark finds the number.

use monitor_tests::wiregen::{Capture, End, Flow, Layers, Random, Segment, flags};
use monitor_tests::{Daemon, needs, until};
use serde_json::{Value, json};

use crate::{Exported, replayed};

/// End of the text that tshark puts in the place of missing bytes.
const MISSING: &[u8] = b" bytes missing in capture file]";

/// Splits a stream of tshark into its bytes and the numbers of missing ones.
fn split(stream: &[u8]) -> (Vec<u8>, Vec<u64>) {
    let (mut kept, mut missing) = (Vec::new(), Vec::new());
    let mut rest = stream;
    while let Some(at) = rest.windows(MISSING.len()).position(|it| it == MISSING) {
        let start = rest[..at].iter().rposition(|byte| *byte == b'[').unwrap();
        let number = str::from_utf8(&rest[start + 1..at]).unwrap();
        missing.push(number.parse().unwrap());
        kept.extend_from_slice(&rest[..start]);
        rest = &rest[at + MISSING.len()..];
        rest = rest.strip_prefix(b"\0").unwrap_or(rest);
    }
    kept.extend_from_slice(rest);
    (kept, missing)
}

/// Returns the only connection, and the retained ranges of the bytes that its client received.
fn ranges(daemon: &Daemon) -> (Value, Vec<(u64, u64)>) {
    let mut rpc = daemon.rpc();
    let socket = rpc.sockets(json!({})).remove(0);
    let params = json!({"sockid": socket["sockid"], "side": "client"});
    let fragments = rpc.ok("fragments", params);
    let extents = serde_json::from_value(fragments["extents"].clone()).unwrap();
    (socket, extents)
}

/// Asserts that tshark finds these ranges of a stream, and names the bytes between them.
#[track_caller]
fn assert_ranges(stream: &[u8], sent: &[u8], ranges: &[(u64, u64)]) {
    let (kept, missing) = split(stream);
    let mut expected: Vec<u8> = Vec::new();
    let mut holes = Vec::new();
    let mut edge = 0;
    for &(off, len) in ranges {
        if off > edge {
            holes.push(off - edge);
        }
        edge = off + len;
        expected.extend(&sent[off as usize..edge as usize]);
    }
    assert_eq!(missing, holes);
    assert!(kept == expected, "all other bytes are there");
}

#[test]
fn tshark_names_the_missing_bytes() {
    needs!("tshark");
    let mut random = Random::new(4);
    let mut flow = Flow::new("10.0.0.1:40000", "10.0.0.2:80");
    flow.open()
        .send(End::Client, b"GET")
        .send(End::Server, &random.bytes(900_000))
        .close();
    flow.lose(&mut random, 3);
    let daemon = replayed(&[&flow], &Layers::ethernet(), "");
    let (socket, ranges) = ranges(&daemon);
    assert!(ranges.len() > 10, "{ranges:?}");
    let exported = Exported::new(&daemon, &[&socket["sockid"].to_string()]);
    let [_, stream] = exported.streams(0);
    assert_ranges(&stream, flow.received_by(End::Client), &ranges);
    daemon.stop();
}

#[test]
fn an_evicted_start_is_missing() {
    needs!("tshark");
    let mut flow = Flow::new("10.0.0.1:40000", "10.0.0.2:80");
    flow.open()
        .send(End::Server, &Random::new(5).bytes(900_000))
        .close();
    let window = "[store]\nwindow = '64KiB'\n";
    let daemon = replayed(&[&flow], &Layers::ethernet(), window);
    let (_, ranges) = ranges(&daemon);
    assert!(ranges.len() == 1 && ranges[0].0 > 800_000, "{ranges:?}");
    let exported = Exported::new(&daemon, &["--all"]);
    // The server's stream is the only one.
    let [_, stream] = exported.streams(0);
    assert_ranges(&stream, flow.received_by(End::Client), &ranges);
    daemon.stop();
}

#[test]
fn a_hole_that_may_be_filled_is_not_acknowledged() {
    needs!("tshark");
    let mut flow = Flow::new("10.0.0.1:40000", "10.0.0.2:80");
    flow.open()
        .send(End::Client, b"GET")
        .send(End::Server, &[b'a'; 3000]);
    let second = flow.seq(End::Server, 1448);
    let is_second = |it: &Segment| it.from == End::Server && it.seq == second;
    let second = flow.segments.iter().position(is_second).unwrap();
    // The client doesn't acknowledge what follows the hole.
    flow.segments.remove(second);
    flow.segments
        .retain(|it| it.from == End::Server || it.payload.len() == 3 || it.seq < 1004);
    // A replay that is finished declares all holes lost: this one isn't.
    flow.wait(3_600_000_000_000)
        .segment(End::Client, flags::ACK, b"");
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("capture.pcap");
    std::fs::write(&file, Capture::of(&Layers::ethernet(), &flow).pcap()).unwrap();
    let daemon = Daemon::replay(&[&file], "", &["--speed", "1"]);
    until("the bytes beyond the hole", || {
        let sockets = daemon.rpc().sockets(json!({}));
        (sockets.first()?["sides"]["client"]["end"] == 3000).then_some(())
    });
    let (socket, ranges) = ranges(&daemon);
    assert_eq!(ranges, [(0, 1448), (2896, 104)], "{socket}");
    let exported = Exported::new(&daemon, &["--all"]);
    let acknowledged = exported.tshark(&[
        "-Y",
        "tcp.srcport == 40000",
        "-T",
        "fields",
        "-e",
        "tcp.ack",
    ]);
    assert_eq!(acknowledged.lines().last(), Some("1449"), "{acknowledged}");
    let lengths = exported.tshark(&[
        "-Y",
        "tcp.len > 0",
        "-T",
        "fields",
        "-e",
        "tcp.seq",
        "-e",
        "tcp.len",
    ]);
    assert_eq!(lengths, "1\t3\n1\t1448\n2897\t104\n");
    daemon.stop();
}

//! `watch` on a capture that the real binary replays: its matches are those of grep in the whole
//! streams.

#![expect(
    clippy::unwrap_used,
    reason = "a test says what it expects by unwrapping it"
)]

use std::collections::BTreeSet;
use std::fs;
use std::process::Command;

use monitor_tests::Daemon;
use monitor_tests::wiregen::{Capture, End, Flow, Layers, Random};
use serde_json::json;

const SECOND: u64 = 1_000_000_000;
/// Patterns that grep and `watch` read alike.
const PATTERNS: [&str; 3] = ["id=[0-9]+;", "secret", "GET /[a-z]{3,5}\\.html"];

/// Offset and length of every match, by grep over the whole.
fn grep(pattern: &str, stream: &[u8]) -> Vec<(u64, u64)> {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("stream");
    fs::write(&file, stream).unwrap();
    let mut grep = Command::new("grep");
    let output = grep
        .env("LC_ALL", "C")
        .args(["-a", "-b", "-o", "-E", pattern])
        .arg(&file)
        .output()
        .unwrap();
    let lines = String::from_utf8(output.stdout).unwrap();
    let found = lines.lines().map(|line| line.split_once(':').unwrap());
    found
        .map(|(offset, text)| (offset.parse().unwrap(), text.len() as u64))
        .collect()
}

/// Letters and spaces with something to find now and then.
fn text(random: &mut Random, len: usize) -> Vec<u8> {
    let mut text = Vec::new();
    while text.len() < len {
        match random.below(40) {
            0 => text.extend(format!("id={};", random.below(100_000)).bytes()),
            1 => text.extend(b"secret"),
            2 => text.extend(b"GET /index.html"),
            _ => text.extend((0..random.below(30)).map(|_| b"abc =;\n"[random.below(7)])),
        }
    }
    text
}

#[test]
fn matches_of_grep_are_found_in_segments() {
    let mut random = Random::new(11);
    // Time for a client to come before anything happens: another connection opens first.
    let mut early = Flow::new("10.9.9.9:1", "10.0.0.2:80");
    early.open();
    let mut flow = Flow::new("10.0.0.1:40000", "10.0.0.2:80");
    flow.mss = 7;
    flow.wait(4 * SECOND).isn(u32::MAX - 1000, 5).open();
    for _ in 0..5 {
        let (request, response) = (text(&mut random, 2000), text(&mut random, 4000));
        flow.send(End::Client, &request)
            .send(End::Server, &response);
    }
    flow.close()
        .duplicate(&mut random, 20)
        .reorder(&mut random, 30, 4)
        .overlap(&mut random, 20);
    let layers = Layers::ethernet();
    let capture = Capture::mix([Capture::of(&layers, &early), Capture::of(&layers, &flow)]);
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("watch.pcap");
    fs::write(&file, capture.pcap()).unwrap();

    let daemon = Daemon::replay(&[&file], "", &["--speed", "1"]);
    let mut rpc = daemon.rpc();
    rpc.ok("watch", json!({ "patterns": PATTERNS }));
    let mut expected = BTreeSet::new();
    for (end, side) in [(End::Client, "client"), (End::Server, "server")] {
        for (number, pattern) in PATTERNS.iter().enumerate() {
            let found = grep(pattern, flow.received_by(end));
            assert!(found.len() > 3, "{pattern} is there");
            expected.extend(
                found
                    .into_iter()
                    .map(|(off, len)| (side.to_owned(), number as u64, off, len)),
            );
        }
    }
    let mut found = BTreeSet::new();
    while found.len() < expected.len() {
        let event = rpc.line().unwrap()["params"].clone();
        assert_eq!(event["event"], "match", "{event}");
        let number = |key: &str| event[key].as_u64().unwrap();
        let side = event["side"].as_str().unwrap().to_owned();
        let new = found.insert((side, number("pattern"), number("off"), number("len")));
        assert!(new, "found twice: {event}");
    }
    assert_eq!(found, expected);
    daemon.finished();
    // The reply comes next: nothing else was found.
    assert_eq!(rpc.ok("stats", json!({}))["rpc"]["events_lost"], 0);
    daemon.stop();
}

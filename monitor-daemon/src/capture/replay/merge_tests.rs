//! Unit tests of the times of a replay: several files, and times that are wrong.

use std::path::PathBuf;
use std::time::Duration;

use monitor_engine::{Connection, Engine, EngineConfig, Reader, Side};
use monitor_tests::wiregen::{Capture, End, Flow, Layers};
use tempfile::TempDir;

use super::*;

const SECOND: u64 = 1_000_000_000;
const DAY: u64 = 86_400 * SECOND;

fn flow(port: u16) -> Flow {
    let mut flow = Flow::new(&format!("10.0.0.1:{port}"), "10.0.0.2:80");
    flow.open();
    flow
}

/// Returns a capture of a flow, later by a distance in time.
fn later(flow: &Flow, by: u64) -> Capture {
    let mut capture = Capture::of(&Layers::ethernet(), flow);
    for frame in &mut capture.frames {
        frame.time += by;
    }
    capture
}

fn write(dir: &TempDir, captures: &[Capture]) -> Vec<PathBuf> {
    captures
        .iter()
        .enumerate()
        .map(|(index, capture)| {
            let path = dir.path().join(format!("{index}.pcap"));
            std::fs::write(&path, capture.pcap()).unwrap();
            path
        })
        .collect()
}

fn replay(captures: &[Capture]) -> Reader {
    let dir = tempfile::tempdir().unwrap();
    let replay = Replay::open(&write(&dir, captures), Options::default()).unwrap();
    let mut engine = Engine::new(EngineConfig::default(), ()).unwrap();
    replay
        .run(0, &mut engine, &mut |_, _: Duration| true, || ())
        .unwrap();
    engine.reader()
}

/// Returns the connection of a client's port.
fn connection(reader: &Reader, port: u16) -> Connection {
    reader
        .connections(None)
        .find(|connection| connection.client.port() == port)
        .unwrap_or_else(|| panic!("no connection from port {port}"))
}

fn received(reader: &Reader, port: u16, side: Side) -> Vec<u8> {
    let mut bytes = vec![0; 64];
    let peek = reader
        .peek(connection(reader, port).id, side, 0, &mut bytes)
        .unwrap();
    bytes.truncate(peek.len);
    bytes
}

#[test]
fn files_a_day_apart_keep_their_connections_and_times_in_any_order() {
    let a = later(flow(1000).send(End::Client, b"in a"), 0);
    let b = later(flow(2000).send(End::Client, b"in b"), DAY);
    let (first, last) = (a.frames[0].time, b.frames[b.frames.len() - 1].time);
    for captures in [[a.clone(), b.clone()], [b, a]] {
        let reader = replay(&captures);
        assert_eq!(received(&reader, 1000, Side::Server), b"in a");
        assert_eq!(received(&reader, 2000, Side::Server), b"in b");
        let [a, b] = [1000, 2000].map(|port| connection(&reader, port));
        assert_eq!((a.closed, b.closed), (None, None));
        assert_eq!((a.opened, b.last), (first, last));
        assert!(a.last < first + SECOND && b.opened > first + DAY - SECOND);
    }
}

#[test]
fn timeouts_count_the_time_within_a_file() {
    let idle = later(flow(1000).send(End::Client, b"idle"), 0);
    let mut busy = flow(2000);
    busy.send(End::Client, b"before")
        .wait(700 * SECOND)
        .send(End::Client, b"after");
    let reader = replay(&[idle, later(&busy, DAY)]);
    let idle = reader
        .connections(None)
        .find(|connection| connection.client.port() == 1000);
    assert_eq!(idle, None, "closed after 600 s, removed 60 s later");
    assert!(connection(&reader, 2000).midstream, "idle for 700 s");
}

#[test]
fn files_of_the_same_time_are_merged() {
    let mut both = flow(1000);
    for round in 0..200_u8 {
        let end = if round % 2 == 0 {
            End::Client
        } else {
            End::Server
        };
        both.send(end, &[round; 1]);
    }
    let whole = later(&both, 0);
    // One file for each direction, as of a tap.
    let direction = |client: bool| {
        let mut capture = whole.clone();
        capture
            .frames
            .retain(|frame| (frame.data[26..30] == [10, 0, 0, 1]) == client);
        capture
    };
    let reader = replay(&[direction(true), direction(false)]);
    let connection = connection(&reader, 1000);
    assert!(!connection.midstream);
    assert_eq!(connection.sides.map(|side| side.next), [100, 100]);
    assert_eq!(connection.sides.map(|side| side.gaps), [0, 0]);
    assert_eq!(reader.connections(None).count(), 1);
}

#[test]
fn one_packet_with_a_time_far_ahead_ends_nothing() {
    for at in 0..7 {
        let mut capture = later(
            flow(1000)
                .send(End::Client, b"hello ")
                .send(End::Client, b"world"),
            0,
        );
        let count = capture.frames.len();
        assert_eq!(count, 7, "two segments with their acknowledgments");
        let [first, last] = [0, count - 1].map(|at| capture.frames[at].time);
        capture.frames[at].time += 50 * 365 * DAY;
        let reader = replay(&[capture]);
        assert_eq!(received(&reader, 1000, Side::Server), b"hello world");
        let connection = connection(&reader, 1000);
        assert!(!connection.midstream && connection.closed.is_none());
        assert!(
            connection.opened >= first && connection.last <= last + SECOND,
            "packet {at}: {connection:?}"
        );
    }
}

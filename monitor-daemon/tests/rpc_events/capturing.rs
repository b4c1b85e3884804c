//! Packets that are captured for a client.

use monitor_client::Packets;
use monitor_engine::{Checksum, LinkType, Packet};
use serde_json::json;

use crate::rpc_common::engine_threads::EngineThreads;
use crate::rpc_common::{Server, engines};
use crate::{expect, listener, serve};

/// TCP packet from 10.0.0.1 to port 80 of 10.0.0.2.
fn packet(port: u16, len: usize) -> Vec<u8> {
    let mut packet = vec![0x45, 0, 0, 40, 0, 0, 0x40, 0, 64, 6, 0, 0];
    packet.extend([10, 0, 0, 1, 10, 0, 0, 2]);
    packet.extend(port.to_be_bytes());
    packet.extend([0, 80]);
    packet.resize(len, 7);
    packet
}

/// Logs packets as a worker does.
fn log(threads: &EngineThreads, worker: usize, packets: &[(u64, Vec<u8>)]) {
    let mut engine = threads.engine(worker);
    let Some(log) = engine.sink().packet_log() else {
        panic!("nothing is captured")
    };
    for (time, data) in packets {
        log.push(&[Packet {
            time: *time,
            interface: 0,
            link: LinkType::Ip,
            data,
            more: &[],
            cut: 0,
            checksum: Checksum::Unknown,
        }]);
    }
}

#[test]
fn packets_that_match_are_streamed_and_cut() {
    let (server, threads) = Server::live(engines(2));
    let mut wire = server.wire();
    let params = json!({ "filter": "port 1000", "snaplen": 30 });
    let number = listener(&mut wire, "capture", params);
    log(&threads, 0, &[(1, packet(1000, 60)), (2, packet(2000, 60))]);
    log(&threads, 1, &[(3, packet(1000, 25)), (4, packet(1000, 99))]);
    let mut seen = Vec::new();
    while seen.len() < 3 {
        let event = expect(&mut wire, &["packets"]).remove(0);
        assert_eq!(event["listener"], number);
        assert_eq!(
            (&event["interface"], &event["link"]),
            (&json!(null), &json!(101))
        );
        let raw = wire.raw(event["raw"].as_u64().unwrap() as usize);
        let before = seen.len();
        for packet in Packets::new(&raw) {
            seen.push((packet.time, packet.length, packet.bytes.to_vec()));
        }
        assert_eq!(event["count"], seen.len() - before);
    }
    seen.sort();
    let cut = |len: usize, most: usize| packet(1000, len)[..most].to_vec();
    assert_eq!(
        seen,
        [
            (1, 60, cut(60, 30)),
            (3, 25, cut(25, 25)),
            (4, 99, cut(99, 30))
        ]
    );
    wire.result("unsubscribe", json!({ "sockid": number }));
    // After the last capture the workers log nothing.
    monitor_tests::until("the log is removed", || {
        threads
            .engine(0)
            .sink()
            .packet_log()
            .is_none()
            .then_some(())
    });
}

#[test]
fn a_replay_captures_no_packets() {
    let (_threads, _server, mut wire) = serve(1);
    let error = wire.error("capture", json!({}));
    assert_eq!(
        (&error["code"], &error["data"]["reason"]),
        (&json!(22), &json!("replay"))
    );
}

#[test]
fn a_client_that_is_overtaken_is_told_the_number_of_lost_packets() {
    let (server, threads) = Server::live(engines(1));
    let mut wire = server.wire();
    listener(&mut wire, "capture", json!({}));
    const PACKETS: u64 = 4000;
    let all: Vec<_> = (0..PACKETS)
        .map(|time| (time, packet(1000, 60_000)))
        .collect();
    log(&threads, 0, &all);
    let (mut read, mut lost) = (0, 0);
    while read + lost < PACKETS {
        let event = wire.event();
        match event["event"].as_str() {
            Some("lost") => lost += event["count"].as_u64().unwrap(),
            _ => {
                let raw = wire.raw(event["raw"].as_u64().unwrap() as usize);
                read += Packets::new(&raw).count() as u64;
            }
        }
    }
    assert_eq!(read + lost, PACKETS);
    assert!(lost > 0 && read > 0, "{read} {lost}");
}

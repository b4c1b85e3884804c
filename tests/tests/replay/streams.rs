//! Streams: reassembly of packets from files.

use monitor_tests::Daemon;
use monitor_tests::wiregen::{Capture, End, Flow, Layers, Random, Segment, flags};
use serde_json::{Value, json};

use crate::{Files, assert_streams, connection, conversation, served};

#[test]
fn fragments_are_put_together() {
    for (client, server, seed) in [
        ("10.0.0.1:40000", "10.0.0.2:80", 8),
        ("[2001:db8::1]:40000", "[2001:db8::2]:80", 9),
    ] {
        let flow = conversation(client, server, seed);
        let layers = Layers {
            fragment: Some(560),
            ..Layers::ethernet()
        };
        let mut capture = Capture::of(&layers, &flow);
        // The last fragment before the first.
        let fragmented = capture
            .frames
            .iter()
            .position(|frame| frame.data.len() == 560 + 34)
            .unwrap_or(3);
        capture.frames.swap(fragmented, fragmented + 1);
        let files = Files::new();
        for workers in [1, 2] {
            let settings = format!("[capture]\nworkers = {workers}\n");
            let (daemon, mut rpc) =
                served(&files.write("fragments.pcap", &capture.pcap()), &settings);
            assert_streams(&mut rpc, &flow, &[]);
            assert!(rpc.stat("decode", "fragments") > 0);
            assert!(rpc.stat("decode", "reassembled") > 0);
            assert_eq!(rpc.stat("decode", "fragments_dropped"), 0);
            daemon.stop();
        }
    }
}

#[test]
fn a_messy_wire_gives_the_same_bytes() {
    let mut random = Random::new(10);
    let mut flow = Flow::new("10.0.0.1:40000", "10.0.0.2:80");
    // Both sequence numbers wrap on the way.
    flow.isn(u32::MAX - 20_000, u32::MAX - 700_000).open();
    flow.send(End::Client, &random.bytes(100_000))
        .send(End::Server, &random.bytes(900_000))
        .close();
    flow.overlap(&mut random, 5)
        .duplicate(&mut random, 5)
        .reorder(&mut random, 5, 4);
    let files = Files::new();
    let file = files.write(
        "messy.pcap",
        &Capture::of(&Layers::ethernet(), &flow).pcap(),
    );
    let (daemon, mut rpc) = served(&file, "");
    let socket = assert_streams(&mut rpc, &flow, &[]);
    assert_eq!(socket["sides"]["client"]["gaps"], 0);
    assert!(socket["sides"]["client"]["retransmitted"].as_u64() > Some(0));
    assert_eq!(socket["sides"]["client"]["conflicts"], 0);
    assert!(rpc.stat("tcp", "out_of_order") > 0);
    daemon.stop();
}

#[test]
fn a_hole_is_named_and_nothing_is_invented() {
    let mut random = Random::new(11);
    let mut flow = Flow::new("10.0.0.1:40000", "10.0.0.2:80");
    flow.open()
        .send(End::Client, b"GET")
        .send(End::Server, &random.bytes(100_000))
        .close();
    let at = |flow: &Flow, offset: u64| {
        let seq = flow.seq(End::Server, offset);
        let found = |s: &Segment| s.from == End::Server && s.seq == seq && !s.payload.is_empty();
        flow.segments.iter().position(found).unwrap()
    };
    // Two segments next to each other, and one more, were never captured.
    for offset in [10 * 1448, 11 * 1448, 20 * 1448] {
        let index = at(&flow, offset);
        flow.segments.remove(index);
    }
    let files = Files::new();
    let file = files.write(
        "holes.pcap",
        &Capture::of(&Layers::ethernet(), &flow).pcap(),
    );
    let (daemon, mut rpc) = served(&file, "");
    let socket = connection(&mut rpc, &flow, &[]);
    let sockid = socket["sockid"].as_u64().unwrap();
    let side = &socket["sides"]["client"];
    assert_eq!(
        (&side["next"], &side["end"], &side["gaps"]),
        (&json!(100_000), &json!(100_000), &json!(2))
    );

    let sent = flow.received_by(End::Client);
    let holes = [
        (10 * 1448, 12 * 1448),
        (20 * 1448, 21 * 1448),
        (100_000, 100_000),
    ];
    let mut from = 0;
    let mut extents = Vec::new();
    for (start, end) in holes {
        let (result, bytes) = rpc.ppeek(sockid, "client", from, 1 << 20).unwrap();
        assert_eq!(bytes, sent[from as usize..start as usize], "up to the hole");
        assert_eq!(result["eof"], start == 100_000);
        extents.push(json!([from, start - from]));
        let error = rpc.ppeek(sockid, "client", start, 10).unwrap_err();
        assert_eq!(error.code, 61);
        if start < end {
            assert_eq!(
                (&error.data["reason"], &error.data["next_extent"]),
                (&json!("gap"), &json!(end))
            );
        } else {
            assert_eq!(error.data["reason"], "eof");
        }
        from = end;
    }
    let fragments = rpc.ok("fragments", json!({"sockid": sockid, "side": "client"}));
    assert_eq!(fragments["extents"], json!(extents));
    assert_eq!(rpc.stat("tcp", "gap_bytes"), 3 * 1448);
    daemon.stop();
}

#[test]
fn any_number_of_workers_gives_the_same_bytes() {
    let flows: Vec<Flow> = (0..40)
        .map(|n| {
            conversation(
                &format!("10.0.0.{n}:{}", 40_000 + n),
                "10.0.1.1:80",
                100 + n,
            )
        })
        .collect();
    let capture = Capture::mix(
        flows
            .iter()
            .map(|flow| Capture::of(&Layers::ethernet(), flow)),
    );
    let files = Files::new();
    let file = files.write("many.pcap", &capture.pcap());
    for workers in [1, 2, 4] {
        let (daemon, mut rpc) = served(&file, &format!("[capture]\nworkers = {workers}\n"));
        let mut used = std::collections::BTreeSet::new();
        for flow in &flows {
            used.insert(
                assert_streams(&mut rpc, flow, &[])["worker"]
                    .as_u64()
                    .unwrap(),
            );
        }
        assert_eq!(used.len(), workers, "every worker has some of 40 flows");
        assert_eq!(rpc.sockets(json!({"limit": 7})).len(), flows.len());
        let stats = rpc.ok("stats", json!({}));
        assert_eq!(stats["capture"]["rx_packets"], capture.frames.len());
        assert_eq!(
            stats["tcp"]["segments"],
            capture.frames.len(),
            "each segment is followed once"
        );
        assert_eq!(stats["flows"]["opened"], flows.len());
        daemon.stop();
    }
}

#[test]
fn the_filter_holds_for_files_too() {
    let web = conversation("10.0.0.1:40000", "10.0.0.2:80", 18);
    let mail = conversation("10.0.0.1:40001", "192.0.2.1:25", 19);
    let v6 = conversation("[2001:db8::1]:40002", "[2001:db8::2]:80", 20);
    let capture =
        Capture::mix([&web, &mail, &v6].map(|flow| Capture::of(&Layers::ethernet(), flow)));
    let files = Files::new();
    let file = files.write("three.pcap", &capture.pcap());
    for (filter, kept) in [
        ("ports = [80]", vec![&web, &v6]),
        (
            "networks = ['192.0.2.0/24', '2001:db8::/32']",
            vec![&mail, &v6],
        ),
        ("ports = [25, 80]\nnetworks = ['10.0.0.2/32']", vec![&web]),
    ] {
        let (daemon, mut rpc) = served(&file, &format!("[filter]\n{filter}\n"));
        assert_eq!(rpc.sockets(json!({})).len(), kept.len(), "{filter}");
        for flow in &kept {
            assert_streams(&mut rpc, flow, &[]);
        }
        let segments: usize = kept.iter().map(|flow| flow.segments.len()).sum();
        let stats = rpc.ok("stats", json!({}));
        assert_eq!(stats["tcp"]["segments"], segments, "{filter}");
        // The last FINs of a connection that is not followed belong to none: they are not even asked about.
        let left_out =
            [&stats["decode"]["filtered"], &stats["flows"]["orphans"]].map(|n| n.as_u64().unwrap());
        assert!(left_out[0] > left_out[1], "{stats:#}");
        assert_eq!(
            left_out[0] + left_out[1],
            (capture.frames.len() - segments) as u64,
            "{stats:#}"
        );
        daemon.stop();
    }
}

#[test]
fn data_in_the_middle_of_a_connection() {
    let mut flow = Flow::new("10.0.0.1:40000", "10.0.0.2:80");
    flow.midstream()
        .send(End::Server, &[7; 5000])
        .send(End::Client, b"thanks")
        .close();
    let files = Files::new();
    let file = files.write(
        "middle.pcap",
        &Capture::of(&Layers::ethernet(), &flow).pcap(),
    );
    let (daemon, mut rpc) = served(&file, "");
    let sockets = rpc.sockets(json!({}));
    assert_eq!(sockets.len(), 1);
    assert_eq!(sockets[0]["midstream"], true);
    let socket = assert_streams(&mut rpc, &flow, &[]);
    assert_eq!(socket["sides"]["client"]["isn"], Value::Null);
    daemon.stop();
}

#[test]
fn bad_checksums_do_not_matter_unless_asked() {
    let flow = conversation("10.0.0.1:40000", "10.0.0.2:80", 21);
    let layers = Layers {
        bad_checksums: true,
        ..Layers::ethernet()
    };
    let files = Files::new();
    let file = files.write("sums.pcap", &Capture::of(&layers, &flow).pcap());
    let (daemon, mut rpc) = served(&file, "");
    assert_streams(&mut rpc, &flow, &[]);
    daemon.stop();
    let summary = Daemon::replay_and_exit(&[&file], "[tcp]\nverify_checksums = 'always'\n").summary;
    assert_eq!(
        (&summary["flows"], &summary["payload_bytes"]),
        (&json!(0), &json!(0))
    );
    assert_eq!(
        summary["stats"]["decode"]["bad_checksum"],
        flow.segments.len()
    );
}

#[test]
fn a_reset_ends_the_connection_and_its_payload_is_no_data() {
    let mut flow = Flow::new("10.0.0.1:40000", "10.0.0.2:80");
    flow.open().send(End::Client, b"question");
    let mut capture = flow.clone();
    capture.segment(End::Server, flags::RST | flags::ACK, b"go away");
    let files = Files::new();
    let file = files.write(
        "rst.pcap",
        &Capture::of(&Layers::ethernet(), &capture).pcap(),
    );
    let (daemon, mut rpc) = served(&file, "");
    let socket = assert_streams(&mut rpc, &flow, &[]);
    assert_eq!(socket["closed"], "rst");
    daemon.stop();
}

//! `monitord replay`: generated captures through the real binary, every byte read back by ppeek.

#![expect(
    clippy::unwrap_used,
    reason = "a test says what it expects by unwrapping it"
)]

use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use monitor_tests::wiregen::{
    Block, Capture, End, Flow, Layers, LinkLayer, PcapFlavour, PcapNg, Random, Segment, flags,
};
use monitor_tests::{Daemon, Program, Rpc, monitord};
use serde_json::{Value, json};
use tempfile::TempDir;

/// A directory for capture files.
struct Files(TempDir);

impl Files {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn write(&self, name: &str, content: &[u8]) -> PathBuf {
        let path = self.0.path().join(name);
        fs::write(&path, content).unwrap();
        path
    }
}

/// A whole connection with data both ways.
fn conversation(client: &str, server: &str, seed: u64) -> Flow {
    let mut random = Random::new(seed);
    let mut flow = Flow::new(client, server);
    flow.isn(random.number() as u32, random.number() as u32)
        .open();
    for _ in 0..3 {
        let (request, response) = (random.below(3000), random.below(40_000));
        flow.send(End::Client, &random.bytes(request))
            .send(End::Server, &random.bytes(response));
    }
    flow.close();
    flow
}

/// Replays one file and serves it.
fn served(file: &Path, settings: &str) -> (Daemon, Rpc) {
    let daemon = Daemon::replay(&[file], settings, &[]);
    daemon.finished();
    let rpc = daemon.rpc();
    (daemon, rpc)
}

/// The connection between these two ends.
#[track_caller]
fn connection(rpc: &mut Rpc, flow: &Flow, vlan: &[u16]) -> Value {
    let params =
        json!({"client": flow.client.to_string(), "server": flow.server.to_string(), "vlan": vlan});
    rpc.ok("lookup", params)
}

/// Asserts that both sides hold exactly the bytes sent.
#[track_caller]
fn assert_streams(rpc: &mut Rpc, flow: &Flow, vlan: &[u16]) -> Value {
    let socket = connection(rpc, flow, vlan);
    let sockid = socket["sockid"].as_u64().unwrap();
    for (end, side) in [(End::Client, "client"), (End::Server, "server")] {
        let stream = rpc.stream(sockid, side);
        assert!(
            stream == flow.received_by(end),
            "{side}: {} bytes differ from what was sent",
            stream.len()
        );
    }
    socket
}

/// Replays one flow in one file of one flavour: every byte, both sides closed, nothing else listed.
#[track_caller]
fn assert_served(file: &[u8], flow: &Flow, vlan: &[u16]) {
    let files = Files::new();
    let (daemon, mut rpc) = served(&files.write("capture", file), "");
    let socket = assert_streams(&mut rpc, flow, vlan);
    assert_eq!(
        (&socket["closed"], &socket["midstream"]),
        (&json!("fin"), &json!(false)),
        "{socket:#}"
    );
    assert_eq!(socket["vlan"], json!(vlan));
    assert_eq!(rpc.sockets(json!({})).len(), 1);
    rpc.nothing_lost();
    daemon.stop();
}

#[test]
fn every_pcap_flavour() {
    let flow = conversation("10.0.0.1:40000", "10.0.0.2:80", 1);
    let capture = Capture::of(&Layers::ethernet(), &flow);
    for big_endian in [false, true] {
        for nanoseconds in [false, true] {
            assert_served(
                &capture.pcap_as(PcapFlavour {
                    big_endian,
                    nanoseconds,
                }),
                &flow,
                &[],
            );
        }
    }
    assert_served(&capture.pcapng(), &flow, &[]);
    assert_served(&gzip(&capture.pcap()), &flow, &[]);
    assert_served(&gzip(&capture.pcapng()), &flow, &[]);
}

#[test]
fn every_link_layer() {
    let flow = conversation("[2001:db8::1]:40000", "[2001:db8::2]:80", 2);
    for link in [
        LinkLayer::Raw,
        LinkLayer::Sll,
        LinkLayer::Sll2,
        LinkLayer::Null,
        LinkLayer::Loop,
    ] {
        let capture = Capture::of(&Layers::on(link), &flow);
        assert_served(&capture.pcap(), &flow, &[]);
        assert_served(&capture.pcapng(), &flow, &[]);
    }
}

#[test]
fn qinq_tags_belong_to_the_flow() {
    let one = conversation("10.0.0.1:40000", "10.0.0.2:80", 3);
    let two = conversation("10.0.0.1:40000", "10.0.0.2:80", 4);
    let single = conversation("10.0.0.1:40000", "10.0.0.2:80", 5);
    let tagged = |tags: &[(u16, u16)]| Layers {
        tags: tags.to_vec(),
        ..Layers::ethernet()
    };
    let captures = [
        Capture::of(&tagged(&[(0x88a8, 100), (0x8100, 7)]), &one),
        Capture::of(&tagged(&[(0x88a8, 100), (0x8100, 8)]), &two),
        Capture::of(&tagged(&[(0x8100, 0x6000 | 7)]), &single),
    ];
    let files = Files::new();
    let (daemon, mut rpc) = served(
        &files.write("qinq.pcap", &Capture::mix(captures).pcap()),
        "",
    );
    assert_eq!(rpc.sockets(json!({})).len(), 3);
    assert_streams(&mut rpc, &one, &[100, 7]);
    assert_streams(&mut rpc, &two, &[100, 8]);
    // Priority bits are not part of the VLAN id.
    assert_streams(&mut rpc, &single, &[7]);
    daemon.stop();
}

#[test]
fn ipv6_extension_headers_and_ipv4_options() {
    let v6 = conversation("[2001:db8::1]:40000", "[2001:db8::2]:443", 6);
    let v4 = conversation("192.0.2.1:40000", "192.0.2.2:443", 7);
    let extensions = Layers {
        extensions: vec![0, 43, 60],
        ..Layers::ethernet()
    };
    let options = Layers {
        ip_options: 24,
        ..Layers::ethernet()
    };
    let capture = Capture::mix([Capture::of(&extensions, &v6), Capture::of(&options, &v4)]);
    let files = Files::new();
    let (daemon, mut rpc) = served(&files.write("headers.pcapng", &capture.pcapng()), "");
    assert_streams(&mut rpc, &v6, &[]);
    assert_streams(&mut rpc, &v4, &[]);
    daemon.stop();
}

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
fn several_interfaces_of_one_pcapng_file() {
    let one = conversation("10.0.0.1:40000", "10.0.0.2:80", 12);
    let two = conversation("[2001:db8::1]:40000", "[2001:db8::2]:80", 13);
    let frames = |link, flow| Capture::of(&Layers::on(link), flow).frames;
    let (ethernet, cooked) = (
        frames(LinkLayer::Ethernet, &one),
        frames(LinkLayer::Sll2, &two),
    );
    for big_endian in [false, true] {
        let mut file = PcapNg::new(big_endian);
        // Microseconds since the epoch, and 2^-20 seconds since a day after it.
        file.section()
            .interface(1, 6, 0)
            .block(0x8000_1234, &[0; 40])
            .interface(276, 0x80 | 20, 86_400);
        for (left, right) in ethernet.iter().zip(&cooked) {
            file.packet(Block::Enhanced, 0, left.time / 1000, &left.data);
            let units = (u128::from(right.time - 86_400_000_000_000) << 20) / 1_000_000_000;
            file.packet(Block::Obsolete, 1, units as u64, &right.data);
        }
        for left in &ethernet[ethernet.len().min(cooked.len())..] {
            file.packet(Block::Simple, 0, 0, &left.data);
        }
        for right in &cooked[ethernet.len().min(cooked.len())..] {
            file.packet(Block::Enhanced, 1, 0, &right.data);
        }
        let files = Files::new();
        let (daemon, mut rpc) = served(&files.write("two.pcapng", &file.finish()), "");
        let socket = assert_streams(&mut rpc, &one, &[]);
        assert!(
            (socket["opened"].as_f64().unwrap() - 1_700_000_000.0).abs() < 1e-3,
            "{socket:#}"
        );
        let socket = assert_streams(&mut rpc, &two, &[]);
        assert!(
            (socket["opened"].as_f64().unwrap() - 1_700_000_000.0).abs() < 1e-3,
            "{socket:#}"
        );
        daemon.stop();
    }
}

#[test]
fn files_one_after_another() {
    // A connection that begins in one file and ends in the next, as `tcpdump -C` cuts them.
    let flow = conversation("10.0.0.1:40000", "10.0.0.2:80", 14);
    let whole = Capture::of(&Layers::ethernet(), &flow);
    let (front, back) = whole.frames.split_at(whole.frames.len() / 2);
    let files = Files::new();
    let part = |frames: &[_]| Capture {
        link_type: 1,
        frames: frames.to_vec(),
    };
    let first = files.write("1.pcap", &part(front).pcap());
    let second = files.write("2.pcapng.gz", &gzip(&part(back).pcapng()));
    let daemon = Daemon::replay(&[&first, &second], "", &[]);
    daemon.finished();
    let mut rpc = daemon.rpc();
    assert_streams(&mut rpc, &flow, &[]);
    assert_eq!(rpc.stat("capture", "rx_packets"), whole.frames.len() as u64);
    assert_eq!(rpc.stat("capture", "rx_bytes"), whole.bytes());
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

#[test]
fn a_cut_file_is_used_and_told() {
    let flow = conversation("10.0.0.1:40000", "10.0.0.2:80", 16);
    let capture = Capture::of(&Layers::ethernet(), &flow);
    let pcap = capture.pcap();
    let files = Files::new();
    let cut = files.write("cut.pcap", &pcap[..pcap.len() - 3]);
    let replayed = Daemon::replay_and_exit(&[&cut], "");
    assert_eq!(replayed.summary["packets"], capture.frames.len() - 1);
    assert_eq!(replayed.summary["stats"]["capture"]["broken_files"], 1);
    let last = pcap.len() - 16 - capture.frames.last().unwrap().data.len();
    let warning =
        format!("cut.pcap: cut off: it ends inside the record that starts at byte {last}");
    assert!(replayed.log.contains(&warning), "{}", replayed.log);
}

#[test]
fn frames_that_are_not_read_are_counted_and_named() {
    let flow = conversation("10.0.0.1:40000", "10.0.0.2:80", 17);
    let capture = Capture {
        link_type: 127,
        ..Capture::of(&Layers::ethernet(), &flow)
    };
    let files = Files::new();
    let replayed = Daemon::replay_and_exit(&[&files.write("radio.pcap", &capture.pcap())], "");
    assert_eq!(replayed.summary["packets"], 0);
    assert_eq!(
        replayed.summary["stats"]["capture"]["skipped_frames"],
        capture.frames.len()
    );
    assert!(
        replayed.log.contains("127 (IEEE 802.11 radiotap)"),
        "{}",
        replayed.log
    );
}

#[test]
fn what_is_no_capture_is_refused_with_its_name() {
    let files = Files::new();
    let good = files.write(
        "good.pcap",
        &Capture {
            link_type: 1,
            frames: Vec::new(),
        }
        .pcap(),
    );
    let garbage = files.write("garbage.bin", b"this is not a capture");
    let missing = files.0.path().join("missing.pcap");
    for (file, says) in [
        (
            &garbage,
            "garbage.bin is neither a pcap nor a pcapng file (it starts with 74 68 69 73)",
        ),
        (&missing, "missing.pcap: No such file or directory"),
    ] {
        let socket = files.0.path().join("socket");
        let mut command = Command::new(monitord());
        command
            .arg("replay")
            .arg(&good)
            .arg(file)
            .args(["--exit", "--socket"])
            .arg(&socket);
        let finished = Program::start(&mut command).finish();
        assert!(!finished.status.success());
        assert!(finished.stderr.contains(says), "{}", finished.stderr);
        assert!(finished.stdout.is_empty() && !socket.exists());
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

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("plain");
    fs::File::create(&path).unwrap().write_all(bytes).unwrap();
    Program::run(Command::new("gzip").arg("-c").arg(&path)).stdout
}

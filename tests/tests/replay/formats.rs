//! Files: formats, link layers, compression, and errors.

use std::fs;
use std::io::Write as _;
use std::process::Command;

use monitor_tests::wiregen::{Block, Capture, Layers, LinkLayer, PcapFlavour, PcapNg};
use monitor_tests::{Daemon, Program, monitord};
use serde_json::json;

use crate::{Files, assert_served, assert_streams, conversation, served};

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
fn a_cut_file_is_used_and_reported() {
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
fn a_file_that_is_no_capture_is_refused_with_its_name() {
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

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("plain");
    fs::File::create(&path).unwrap().write_all(bytes).unwrap();
    Program::run(Command::new("gzip").arg("-c").arg(&path)).stdout
}

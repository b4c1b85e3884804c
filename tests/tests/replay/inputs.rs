//! Inputs besides plain files: pipes, PCAP-over-IP, compression.

use std::fs;
use std::io::pipe;
use std::net::TcpListener;
use std::path::Path;
use std::process::{Command, Stdio};

use monitor_tests::wiregen::{Capture, End, Flow, Layers};
use monitor_tests::{Daemon, Program, monitord, until};
use serde_json::json;

use crate::{Files, assert_served, assert_streams, conversation};

/// Asserts that the bytes up to a packet are served while the rest has not arrived, then writes the rest.
#[track_caller]
fn assert_read_while_open(daemon: Daemon, mut stream: impl std::io::Write, big: bool) {
    let mut flow = Flow::new("10.0.0.1:40000", "10.0.0.2:80");
    flow.open().send(End::Client, b"a request");
    let begun = Capture::of(&Layers::ethernet(), &flow).frames.len();
    flow.wait(60_000_000_000)
        .send(End::Server, &vec![7; if big { 3_000_000 } else { 100 }])
        .close();
    let capture = Capture::of(&Layers::ethernet(), &flow);
    let records = &capture.frames[..begun];
    let first = 24
        + records
            .iter()
            .map(|frame| 16 + frame.data.len())
            .sum::<usize>();
    let file = capture.pcap();

    stream.write_all(&file[..first]).unwrap();
    let mut rpc = daemon.rpc();
    let sockid = until("the connection", || {
        rpc.sockets(json!({})).first()?["sockid"].as_u64()
    });
    until("the request", || {
        (rpc.ppeek(sockid, "server", 0, 100).ok()?.1 == b"a request").then_some(())
    });
    assert_eq!(rpc.ok("stats", json!({}))["capture"]["finished"], false);
    // The worker runs commands while it waits.
    let configured = rpc.ok("configure", json!({"sockid": sockid, "window": 8 << 20}));
    assert!(configured.is_object(), "{configured}");

    stream.write_all(&file[first..]).unwrap();
    drop(stream);
    daemon.finished();
    assert_streams(&mut rpc, &flow, &[]);
    daemon.stop();
}

#[test]
fn standard_input_is_served_while_it_is_read() {
    let (reader, writer) = pipe().unwrap();
    let daemon = Daemon::replay_stream("-", reader.into(), &[]);
    assert_read_while_open(daemon, writer, true);
}

#[test]
fn a_named_pipe_is_read_and_its_writer_may_come_later() {
    let files = Files::new();
    let path = files.0.path().join("pipe");
    Program::run(Command::new("mkfifo").arg(&path));
    // Without a writer it starts, serves and ends.
    let daemon = Daemon::replay_stream(path.to_str().unwrap(), Stdio::null(), &[]);
    assert_eq!(daemon.rpc().sockets(json!({})).len(), 0);
    daemon.stop();
    let daemon = Daemon::replay_stream(path.to_str().unwrap(), Stdio::null(), &[]);
    let writer = fs::OpenOptions::new().write(true).open(&path).unwrap();
    assert_read_while_open(daemon, writer, false);
}

#[test]
fn pcap_over_ip_is_served_while_it_is_read() {
    let server = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = format!("tcp://{}", server.local_addr().unwrap());
    let daemon = Daemon::replay_stream(&address, Stdio::null(), &["--sandbox", "auto"]);
    let (connection, _) = server.accept().unwrap();
    assert_read_while_open(daemon, connection, false);
}

#[test]
fn a_stream_ends_the_program_with_exit() {
    let flow = conversation("10.0.0.1:40000", "10.0.0.2:80", 30);
    let capture = Capture::of(&Layers::ethernet(), &flow);
    let whole = capture.pcapng();
    // A cut stream is used up to its end.
    for (bytes, broken) in [(&whole[..], 0), (&whole[..whole.len() - 5], 1)] {
        let files = Files::new();
        let file = files.write("capture", bytes);
        let finished = replay(&files, "-", fs::File::open(file).unwrap().into());
        assert!(finished.status.success(), "{}", finished.stderr);
        let summary: serde_json::Value = serde_json::from_slice(&finished.stdout).unwrap();
        assert_eq!(summary["packets"], capture.frames.len() - broken);
        assert_eq!(summary["stats"]["capture"]["broken_files"], broken);
    }
}

#[test]
fn inputs_that_cannot_be_read_are_refused_with_a_reason() {
    let files = Files::new();
    let text = files.write("text", b"no capture at all");
    let closed = TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap();
    let closed = format!("tcp://{closed}");
    let cases = [
        (
            "-",
            Some(&text),
            "standard input is neither a pcap nor a pcapng file (it starts with 6e 6f 20 63)",
        ),
        ("-", None, "standard input is empty"),
        (
            "tcp://localhost",
            None,
            "tcp://localhost is no address: give tcp://HOST:PORT",
        ),
        (
            "tcp://name.invalid:57012",
            None,
            "cannot connect to name.invalid:57012",
        ),
        (&closed[..], None, "Connection refused"),
    ];
    for (argument, input, says) in cases {
        let stdin = input.map_or_else(Stdio::null, |file| fs::File::open(file).unwrap().into());
        let finished = replay(&files, argument, stdin);
        assert_eq!(
            finished.status.code(),
            Some(1),
            "{argument}: {}",
            finished.stderr
        );
        assert!(
            finished.stderr.contains(says),
            "{argument}: {}",
            finished.stderr
        );
        assert!(finished.stdout.is_empty(), "{argument}");
    }
}

/// Runs `monitord replay ARGUMENT --exit`.
fn replay(files: &Files, argument: &str, stdin: Stdio) -> monitor_tests::Finished {
    let mut command = Command::new(monitord());
    command
        .args(["replay", argument, "--exit", "--socket"])
        .arg(files.0.path().join("socket"));
    Program::start_with_stdin(&mut command, stdin).finish()
}

#[test]
fn the_usual_tools_compress_captures() {
    let flow = conversation("10.0.0.1:40000", "10.0.0.2:80", 31);
    let capture = Capture::of(&Layers::ethernet(), &flow).pcapng();
    let files = Files::new();
    let plain = files.write("plain", &capture);
    for tool in ["gzip", "bzip2", "xz", "zstd", "lz4"] {
        if !Path::new("/usr/bin").join(tool).exists() {
            println!("without {tool}: it is not installed");
            continue;
        }
        let packed = Program::run(Command::new(tool).arg("-c").arg(&plain)).stdout;
        assert!(packed.len() < capture.len(), "{tool}");
        assert_served(&packed, &flow, &[]);
    }
}

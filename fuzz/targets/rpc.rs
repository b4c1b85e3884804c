//! Any bytes from a client: every line of the response is JSON, and the server continues.
#![no_main]

use std::io::{Read, Write};
use std::net::Shutdown;
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use libfuzzer_sys::fuzz_target;
use monitor_daemon::config::Rpc;
use monitor_daemon::control::CommandQueues;
use monitor_daemon::rpc::{ServerSocket, serve};
use monitor_daemon::status::{CaptureSnapshot, CaptureStatus, Status};
use monitor_engine::{Engine, EngineConfig, LinkType, Packet};

struct Nothing;

impl CaptureStatus for Nothing {
    fn snapshot(&self) -> CaptureSnapshot {
        CaptureSnapshot {
            mode: "replay",
            path: None,
            path_reason: None,
            xdp: None,
            finished: true,
            interfaces: Vec::new(),
            workers: 1,
            counters: Vec::new(),
        }
    }
}

/// A segment with 26 bytes from 10.0.0.1:40000 to 10.0.0.2:80: a connection to be read.
fn packet() -> Vec<u8> {
    let mut packet = vec![
        0x45, 0, 0, 66, 0, 0, 0x40, 0, 64, 6, 0, 0, 10, 0, 0, 1, 10, 0, 0, 2,
    ];
    packet.extend([
        0x9c, 0x40, 0, 80, 0, 0, 0, 1, 0, 0, 0, 1, 0x50, 0x10, 0xff, 0xff, 0, 0, 0, 0,
    ]);
    packet.extend(b"abcdefghijklmnopqrstuvwxyz");
    packet
}

/// The server, started once, on a socket in a directory that lives as long as the process.
fn socket() -> &'static PathBuf {
    static SOCKET: OnceLock<PathBuf> = OnceLock::new();
    SOCKET.get_or_init(|| {
        let config = EngineConfig {
            memory: 1 << 20,
            ..EngineConfig::default()
        };
        let mut engine = Engine::new(config, ()).expect("a megabyte is enough");
        engine.process(&[Packet {
            time: 1,
            interface: 0,
            link: LinkType::Ip,
            data: &packet(),
            more: &[],
            cut: 0,
            checksum: monitor_engine::Checksum::Unknown,
        }]);
        let status = Status {
            readers: vec![engine.reader()],
            engines: vec![engine.counters()],
            command_queues: CommandQueues::new(1).expect("a descriptor"),
            capture: Arc::new(Nothing),
            settings: Arc::default(),
        };
        let socket = tempfile::tempdir()
            .expect("a directory")
            .keep()
            .join("socket");
        let listener = ServerSocket::bind(Rpc {
            socket: socket.clone(),
            ..Rpc::default()
        })
        .expect("a socket of our own");
        std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()
                .expect("a runtime");
            runtime
                .block_on(serve(listener, status, std::future::pending()))
                .expect("it never ends");
        });
        socket
    })
}

fuzz_target!(|input: &[u8]| {
    let mut client = UnixStream::connect(socket()).expect("the server still runs");
    client
        .set_read_timeout(Some(Duration::from_secs(10)))
        .expect("a timeout");
    // Too long a line ends the conversation before all of it is written.
    let _ = client.write_all(input);
    let _ = client.shutdown(Shutdown::Write);
    let mut answer = Vec::new();
    if client.read_to_end(&mut answer).is_err() {
        return;
    }
    // Raw bytes are between lines; they consist of the alphabet, without a line feed.
    let mut rest = &answer[..];
    while let Some(end) = rest.iter().position(|byte| *byte == b'\n') {
        let reply: serde_json::Value =
            serde_json::from_slice(&rest[..end]).expect("each line is JSON");
        rest = &rest[end + 1..];
        if let Some(raw) = reply
            .pointer("/result/raw")
            .and_then(serde_json::Value::as_u64)
        {
            rest = rest
                .get(raw as usize..)
                .expect("as many raw bytes as were announced");
        }
    }
    assert!(rest.is_empty(), "half a line");
});

//! Support for tests of the RPC: engines with generated packets, a real server on a real socket, and a client that can
//! misbehave.

#![allow(dead_code, reason = "each test binary uses a part of it")]
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test says what it expects by unwrapping it"
)]
#![allow(
    clippy::needless_pass_by_value,
    reason = "parameters are written where they are used"
)]

pub mod engine_threads;
pub mod hellos;
pub mod relay;
pub mod start;
pub mod talk;
pub mod world;

use std::hash::{BuildHasher, RandomState};
use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use engine_threads::EngineThreads;
use monitor_client::Client;
use monitor_daemon::config::Rpc;
use monitor_daemon::control::{CommandQueues, Engine};
use monitor_daemon::events::Publisher;
use monitor_daemon::rpc::{ServerSocket, serve};
use monitor_daemon::status::{CaptureSnapshot, CaptureStatus, InterfaceSnapshot, Status};
use monitor_engine::EngineConfig;
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::sync::oneshot;

/// A read that takes longer is a test that failed.
pub const PATIENCE: Duration = Duration::from_secs(20);

/// Engines with memory for tests: a window of 24 MiB holds the longest read.
pub fn engines(workers: u16) -> Vec<Engine> {
    engines_with(workers, false)
}

/// Returns the number of a new run of the daemon.
pub fn instance() -> u64 {
    RandomState::new().hash_one(()) >> 11
}

/// The same, whose stores other processes may map.
pub fn engines_with(workers: u16, share: bool) -> Vec<Engine> {
    let instance = instance();
    (0..workers)
        .map(|worker| {
            let config = EngineConfig {
                instance,
                worker,
                workers,
                memory: 160 << 20,
                window: 24 << 20,
                share,
                ..EngineConfig::default()
            };
            Publisher::engine(config).unwrap()
        })
        .collect()
}

pub fn status(engines: &[Engine]) -> Status {
    Status {
        readers: engines.iter().map(Engine::reader).collect(),
        engines: engines.iter().map(Engine::counters).collect(),
        command_queues: CommandQueues::new(engines.len() as u16).unwrap(),
        capture: Arc::new(Files {
            workers: engines.len() as u16,
        }),
        settings: Arc::default(),
    }
}

/// The state of a replay that is done.
struct Files {
    workers: u16,
}

impl CaptureStatus for Files {
    fn snapshot(&self) -> CaptureSnapshot {
        let names = [
            "rx_packets",
            "rx_bytes",
            "rx_dropped",
            "rx_ring_full",
            "fill_ring_empty",
            "passed",
        ];
        CaptureSnapshot {
            mode: "replay",
            path: None,
            path_reason: None,
            xdp: None,
            finished: true,
            interfaces: vec![InterfaceSnapshot {
                name: "a.pcap".to_owned(),
                up: false,
                path: None,
                xdp: None,
                queues: 0,
            }],
            workers: self.workers,
            counters: names
                .iter()
                .enumerate()
                .map(|(index, name)| (*name, "", index as u64))
                .collect(),
        }
    }
}

/// The same state, as that of a live capture.
struct Mirror(Files);

impl CaptureStatus for Mirror {
    fn snapshot(&self) -> CaptureSnapshot {
        CaptureSnapshot {
            mode: "mirror",
            ..self.0.snapshot()
        }
    }
}

/// A server on a socket of its own, until it is dropped.
pub struct Server {
    pub socket: PathBuf,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
    _directory: TempDir,
}

impl Server {
    pub fn start(engines: &[Engine]) -> Self {
        Self::start_with(status(engines), |_| {})
    }

    pub fn start_with(status: Status, change: impl FnOnce(&mut Rpc)) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let socket = directory.path().join("monitord.sock");
        let mut settings = Rpc {
            socket: socket.clone(),
            ..Rpc::default()
        };
        change(&mut settings);
        let listener = ServerSocket::bind(settings).unwrap();
        let (stop, stopped) = oneshot::channel();
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .enable_all()
            .build()
            .unwrap();
        let thread = std::thread::spawn(move || {
            let shutdown = async { drop(stopped.await) };
            runtime.block_on(serve(listener, status, shutdown)).unwrap();
        });
        Self {
            socket,
            stop: Some(stop),
            thread: Some(thread),
            _directory: directory,
        }
    }

    /// Starts a server with engines that run on threads.
    pub fn with_threads(engines: Vec<Engine>) -> (Self, EngineThreads) {
        let (workers, status) = EngineThreads::start(engines);
        (Self::start_with(status, |_| {}), workers)
    }

    /// Starts a server of a live capture, with engines that run on threads.
    pub fn live(engines: Vec<Engine>) -> (Self, EngineThreads) {
        let (threads, mut status) = EngineThreads::start(engines);
        let workers = status.readers.len() as u16;
        status.capture = Arc::new(Mirror(Files { workers }));
        (Self::start_with(status, |_| {}), threads)
    }

    /// Connects a client that writes any bytes, well-formed or not.
    pub fn wire(&self) -> Wire {
        let stream = UnixStream::connect(&self.socket).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream.set_write_timeout(Some(PATIENCE)).unwrap();
        Wire {
            stream: BufReader::new(stream),
        }
    }

    pub fn client(&self) -> Client {
        Client::connect(&self.socket).unwrap()
    }

    /// Stops it, and waits until it is gone.
    pub fn stop(&mut self) {
        if let Some(stop) = self.stop.take() {
            let _ = stop.send(());
        }
        if let Some(thread) = self.thread.take() {
            thread.join().unwrap();
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.stop();
    }
}

pub struct Wire {
    pub stream: BufReader<UnixStream>,
}

impl Wire {
    pub fn send(&mut self, text: &str) {
        self.stream.get_mut().write_all(text.as_bytes()).unwrap();
    }

    pub fn send_line(&mut self, line: &str) {
        self.send(&format!("{line}\n"));
    }

    /// The next line; `None` at the end.
    pub fn line(&mut self) -> Option<String> {
        let mut line = String::new();
        let count = self.stream.read_line(&mut line).unwrap();
        if count == 0 {
            return None;
        }
        assert!(line.ends_with('\n'), "half a line: {line}");
        Some(line)
    }

    pub fn reply(&mut self) -> Value {
        let line = self.line().expect("a reply, not the end");
        let reply: Value = serde_json::from_str(&line).unwrap();
        if let Value::Object(object) = &reply {
            assert_eq!(object["jsonrpc"], "2.0", "{reply}");
            assert!(
                object.contains_key("result") != object.contains_key("error"),
                "{reply}"
            );
        }
        reply
    }

    pub fn raw(&mut self, count: usize) -> Vec<u8> {
        let mut bytes = vec![0; count];
        self.stream.read_exact(&mut bytes).unwrap();
        bytes
    }

    /// The parameters of the next line, which must be an event.
    pub fn event(&mut self) -> Value {
        let line = self.line().expect("an event, not the end");
        let event: Value = serde_json::from_str(&line).unwrap();
        assert_eq!(
            (&event["jsonrpc"], &event["method"]),
            (&json!("2.0"), &json!("event")),
            "{line}"
        );
        assert!(event.get("id").is_none(), "{line}");
        event["params"].clone()
    }

    pub fn ask(&mut self, method: &str, params: Value) -> Value {
        let request = json!({ "jsonrpc": "2.0", "id": 7, "method": method, "params": params });
        self.send_line(&request.to_string());
        let reply = self.reply();
        assert_eq!(reply["id"], 7);
        reply
    }

    pub fn result(&mut self, method: &str, params: Value) -> Value {
        let reply = self.ask(method, params.clone());
        assert!(reply.get("error").is_none(), "{method} {params}: {reply}");
        reply["result"].clone()
    }

    pub fn error(&mut self, method: &str, params: Value) -> Value {
        let reply = self.ask(method, params.clone());
        assert!(reply.get("error").is_some(), "{method} {params}: {reply}");
        let error = reply["error"].clone();
        assert!(
            error["message"]
                .as_str()
                .is_some_and(|message| message.len() > 10),
            "{error}"
        );
        error
    }

    /// The server's side is closed.
    pub fn at_end(&mut self) -> bool {
        self.line().is_none()
    }
}

/// Returns bytes that differ from their neighbours at every position.
pub fn pattern(start: u64, len: usize) -> Vec<u8> {
    (start..start + len as u64)
        .map(|at| (at ^ at >> 8 ^ at >> 16).wrapping_mul(131) as u8)
        .collect()
}

/// A number of this process from /proc/self/status, in KiB.
pub fn memory_kib(key: &str) -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with(key)).unwrap();
    line.split_ascii_whitespace()
        .nth(1)
        .unwrap()
        .parse()
        .unwrap()
}

pub fn descriptors() -> usize {
    std::fs::read_dir("/proc/self/fd").unwrap().count()
}

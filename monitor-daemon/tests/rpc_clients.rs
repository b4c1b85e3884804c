//! The clients in Rust (blocking) and Python, against a real server.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test says what it expects by unwrapping it"
)]

mod rpc_common;

use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use monitor_client::types::{
    Base64, CloseReason, DataWanted, EventKind, LookupParams, SideRange, SocketsParams,
    SubscribeParams,
};
use monitor_client::{Client, Code, Error, EventBody, Method, Reason, Side};
use monitor_tests::skip;
use rpc_common::engine_threads::EngineThreads;
use rpc_common::talk::{From, Talk};
use rpc_common::world::{ENDS, STREAM, world};
use rpc_common::{Server, pattern};

#[test]
fn the_rust_client_reads_lists_and_finds() {
    let (engines, sockid) = world();
    let server = Server::start(&engines);
    let mut client = server.client();
    let hello = client.hello("test").unwrap();
    assert_eq!(hello.methods.len(), Method::ALL.len());
    let page = SocketsParams {
        port: Some(1234),
        ..SocketsParams::default()
    };
    let listed = client.sockets(&page).unwrap().sockets;
    let ends = LookupParams {
        client: ENDS.0.parse().unwrap(),
        server: ENDS.1.parse().unwrap(),
        vlan: None,
    };
    let found = client.lookup(&ends).unwrap();
    assert_eq!(listed, std::slice::from_ref(&found));
    assert_eq!(client.info(sockid).unwrap(), found);
    assert_eq!(found.closed, Some(CloseReason::Rst));
    let read = client.ppeek(sockid, Side::Server, 9, 1 << 40).unwrap();
    assert!(read.bytes == pattern(9, STREAM - 9));
    assert_eq!((read.head.len, read.head.data), (STREAM as u64 - 9, None));
    let extents = client.fragments(sockid, Side::Server).unwrap().extents;
    assert_eq!(extents, [(0, STREAM as u64), (STREAM as u64 + 100, 5)]);
    let turns = client.turns(sockid, None, None).unwrap();
    let (mut received, mut last) = (0, 0.0);
    for turn in turns.turns {
        assert!(turn.time >= last);
        last = turn.time;
        if turn.side == Side::Server {
            received += turn.len;
        }
    }
    assert_eq!(received, STREAM as u64 + 5);
    assert_eq!(turns.next.server, STREAM as u64 + 105);
    let rest = client.turns(sockid, Some(turns.next), Some(9)).unwrap();
    assert_eq!((rest.turns.len(), rest.next), (0, turns.next));
    assert_eq!(client.stats().unwrap().rpc.get("clients"), Some(1));
}

#[test]
fn the_rust_client_distinguishes_errors_and_continues() {
    let (engines, sockid) = world();
    let mut server = Server::start(&engines);
    let mut client = server.client();
    let Err(Error::Rpc(error)) = client.ppeek(sockid, Side::Server, STREAM as u64, 1) else {
        panic!("there is a hole")
    };
    assert_eq!(
        (error.known_code(), error.reason()),
        (Some(Code::NoData), Some(Reason::Gap))
    );
    assert_eq!(
        error.data.unwrap().next_extent,
        Some(Some(STREAM as u64 + 100))
    );
    assert!(
        matches!(client.info(1 << 52), Err(Error::Rpc(error)) if error.known_code() == Some(Code::BadSocket))
    );
    assert!(client.info(sockid).is_ok());
    server.stop();
    assert!(matches!(
        client.info(sockid),
        Err(Error::Closed | Error::Io(_))
    ));
    assert!(matches!(
        Client::connect(&server.socket),
        Err(Error::Connect { .. })
    ));
}

/// Connections to port 81 that say "ping" and are reset, one after the other, until this is dropped.
struct Live {
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Live {
    fn start(workers: EngineThreads) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let over = Arc::clone(&stop);
        let thread = std::thread::spawn(move || {
            let mut ports = (1024..=u16::MAX).cycle();
            while !over.load(Ordering::Relaxed) {
                let client = format!("10.0.7.1:{}", ports.next().unwrap());
                let mut talk = Talk::new(&client, "10.0.0.2:81");
                workers.with(0, move |engine| {
                    talk.open(engine);
                    talk.say(engine, From::Client, b"ping");
                    talk.reset(engine, From::Server);
                });
                std::thread::sleep(Duration::from_millis(5));
            }
        });
        Self {
            stop,
            thread: Some(thread),
        }
    }
}

impl Drop for Live {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        self.thread.take().unwrap().join().unwrap();
    }
}

#[test]
fn the_rust_client_listens() {
    let (engines, sockid) = world();
    let (server, _workers) = Server::with_threads(engines);
    let mut client = server.client();
    let told: Vec<_> = client
        .follow(sockid, Some(Side::Server), Some(7))
        .unwrap()
        .map(|notification| notification.unwrap().body)
        .take_while(|body| !matches!(body, EventBody::End { .. }))
        .collect();
    let bytes: Vec<u8> = told
        .iter()
        .flat_map(|body| match body {
            EventBody::Data {
                data: Some(data), ..
            } => &data.0[..],
            _ => &[],
        })
        .copied()
        .collect();
    assert!(bytes == [pattern(7, STREAM - 7), pattern(STREAM as u64 + 100, 5)].concat());
    let gap = SideRange {
        side: Side::Server,
        off: STREAM as u64,
        len: 100,
    };
    assert!(told.contains(&EventBody::Gap(gap)));
    assert_eq!(
        client
            .wait(sockid, Side::Server, 9, None)
            .unwrap()
            .available,
        STREAM as u64 - 9
    );

    let (live, workers) = Server::with_threads(rpc_common::engines(1));
    let _live = Live::start(workers);
    let params = SubscribeParams {
        events: Some(vec![EventKind::Opened, EventKind::Data]),
        filter: Some("port 81".to_owned()),
        data: Some(DataWanted { max: 3 }),
        ..SubscribeParams::default()
    };
    let mut events = live
        .client()
        .subscribe(&params)
        .unwrap()
        .map(Result::unwrap);
    let opened = events
        .find(|event| matches!(event.body, EventBody::Opened { .. }))
        .unwrap();
    let data = events.find(|event| event.sockid == opened.sockid).unwrap();
    let expected = EventBody::Data {
        range: SideRange {
            side: Side::Server,
            off: 0,
            len: 4,
        },
        raw: None,
        data: Some(Base64(b"pin".to_vec())),
    };
    assert_eq!(data.body, expected);
}

#[test]
fn the_python_client_passes_its_tests() {
    let (engines, sockid) = world();
    let (server, _workers) = Server::with_threads(engines);
    let (live, workers) = Server::with_threads(rpc_common::engines(1));
    let _live = Live::start(workers);
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("../clients/python");
    let output = Command::new("python3")
        .args(["-B", "-W", "error", "test_monitor.py", "-v"])
        .current_dir(directory)
        .env("MONITOR_SOCKET", &server.socket)
        .env("MONITOR_LIVE_SOCKET", &live.socket)
        .env("MONITOR_SOCKID", sockid.to_string())
        .output();
    let output = match output {
        Ok(output) => output,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            skip!("python3 is not installed");
        }
        Err(error) => panic!("python3 cannot be run: {error}"),
    };
    let text = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && text.contains("\nOK"), "{text}");
}

//! Events of real connections, reported during the capture.

#![expect(
    clippy::unwrap_used,
    reason = "a test says what it expects by unwrapping it"
)]

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};

use monitor_tests::wiregen::Random;
use monitor_tests::{Daemon, Namespace, Rpc, needs};
use serde_json::{Value, json};

const MB: usize = 1_000_000;
const SETTINGS: &str = "[capture]\nmode = 'tap'\ninterfaces = ['lo']\nbuffers = '256MiB'\n\
                        [store]\nwindow = '128MiB'\nmemory = '512MiB'\n";

/// The parameters of the next event.
#[track_caller]
fn event(rpc: &mut Rpc) -> Value {
    let line = rpc.line().expect("an event, not the end");
    assert_eq!(line["method"], "event", "{line}");
    line["params"].clone()
}

/// Sends all of `bytes` to a server that takes them, answers and closes; then it closes, too.
fn transfer(listener: &TcpListener, bytes: &[u8]) {
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let (mut stream, _) = listener.accept().unwrap();
            let mut taken = vec![0; bytes.len()];
            stream.read_exact(&mut taken).unwrap();
            stream.write_all(b"thanks").unwrap();
        });
        let mut stream = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        stream.write_all(bytes).unwrap();
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).unwrap();
        assert_eq!(answer, b"thanks");
    });
}

#[test]
fn a_real_transfer_has_events_and_is_followed_to_its_last_byte() {
    needs!("ip");
    let namespace = Namespace::new();
    let daemon = Daemon::start(&namespace, SETTINGS);
    let bytes = Random::new(5).bytes(50 * MB);
    let (mut told, mut follower) = (daemon.rpc(), daemon.rpc());
    let kinds = json!(["opened", "established", "data", "state", "closed"]);
    told.ok(
        "subscribe",
        json!({ "filter": "port 7000", "events": kinds, "queue": 65_536 }),
    );
    namespace.enter(|| {
        let listener = TcpListener::bind("127.0.0.1:7000").unwrap();
        std::thread::scope(|scope| {
            scope.spawn(|| transfer(&listener, &bytes));
            let opened = event(&mut told);
            assert_eq!(
                (&opened["event"], &opened["server"]),
                (&json!("opened"), &json!("127.0.0.1:7000"))
            );
            let sockid = opened["sockid"].clone();
            follower.ok(
                "follow",
                json!({ "sockid": sockid, "side": "server", "off": 0, "encoding": "raw" }),
            );
            let mut stream = Vec::with_capacity(bytes.len());
            loop {
                let event = event(&mut follower);
                if event["event"] == "end" {
                    assert_eq!(event["reason"], "eof");
                    break;
                }
                assert_eq!(
                    (&event["event"], &event["off"]),
                    (&json!("data"), &json!(stream.len())),
                    "{event}"
                );
                stream.extend(follower.bytes(event["raw"].as_u64().unwrap() as usize));
            }
            assert!(stream == bytes, "what was followed is what was sent");
            let (mut seen, mut received, mut states) = (Vec::new(), [0, 0], Vec::new());
            loop {
                let event = event(&mut told);
                assert_eq!(event["sockid"], sockid, "{event}");
                let name = event["event"].as_str().unwrap().to_owned();
                let side = usize::from(event["side"] == "server");
                if name == "data" {
                    assert_eq!(event["off"].as_u64(), Some(received[side]), "{event}");
                    received[side] += event["len"].as_u64().unwrap();
                }
                if name == "state" {
                    states.push(event["state"].as_str().unwrap().to_owned());
                }
                if !seen.contains(&name) {
                    seen.push(name);
                }
                if event["event"] == "closed" {
                    assert_eq!(event["reason"], "fin");
                    break;
                }
            }
            assert_eq!(received, [6, bytes.len() as u64]);
            seen.sort();
            assert_eq!(seen, ["closed", "data", "established", "state"]);
            assert!(
                ["ESTABLISHED", "FIN-WAIT-1"]
                    .iter()
                    .all(|state| states.iter().any(|own| own == state))
            );
        });
    });
    assert_eq!(daemon.rpc().stat("rpc", "events_lost"), 0);
    daemon.stop();
}

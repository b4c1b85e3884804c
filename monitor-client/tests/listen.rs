//! Subscriptions, against a scripted server.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "unwrapping is an assertion in a test"
)]

use std::collections::VecDeque;
use std::io::{BufRead, BufReader, Write};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use monitor_client::types::{Base64, SideRange};
use monitor_client::{Client, Error, EventBody, Method, Reconnect, Side};
use serde_json::{Value, json};
use tempfile::TempDir;

const POLICY: Reconnect = Reconnect {
    attempts: 20,
    pause: Duration::from_millis(1),
    longest: Duration::from_millis(10),
};

/// Instance and events of one subscription after the other. Each connection but the last is closed after its events.
type Parts = Arc<Mutex<VecDeque<(u64, &'static [u8])>>>;

struct Script {
    socket: PathBuf,
    _directory: TempDir,
}

impl Script {
    /// Starts a server that sends each part as the daemon of that instance.
    fn start(parts: &[(u64, &'static [u8])]) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let socket = directory.path().join("scripted.sock");
        let listener = UnixListener::bind(&socket).unwrap();
        let parts: Parts = Arc::new(Mutex::new(parts.iter().copied().collect()));
        // Ends with the process.
        thread::spawn(move || {
            for client in listener.incoming() {
                let parts = Arc::clone(&parts);
                thread::spawn(move || serve(client.unwrap(), &parts));
            }
        });
        Self {
            socket,
            _directory: directory,
        }
    }
}

fn serve(mut client: UnixStream, parts: &Parts) {
    for line in BufReader::new(client.try_clone().unwrap())
        .lines()
        .map_while(Result::ok)
    {
        let request: Value = serde_json::from_str(&line).unwrap();
        let is_hello = request["method"] == "hello";
        let mut parts = parts.lock().unwrap();
        let instance = parts[0].0;
        let result = if is_hello {
            hello(instance)
        } else {
            json!({ "sockid": 70 + instance })
        };
        writeln!(
            client,
            "{}",
            json!({ "jsonrpc": "2.0", "id": request["id"], "result": result })
        )
        .unwrap();
        if !is_hello {
            client.write_all(parts[0].1).unwrap();
            if parts.len() == 1 {
                continue;
            }
            parts.pop_front();
            return;
        }
    }
}

fn hello(instance: u64) -> Value {
    json!({ "version": 1, "server": "scripted", "pid": 1, "instance": instance, "max_len": 1, "methods": [],
        "capture": { "mode": "tap", "interfaces": [], "workers": 1 } })
}

const DATA: &[u8] =
    b"{\"jsonrpc\":\"2.0\",\"method\":\"event\",\"params\":{\"listener\":71,\"event\":\"data\",\"time\":1.5,\
    \"sockid\":9,\"side\":\"server\",\"off\":7,\"len\":4,\"raw\":4}}\na\n\0b";
const GAP: &[u8] =
    b"{\"jsonrpc\":\"2.0\",\"method\":\"event\",\"params\":{\"listener\":71,\"event\":\"gap\",\"time\":2.5,\
    \"sockid\":9,\"side\":\"client\",\"off\":1,\"len\":2}}\n";

#[track_caller]
fn is_data(body: &EventBody) {
    let bytes = b"a\n\0b".to_vec();
    assert_eq!(
        *body,
        EventBody::Data {
            range: SideRange {
                side: Side::Server,
                off: 7,
                len: 4,
            },
            raw: None,
            data: Some(Base64(bytes)),
        }
    );
}

#[test]
fn events_carry_their_bytes_and_the_timeout_applies() {
    let script = Script::start(&[(1, DATA)]);
    let mut client = Client::connect(&script.socket).unwrap();
    let mut events = client.listen(Method::Subscribe, &json!({})).unwrap();
    assert_eq!(events.subscribed().sockid, 71);
    let notice = events.next().unwrap().unwrap();
    assert_eq!(
        (notice.listener, notice.sockid, notice.time),
        (71, Some(9), Some(1.5))
    );
    is_data(&notice.body);
    for _ in 0..2 {
        assert!(matches!(
            events.next_within(Some(Duration::from_millis(5))),
            Some(Ok(None))
        ));
    }
}

#[test]
fn without_a_policy_a_subscription_ends_with_its_connection() {
    let script = Script::start(&[(1, DATA), (1, GAP)]);
    let mut client = Client::connect(&script.socket).unwrap();
    let mut events = client.listen(Method::Subscribe, &json!({})).unwrap();
    is_data(&events.next().unwrap().unwrap().body);
    assert!(events.next().unwrap().unwrap_err().is_broken());
    assert!(events.next().is_none());
}

#[test]
fn a_subscription_is_created_again_and_reports_the_interruption() {
    // Cut in the middle of an event, too.
    let script = Script::start(&[(1, DATA), (1, &DATA[..DATA.len() - 2]), (1, GAP)]);
    let mut client = Client::connect_with(&script.socket, POLICY).unwrap();
    let events = client.listen(Method::Subscribe, &json!({})).unwrap();
    let received: Vec<EventBody> = events.take(4).map(|notice| notice.unwrap().body).collect();
    is_data(&received[0]);
    assert_eq!(
        (&received[1], &received[2]),
        (&EventBody::Interrupted, &EventBody::Interrupted)
    );
    assert_eq!(
        received[3],
        EventBody::Gap(SideRange {
            side: Side::Client,
            off: 1,
            len: 2
        })
    );
}

#[test]
fn follow_is_not_created_again() {
    let script = Script::start(&[(1, DATA), (1, DATA)]);
    let mut client = Client::connect_with(&script.socket, POLICY).unwrap();
    let mut events = client
        .listen(Method::Follow, &json!({ "sockid": 9 }))
        .unwrap();
    is_data(&events.next().unwrap().unwrap().body);
    assert!(events.next().unwrap().unwrap_err().is_broken());
    assert!(events.next().is_none());
}

#[test]
fn a_restart_is_reported_and_ends_subscriptions_for_one_connection() {
    let script = Script::start(&[(1, DATA), (2, GAP)]);
    let mut client = Client::connect_with(&script.socket, POLICY).unwrap();
    let mut events = client.listen(Method::Subscribe, &json!({})).unwrap();
    is_data(&events.next().unwrap().unwrap().body);
    assert!(matches!(events.next(), Some(Err(Error::Restarted))));
    assert_eq!(events.subscribed().sockid, 72);
    assert!(matches!(
        events.next().unwrap().unwrap().body,
        EventBody::Gap(_)
    ));

    let script = Script::start(&[(1, DATA), (2, GAP)]);
    let mut client = Client::connect_with(&script.socket, POLICY).unwrap();
    let mut events = client
        .listen(Method::Subscribe, &json!({ "sockid": 9 }))
        .unwrap();
    is_data(&events.next().unwrap().unwrap().body);
    assert!(matches!(events.next(), Some(Err(Error::Restarted))));
    assert!(events.next().is_none());
}

#[cfg(feature = "async")]
mod asynchronous {
    use monitor_client::AsyncClient;

    use super::*;

    #[tokio::test]
    async fn a_stream_returns_the_same_events() {
        let script = Script::start(&[(1, DATA), (1, DATA), (2, GAP)]);
        let mut client = AsyncClient::connect_with(&script.socket, POLICY)
            .await
            .unwrap();
        let mut events = client.listen(Method::Watch, &json!({})).await.unwrap();
        assert_eq!(events.subscribed().sockid, 71);
        is_data(&events.next().await.unwrap().unwrap().body);
        assert_eq!(
            events.next().await.unwrap().unwrap().body,
            EventBody::Interrupted
        );
        is_data(&events.next().await.unwrap().unwrap().body);
        assert!(matches!(events.next().await, Some(Err(Error::Restarted))));
        assert!(matches!(
            events.next().await.unwrap().unwrap().body,
            EventBody::Gap(_)
        ));
        let late = tokio::time::timeout(Duration::from_millis(5), events.next()).await;
        assert!(late.is_err(), "it waits");
    }

    #[tokio::test]
    async fn a_stream_ends_like_the_blocking_subscription() {
        for (parts, restarted) in [
            ([(1, DATA), (2, GAP)], true),
            ([(1, DATA), (1, GAP)], false),
        ] {
            let script = Script::start(&parts);
            let mut client = AsyncClient::connect_with(&script.socket, POLICY)
                .await
                .unwrap();
            let method = if restarted {
                Method::Subscribe
            } else {
                Method::Follow
            };
            let mut events = client
                .listen(method, &json!({ "sockid": 9 }))
                .await
                .unwrap();
            is_data(&events.next().await.unwrap().unwrap().body);
            let error = events.next().await.unwrap().unwrap_err();
            assert!(
                if restarted {
                    matches!(error, Error::Restarted)
                } else {
                    error.is_broken()
                },
                "{error}"
            );
            assert!(events.next().await.is_none());
        }
    }
}

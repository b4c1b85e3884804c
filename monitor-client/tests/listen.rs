//! Listening, against a server that says what the test has written down.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test says what it expects by unwrapping it"
)]

use std::collections::VecDeque;
use std::io::{BufRead, BufReader, Write};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use monitor_client::notice::{Range, What};
use monitor_client::{Client, Error, Reconnect, Side};
use serde_json::{Value, json};
use tempfile::TempDir;

const POLICY: Reconnect = Reconnect {
    attempts: 20,
    pause: Duration::from_millis(1),
    longest: Duration::from_millis(10),
};

/// What one listener after the other is told; then its connection is closed, but for the last one.
type Parts = Arc<Mutex<VecDeque<(u64, &'static [u8])>>>;

struct Script {
    socket: PathBuf,
    _directory: TempDir,
}

impl Script {
    /// Each part is told by the daemon of that instance.
    fn start(parts: &[(u64, &'static [u8])]) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let socket = directory.path().join("scripted.sock");
        let listener = UnixListener::bind(&socket).unwrap();
        let parts: Parts = Arc::new(Mutex::new(parts.iter().copied().collect()));
        // Ends with the process.
        thread::spawn(move || {
            for client in listener.incoming() {
                let parts = Arc::clone(&parts);
                thread::spawn(move || tell(client.unwrap(), &parts));
            }
        });
        Self {
            socket,
            _directory: directory,
        }
    }
}

fn tell(mut client: UnixStream, parts: &Parts) {
    for line in BufReader::new(client.try_clone().unwrap())
        .lines()
        .map_while(Result::ok)
    {
        let request: Value = serde_json::from_str(&line).unwrap();
        let greets = request["method"] == "hello";
        let mut parts = parts.lock().unwrap();
        let instance = parts[0].0;
        let result = if greets {
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
        if !greets {
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
fn is_data(what: &What) {
    let bytes = b"a\n\0b".to_vec();
    assert_eq!(
        *what,
        What::Data {
            side: Side::Server,
            off: 7,
            len: 4,
            bytes
        }
    );
}

#[test]
fn notices_come_with_their_bytes_and_patience_ends() {
    let script = Script::start(&[(1, DATA)]);
    let mut client = Client::connect(&script.socket).unwrap();
    let mut notices = client.listen("subscribe", &json!({})).unwrap();
    assert_eq!(notices.listener().sockid, 71);
    let notice = notices.next().unwrap().unwrap();
    assert_eq!(
        (notice.listener, notice.sockid, notice.time),
        (71, Some(9), Some(1.5))
    );
    is_data(&notice.what);
    for _ in 0..2 {
        assert!(matches!(
            notices.next_within(Some(Duration::from_millis(5))),
            Some(Ok(None))
        ));
    }
}

#[test]
fn without_a_policy_it_ends_with_the_connection() {
    let script = Script::start(&[(1, DATA), (1, GAP)]);
    let mut client = Client::connect(&script.socket).unwrap();
    let mut notices = client.listen("subscribe", &json!({})).unwrap();
    is_data(&notices.next().unwrap().unwrap().what);
    assert!(notices.next().unwrap().unwrap_err().is_broken());
    assert!(notices.next().is_none());
}

#[test]
fn a_subscription_is_made_anew_and_says_so() {
    // Cut in the middle of an event, too.
    let script = Script::start(&[(1, DATA), (1, &DATA[..DATA.len() - 2]), (1, GAP)]);
    let mut client = Client::connect_with(&script.socket, POLICY).unwrap();
    let notices = client.listen("subscribe", &json!({})).unwrap();
    let told: Vec<What> = notices.take(4).map(|notice| notice.unwrap().what).collect();
    is_data(&told[0]);
    assert_eq!(
        (&told[1], &told[2]),
        (&What::Interrupted, &What::Interrupted)
    );
    assert_eq!(
        told[3],
        What::Gap(Range {
            side: Side::Client,
            off: 1,
            len: 2
        })
    );
}

#[test]
fn what_is_followed_is_not_begun_again() {
    let script = Script::start(&[(1, DATA), (1, DATA)]);
    let mut client = Client::connect_with(&script.socket, POLICY).unwrap();
    let mut notices = client.listen("follow", &json!({ "sockid": 9 })).unwrap();
    is_data(&notices.next().unwrap().unwrap().what);
    assert!(notices.next().unwrap().unwrap_err().is_broken());
    assert!(notices.next().is_none());
}

#[test]
fn another_daemon_is_told_and_no_connection_of_it_is_mistaken() {
    let script = Script::start(&[(1, DATA), (2, GAP)]);
    let mut client = Client::connect_with(&script.socket, POLICY).unwrap();
    let mut notices = client.listen("subscribe", &json!({})).unwrap();
    is_data(&notices.next().unwrap().unwrap().what);
    assert!(matches!(notices.next(), Some(Err(Error::Restarted))));
    assert_eq!(notices.listener().sockid, 72);
    assert!(matches!(
        notices.next().unwrap().unwrap().what,
        What::Gap(_)
    ));

    let script = Script::start(&[(1, DATA), (2, GAP)]);
    let mut client = Client::connect_with(&script.socket, POLICY).unwrap();
    let mut notices = client.listen("subscribe", &json!({ "sockid": 9 })).unwrap();
    is_data(&notices.next().unwrap().unwrap().what);
    assert!(matches!(notices.next(), Some(Err(Error::Restarted))));
    assert!(notices.next().is_none());
}

#[cfg(feature = "async")]
mod asynchronous {
    use monitor_client::AsyncClient;

    use super::*;

    #[tokio::test]
    async fn a_stream_tells_the_same() {
        let script = Script::start(&[(1, DATA), (1, DATA), (2, GAP)]);
        let mut client = AsyncClient::connect_with(&script.socket, POLICY)
            .await
            .unwrap();
        let mut notices = client.listen("watch", &json!({})).await.unwrap();
        assert_eq!(notices.listener().sockid, 71);
        is_data(&notices.next().await.unwrap().unwrap().what);
        assert_eq!(
            notices.next().await.unwrap().unwrap().what,
            What::Interrupted
        );
        is_data(&notices.next().await.unwrap().unwrap().what);
        assert!(matches!(notices.next().await, Some(Err(Error::Restarted))));
        assert!(matches!(
            notices.next().await.unwrap().unwrap().what,
            What::Gap(_)
        ));
        let late = tokio::time::timeout(Duration::from_millis(5), notices.next()).await;
        assert!(late.is_err(), "it waits");
    }

    #[tokio::test]
    async fn a_stream_ends() {
        for (parts, restarted) in [
            ([(1, DATA), (2, GAP)], true),
            ([(1, DATA), (1, GAP)], false),
        ] {
            let script = Script::start(&parts);
            let mut client = AsyncClient::connect_with(&script.socket, POLICY)
                .await
                .unwrap();
            let method = if restarted { "subscribe" } else { "follow" };
            let mut notices = client
                .listen(method, &json!({ "sockid": 9 }))
                .await
                .unwrap();
            is_data(&notices.next().await.unwrap().unwrap().what);
            let error = notices.next().await.unwrap().unwrap_err();
            assert!(
                if restarted {
                    matches!(error, Error::Restarted)
                } else {
                    error.is_broken()
                },
                "{error}"
            );
            assert!(notices.next().await.is_none());
        }
    }
}

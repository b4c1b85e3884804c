//! Requests without number, replies of another version, and passwords in settings.

use std::os::unix::net::UnixListener;

use async_nats::{HeaderMap, jetstream};
use futures_util::StreamExt as _;
use monitor_client::{ErrorObject, Reason};
use monitor_relay::fleet::hosts::Host;
use monitor_relay::fleet::subjects::{self, ALL, BUCKET, HOST, INSTANCE};
use monitor_tests::{DEADLINE, NatsServer, Program, have, skip, until};
use serde_json::json;
use tokio::time::timeout;

use crate::rpc_common::{Server, engines};
use crate::{Relay, command, connect, runtime};

/// Requests that a relay answers at once, with those that wait.
const REQUESTS: usize = 256;

#[test]
fn a_flood_of_requests_is_answered_as_busy() {
    if !have("nats-server") {
        skip!("needs nats-server");
    }
    let nats = NatsServer::start();
    let directory = tempfile::tempdir().unwrap();
    // A daemon that accepts connections, and answers nothing.
    let socket = directory.path().join("monitord.sock");
    let _daemon = UnixListener::bind(&socket).unwrap();
    let _relay = Relay::start(&socket, &nats, "h1", "");
    runtime().block_on(async {
        let fleet = connect(&nats).await;
        let inbox = fleet.nats().new_inbox();
        let mut replies = fleet.nats().subscribe(inbox.clone()).await.unwrap();
        for _ in 0..REQUESTS + 50 {
            let subject = subjects::rpc("h1", "stats");
            let sent = fleet
                .nats()
                .publish_with_reply(subject, inbox.clone(), "".into());
            sent.await.unwrap();
        }
        for _ in 0..50 {
            let reply = timeout(DEADLINE, replies.next()).await.unwrap().unwrap();
            let error: ErrorObject = serde_json::from_slice(&reply.payload).unwrap();
            assert_eq!(error.reason(), Some(Reason::Clients), "{}", error.message);
        }
    });
}

#[test]
fn a_host_with_an_invalid_reply_is_named_beside_the_answers_of_the_others() {
    if !have("nats-server") {
        skip!("needs nats-server");
    }
    let nats = NatsServer::start();
    let (server, _workers) = Server::with_threads(engines(1));
    let _relay = Relay::start(&server.socket, &nats, "h1", "");
    runtime().block_on(async {
        let fleet = connect(&nats).await;
        let subject = subjects::rpc(ALL, "hello");
        let mut requests = fleet.nats().subscribe(subject).await.unwrap();
        let context = jetstream::new(fleet.nats().clone());
        let other = Host {
            host: "h2".to_owned(),
            ..Host::default()
        };
        let heartbeat = serde_json::to_vec(&other).unwrap();
        let bucket = context.get_key_value(BUCKET).await.unwrap();
        bucket.put("h2", heartbeat.into()).await.unwrap();
        let reply = async {
            let request = requests.next().await.unwrap();
            let mut headers = HeaderMap::new();
            headers.insert(HOST, "h2");
            headers.insert(INSTANCE, "not a number");
            let inbox = request.reply.unwrap();
            let sent = fleet
                .nats()
                .publish_with_headers(inbox, headers, "{}".into());
            sent.await.unwrap();
        };
        let params = json!({});
        let (gathered, ()) = tokio::join!(fleet.gather("hello", &params), reply);
        let gathered = gathered.unwrap();
        let hosts: Vec<_> = gathered
            .answers
            .iter()
            .map(|answer| answer.host.as_str())
            .collect();
        assert_eq!(
            (hosts, gathered.invalid),
            (vec!["h1"], vec!["h2".to_owned()])
        );
        assert!(gathered.silent.is_empty(), "{:?}", gathered.silent);
    });
}

#[test]
fn passwords_are_in_no_line_of_the_log() {
    let directory = tempfile::tempdir().unwrap();
    let socket = directory.path().join("monitord.sock");
    let url = "nats://relay:secret@127.0.0.1:1";
    let relay = Program::start(&mut command(
        &directory,
        &socket,
        url,
        "h1",
        "[log]\nlevel = 'debug'",
    ));
    until("an attempt to connect", || {
        relay
            .stderr()
            .contains("not in the fleet yet")
            .then_some(())
    });
    let log = relay.stderr();
    assert!(
        log.contains("the connection to nats://127.0.0.1:1 is not encrypted"),
        "{log}"
    );
    assert!(!log.contains("secret"), "{log}");
    drop(relay);
    let wrong = "nats://relay:secret@127.0.0.1:port";
    let finished = Program::start(&mut command(&directory, &socket, wrong, "h1", "")).finish();
    assert!(
        finished
            .stderr
            .contains("cannot connect to nats://127.0.0.1:port"),
        "{}",
        finished.stderr
    );
    assert!(!finished.stderr.contains("secret"), "{}", finished.stderr);
}

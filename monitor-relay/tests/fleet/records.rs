//! Records of connections in the stream, each once, whatever is killed.

use std::collections::BTreeMap;

use async_nats::jetstream;
use monitor_relay::fleet::subjects::STREAM;
use monitor_tests::{NatsServer, have, skip};
use serde_json::Value;

use crate::rpc_common::Server;
use crate::rpc_common::engine_threads::EngineThreads;
use crate::rpc_common::engines;
use crate::rpc_common::hellos::client_hello;
use crate::rpc_common::talk::{From, Talk};
use crate::{LOOK, Relay, connect, runtime};

/// Opens and closes a number of connections from the ports after `first`.
fn converse(threads: &EngineThreads, first: u16, count: u16) {
    threads.with(0, |engine| {
        for port in first..first + count {
            let mut talk = Talk::new(&format!("10.0.0.1:{port}"), "10.0.0.2:80");
            talk.open(engine);
            talk.say(engine, From::Client, &client_hello());
            talk.reset(engine, From::Server);
        }
    });
}

/// Returns all records, once there are `count`: the number of messages for each client's port.
fn records(nats: &NatsServer, count: u64) -> BTreeMap<String, u64> {
    runtime().block_on(async {
        let fleet = connect(nats).await;
        let context = jetstream::new(fleet.nats().clone());
        let mut stream = loop {
            match context.get_stream(STREAM).await {
                Ok(stream) => break stream,
                Err(_) => tokio::time::sleep(LOOK).await,
            }
        };
        let wait = async {
            while stream.info().await.unwrap().state.messages < count {
                tokio::time::sleep(LOOK).await;
            }
        };
        let waited = tokio::time::timeout(monitor_tests::DEADLINE, wait).await;
        let state = stream.info().await.unwrap().state.clone();
        assert!(waited.is_ok(), "{} records of {count}", state.messages);
        let mut found = BTreeMap::new();
        for sequence in state.first_sequence..=state.last_sequence {
            let message = stream.get_raw_message(sequence).await.unwrap();
            let record: Value = serde_json::from_slice(&message.payload).unwrap();
            assert_eq!(record["sides"]["server"]["bytes"], client_hello().len());
            assert_eq!(record["tls"]["sni"], "a.test", "{record}");
            let client = record["client"].as_str().unwrap().to_owned();
            *found.entry(client).or_default() += 1;
        }
        found
    })
}

#[test]
fn each_connection_has_one_record_although_server_and_relay_are_killed() {
    if !have("nats-server") {
        skip!("needs nats-server");
    }
    let mut nats = NatsServer::start();
    let (server, threads) = Server::with_threads(engines(1));
    converse(&threads, 1000, 50);
    let relay = Relay::start(&server.socket, &nats, "h1", "");
    converse(&threads, 2000, 50);
    assert_eq!(records(&nats, 100).len(), 100);
    nats.kill();
    converse(&threads, 3000, 50);
    // While the server is away, the relay is killed as well.
    let directory = relay.kill();
    converse(&threads, 4000, 50);
    let mut waiting = monitor_tests::Program::start(&mut crate::command(
        &directory,
        &server.socket,
        &nats.url(),
        "h1",
        "",
    ));
    converse(&threads, 5000, 50);
    let spool = directory.path().join("spool/records.spool");
    monitor_tests::until("the records to be in the spool", || {
        assert!(waiting.ended().is_none(), "{}", waiting.stderr());
        let text = std::fs::read_to_string(&spool).unwrap_or_default();
        (text.lines().count() == 250).then_some(())
    });
    nats.restart();
    let found = records(&nats, 250);
    assert_eq!(found.len(), 250);
    assert!(found.values().all(|&count| count == 1), "{found:?}");
}

//! Requests to one host and to all, names of connections, and names of hosts.

use std::collections::BTreeSet;

use futures_util::StreamExt as _;
use monitor_client::{Code, Method, Reason};
use monitor_relay::fleet::subjects::{ALL, CONTROL, METHODS, SCATTERED, rpc};
use monitor_tests::{NatsServer, Program, have, skip};
use serde_json::{Value, json};

use crate::rpc_common::talk::{From, Talk};
use crate::rpc_common::world::{ENDS, STREAM, world};
use crate::rpc_common::{Server, engines, pattern};
use crate::{Relay, command, connect, runtime};

#[test]
fn requests_reach_the_host_that_has_the_connection() {
    if !have("nats-server") {
        skip!("needs nats-server");
    }
    let nats = NatsServer::start();
    let (engines, sockid) = world();
    let (one, _workers) = Server::with_threads(engines);
    let (other, _other_workers) = Server::with_threads(crate::rpc_common::engines(1));
    let _h1 = Relay::start(&one.socket, &nats, "h1", "");
    let h2 = Relay::start(&other.socket, &nats, "h2", "allow = ['stop']");
    runtime().block_on(async {
        let fleet = connect(&nats).await;
        let hosts = fleet.hosts().await.unwrap();
        let names: Vec<_> = hosts.iter().map(|host| host.host.as_str()).collect();
        assert_eq!(names, ["h1", "h2"]);
        assert_eq!((hosts[0].mode.as_str(), hosts[0].workers), ("replay", 2));
        let gathered = fleet.gather("sockets", &json!({})).await.unwrap();
        let count = |index: usize| {
            let result: &Value = gathered.answers[index].result.as_ref().unwrap();
            result["sockets"].as_array().unwrap().len()
        };
        assert_eq!((count(0), count(1)), (12, 0));
        assert!(gathered.silent.is_empty());
        let instance = Some(gathered.answers[0].instance);
        let params = json!({"sockid": sockid, "side": "server", "off": 5, "len": 1 << 20});
        let read = fleet.call("h1", instance, "ppeek", &params).await.unwrap();
        assert_eq!(read.result.unwrap()["len"], STREAM - 5);
        assert!(read.bytes == pattern(5, STREAM - 5));
        let past = json!({"sockid": sockid, "side": "server", "off": STREAM, "len": 1});
        let error = fleet
            .call("h1", instance, "ppeek", &past)
            .await
            .unwrap()
            .result
            .unwrap_err();
        assert_eq!(error.reason(), Some(Reason::Gap));
        let wrong = fleet
            .call("h1", None, "info", &json!({"sockid": "x"}))
            .await
            .unwrap();
        assert_eq!(wrong.result.unwrap_err().known_code(), Some(Code::Params));
        // A name of an earlier run of the daemon.
        let stale = fleet
            .call("h1", Some(1), "info", &json!({"sockid": sockid}))
            .await
            .unwrap();
        assert_eq!(
            stale.result.unwrap_err().known_code(),
            Some(Code::BadSocket)
        );
        let denied = fleet
            .call("h1", instance, "stop", &json!({"sockid": sockid}))
            .await
            .unwrap();
        assert_eq!(
            denied.result.unwrap_err().reason(),
            Some(Reason::Permission)
        );
        let allowed = fleet
            .call("h2", None, "stop", &json!({"sockid": sockid}))
            .await
            .unwrap();
        assert_eq!(
            allowed.result.unwrap_err().reason(),
            Some(Reason::NoConnection)
        );
        assert!(fleet.call("h3", None, "hello", &json!({})).await.is_err());
        h2.kill();
        let gathered = fleet.gather("hello", &json!({})).await.unwrap();
        assert_eq!(
            gathered.silent,
            ["h2"],
            "named until its heartbeat is 30 s old"
        );
    });
}

#[test]
fn every_method_is_an_endpoint_of_the_micro_service_and_reads_fit_into_a_message() {
    if !have("nats-server") {
        skip!("needs nats-server");
    }
    let config = "listen: \"0.0.0.0:4222\"\nmax_payload: 65536\njetstream { store_dir: \"/var/lib/nats\" }\n";
    let nats = NatsServer::start_with(config, None);
    let (engines, sockid) = world();
    let (server, _workers) = Server::with_threads(engines);
    let _relays = ["h1", "h2"].map(|host| Relay::start(&server.socket, &nats, host, ""));
    runtime().block_on(async {
        let fleet = connect(&nats).await;
        let params = json!({"sockid": sockid, "side": "server", "off": 3, "len": STREAM});
        let read = fleet.call("h2", None, "ppeek", &params).await.unwrap();
        let len = read.bytes.len();
        assert!((32_768..65_536).contains(&len), "{len}");
        assert_eq!(read.result.unwrap()["len"], len);
        assert!(read.bytes == pattern(3, len));
        for method in SCATTERED {
            let params = match method {
                Method::Lookup => json!({"client": ENDS.0, "server": ENDS.1}),
                _ => json!({}),
            };
            let gathered = fleet.gather(method.name(), &params).await.unwrap();
            assert_eq!(gathered.answers.len(), 2, "{}", method.name());
            for answer in gathered.answers {
                assert!(answer.result.is_ok(), "{:?}", answer.result);
            }
        }
        let inbox = fleet.nats().new_inbox();
        let mut replies = fleet.nats().subscribe(inbox.clone()).await.unwrap();
        let asked = fleet
            .nats()
            .publish_with_reply("$SRV.INFO.monitord", inbox, "".into());
        asked.await.unwrap();
        let mut hosts = BTreeSet::new();
        for _ in 0..2 {
            let reply = replies.next().await.unwrap();
            let info: Value = serde_json::from_slice(&reply.payload).unwrap();
            let host = info["metadata"]["host"].as_str().unwrap();
            let endpoints = info["endpoints"].as_array().unwrap().iter();
            let found: BTreeSet<_> = endpoints
                .map(|endpoint| endpoint["subject"].as_str().unwrap().to_owned())
                .collect();
            let own = METHODS.iter().chain(&CONTROL);
            let own = own.map(|method| rpc(host, method.name()));
            let shared = SCATTERED.iter().map(|method| rpc(ALL, method.name()));
            assert_eq!(found, own.chain(shared).collect());
            hosts.insert(host.to_owned());
        }
        assert_eq!(hosts, BTreeSet::from(["h1".to_owned(), "h2".to_owned()]));
    });
}

#[test]
fn a_second_relay_with_the_name_of_a_host_refuses_to_start() {
    if !have("nats-server") {
        skip!("needs nats-server");
    }
    let nats = NatsServer::start();
    let (engines, _) = world();
    let (server, _workers) = Server::with_threads(engines);
    let first = Relay::start(&server.socket, &nats, "h1", "");
    let directory = tempfile::tempdir().unwrap();
    let second = Program::start(&mut command(
        &directory,
        &server.socket,
        &nats.url(),
        "h1",
        "",
    ));
    let finished = second.finish();
    assert!(!finished.status.success());
    assert!(
        finished.stderr.contains("another relay is named \"h1\""),
        "{}",
        finished.stderr
    );
    let same = Program::start(&mut command(
        &first.directory,
        &server.socket,
        &nats.url(),
        "h2",
        "",
    ));
    let finished = same.finish();
    assert!(
        finished.stderr.contains("another relay uses the spool"),
        "{}",
        finished.stderr
    );
    // The first one, killed, gets its name back at once; so does the next one after an orderly end.
    let first = Relay::start_in(first.kill(), &server.socket, &nats, "h1", "");
    first.program.signal(rustix::process::Signal::TERM);
    let finished = first.program.finish();
    assert!(finished.status.success(), "{}", finished.stderr);
    let _third = Relay::start(&server.socket, &nats, "h1", "");
}

#[test]
fn events_are_published_with_numbers() {
    if !have("nats-server") {
        skip!("needs nats-server");
    }
    let nats = NatsServer::start();
    let (server, threads) = Server::with_threads(engines(1));
    let relay = Relay::start(&server.socket, &nats, "h1", "");
    let runtime = runtime();
    let mut events = runtime.block_on(async {
        let fleet = connect(&nats).await;
        let events = fleet.nats().subscribe("mon.v1.*.event.*").await.unwrap();
        fleet.nats().flush().await.unwrap();
        events
    });
    let mut wire = server.wire();
    // The relay's listeners: for events and for records.
    monitor_tests::until("the listeners", || {
        (wire.result("stats", json!({}))["rpc"]["listeners"] == 2).then_some(())
    });
    threads.with(0, |engine| {
        let mut talk = Talk::new(ENDS.0, ENDS.1);
        talk.open(engine);
        talk.reset(engine, From::Server);
    });
    let mut kinds = Vec::new();
    while kinds.last().is_none_or(|kind| kind != "closed") {
        let message = runtime.block_on(async { events.next().await.unwrap() });
        let event: Value = serde_json::from_slice(&message.payload).unwrap();
        let kind = event["event"].as_str().unwrap().to_owned();
        assert_eq!(message.subject.as_str(), format!("mon.v1.h1.event.{kind}"));
        kinds.push(kind);
        assert_eq!(
            (&event["seq"], &event["lost"]),
            (&json!(kinds.len()), &json!(0))
        );
    }
    assert_eq!(kinds, ["opened", "established", "closed"]);
    drop(relay);
}

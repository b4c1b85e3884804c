//! Subscribers that do not read.

use std::time::Instant;

use serde_json::json;

use crate::rpc_common::engine_threads::EngineThreads;
use crate::rpc_common::talk::{From, Talk};
use crate::rpc_common::{Server, Wire, engines};
use crate::{PROMPT, alone, eventually, gauge};

#[test]
fn a_client_that_does_not_read_its_events_loses_them_exactly_and_alone() {
    const OPENED: u16 = 20_000;
    let _alone = alone();
    let (threads, status) = EngineThreads::start(engines(1));
    let server = Server::start_with(status, |_| {});
    let (mut slow, mut quick, mut watcher) = (server.wire(), server.wire(), server.wire());
    slow.result("subscribe", json!({ "events": ["opened"], "queue": 64 }));
    quick.result(
        "subscribe",
        json!({ "events": ["opened"], "queue": 65_536 }),
    );
    // The ports in the client's events, and the number of events that it missed, in their order.
    let read = |wire: &mut Wire| {
        let (mut heard, mut lost) = (0_u64, 0);
        while heard + lost < u64::from(OPENED) {
            let event = wire.event();
            if event["event"] == "lost" {
                lost += event["count"].as_u64().unwrap();
                continue;
            }
            assert_eq!(
                event["client"],
                format!("10.0.0.1:{}", 10_000 + heard + lost),
                "{event}"
            );
            heard += 1;
        }
        (heard, lost)
    };
    std::thread::scope(|scope| {
        let reading = scope.spawn(|| read(&mut quick));
        for port in 10_000..10_000 + OPENED {
            Talk::new(&format!("10.0.0.1:{port}"), "10.0.0.2:80").syn(&mut threads.engine(0));
        }
        assert_eq!(
            reading.join().unwrap(),
            (u64::from(OPENED), 0),
            "others hear all"
        );
    });
    let (heard, lost) = read(&mut slow);
    assert!(heard >= 64 && lost > 1000, "{heard} heard, {lost} lost");
    assert_eq!(gauge(&mut watcher, "events_lost"), lost);
}

#[test]
fn two_hundred_listening_clients_and_half_of_them_killed() {
    let _alone = alone();
    let (threads, status) = EngineThreads::start(engines(2));
    let server = Server::start_with(status, |_| {});
    let mut talk = Talk::new("10.0.0.1:1234", "10.0.0.2:80");
    talk.open(&mut threads.engine(1));
    let sockid = talk.id(&threads.engine(1)).as_u64();
    let mut clients: Vec<Wire> = (0..200)
        .map(|index| {
            let mut wire = server.wire();
            let filter = if index % 2 == 0 { "port 80" } else { "port 81" };
            wire.result(
                "subscribe",
                json!({ "events": ["data"], "filter": filter, "queue": 100 }),
            );
            wire.result("follow", json!({ "sockid": sockid, "side": "server" }));
            wire
        })
        .collect();
    let mut watcher = server.wire();
    assert_eq!(gauge(&mut watcher, "listeners"), 400);
    clients.truncate(100);
    eventually("the listeners of those that are gone go", || {
        gauge(&mut watcher, "listeners") == 200
    });
    let start = Instant::now();
    talk.say(&mut threads.engine(1), From::Client, b"to all");
    for (index, wire) in clients.iter_mut().enumerate() {
        for _ in 0..2 - index % 2 {
            assert_eq!(wire.event()["len"], 6);
        }
    }
    assert!(start.elapsed() < PROMPT, "it took {:?}", start.elapsed());
    clients.clear();
    eventually("all go", || gauge(&mut watcher, "listeners") == 0);
    assert_eq!(gauge(&mut watcher, "event_memory"), 0);
}

#[test]
fn filters_of_512_listeners_cost_a_worker_nothing() {
    const OPENED: u16 = 5000;
    let _alone = alone();
    let (threads, status) = EngineThreads::start(engines(1));
    let server = Server::start_with(status, |_| {});
    // Opens connections, and returns the time that the worker took. Every round has clients of its own.
    let mut round = 0;
    let mut open = || {
        round += 1;
        let start = Instant::now();
        for port in 10_000..10_000 + OPENED {
            let client = format!("10.0.{round}.1:{port}");
            Talk::new(&client, "10.0.0.2:80").syn(&mut threads.engine(0));
        }
        start.elapsed()
    };
    let bare = (0..3).map(|_| open()).min().unwrap();
    // The maximum size; no connection matches, so that all tests are made.
    let filter = format!("port 1{}", " or 9".repeat(3275));
    let mut clients: Vec<_> = (0..8).map(|_| server.wire()).collect();
    for wire in &mut clients {
        for _ in 0..64 {
            let params = json!({ "events": ["opened"], "filter": filter, "queue": 16 });
            wire.result("subscribe", params);
        }
    }
    let mut watcher = server.wire();
    assert_eq!(gauge(&mut watcher, "listeners"), 512);
    let loaded = (0..3).map(|_| open()).min().unwrap();
    // Evaluated by the worker, the filters took a hundred times as long as the connections.
    assert!(
        loaded < bare * 3,
        "{OPENED} connections took {loaded:?} with listeners, {bare:?} without"
    );
    drop(clients);
    eventually("the listeners are gone", || {
        gauge(&mut watcher, "listeners") == 0 && gauge(&mut watcher, "event_memory") == 0
    });
}

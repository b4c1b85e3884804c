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

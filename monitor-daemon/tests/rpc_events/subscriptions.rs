//! Subscriptions to events.

use std::io::Write;
use std::net::Shutdown;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::rpc_common::engine_threads::EngineThreads;
use crate::rpc_common::talk::From;
use crate::rpc_common::{Server, Wire, engines, pattern};
use crate::{bytes, expect, listener, reply_among_events, serve, talk};

#[test]
fn every_event_of_a_connection_in_its_order() {
    let (threads, _server, mut wire) = serve(1);
    let all = json!([
        "opened",
        "established",
        "data",
        "gap",
        "filled",
        "retransmit",
        "conflict",
        "closed"
    ]);
    let number = listener(
        &mut wire,
        "subscribe",
        json!({ "events": all, "data": { "max": 4 } }),
    );
    let mut talk = talk(1000);
    talk.vlan = vec![7];
    let mut engine = threads.engine(0);
    talk.open(&mut engine);
    talk.say(&mut engine, From::Client, b"request");
    talk.at(&mut engine, From::Client, 0, b"re");
    talk.at(&mut engine, From::Client, 2, b"QU");
    // A hole of ten bytes, which the end of the connection makes a gap; then they come after all.
    talk.at(&mut engine, From::Client, 17, b"late");
    talk.reset(&mut engine, From::Server);
    talk.at(&mut engine, From::Client, 10, b"middle!");
    let sockid = talk.id(&engine).as_u64();
    drop(engine);
    let events = expect(
        &mut wire,
        &[
            "opened",
            "established",
            "data",
            "retransmit",
            "retransmit",
            "conflict",
            "gap",
            "data",
            "closed",
            "filled",
        ],
    );
    for event in &events {
        assert_eq!(
            (&event["listener"], &event["sockid"]),
            (&json!(number), &json!(sockid)),
            "{event}"
        );
        assert!(
            (1_699_999_999.0..1_700_000_100.0).contains(&event["time"].as_f64().unwrap()),
            "{event}"
        );
    }
    let opened = json!({ "client": "10.0.0.1:1000", "server": "10.0.0.2:80", "vlan": [7], "midstream": false });
    for (key, value) in opened.as_object().unwrap() {
        assert_eq!(&events[0][key], value);
    }
    let place = |event: &Value| {
        (
            event["side"].clone(),
            event["off"].clone(),
            event["len"].clone(),
        )
    };
    assert_eq!(place(&events[2]), (json!("server"), json!(0), json!(7)));
    assert_eq!(bytes(&events[2]), b"requ");
    assert_eq!(place(&events[3]), (json!("server"), json!(0), json!(2)));
    assert_eq!(
        (place(&events[5]).1, &events[5]["late"]),
        (json!(2), &json!(true))
    );
    assert_eq!(place(&events[6]), (json!("server"), json!(7), json!(10)));
    assert_eq!(
        (place(&events[7]).1, bytes(&events[7])),
        (json!(17), b"late".to_vec())
    );
    assert_eq!(events[8]["reason"], "rst");
    assert_eq!(place(&events[9]), (json!("server"), json!(10), json!(7)));
    assert!(events[9].get("data").is_none(), "bytes come with data only");
}

#[test]
fn refused_segments_are_reported_on_request_only() {
    let (threads, _server, mut wire) = serve(1);
    listener(&mut wire, "subscribe", json!({}));
    let kinds = json!({ "events": ["refused", "closed"] });
    let chosen = listener(&mut wire, "subscribe", kinds);
    let mut talk = talk(1000);
    let mut engine = threads.engine(0);
    talk.open(&mut engine);
    talk.say(&mut engine, From::Client, b"request");
    let sockid = talk.id(&engine).as_u64();
    // Within the window, but not at its edge.
    talk.sent[0] += 100;
    talk.reset(&mut engine, From::Client);
    talk.sent[0] -= 100;
    talk.reset(&mut engine, From::Client);
    drop(engine);
    let (mut refused, mut closed) = (Vec::new(), 0);
    while closed < 2 {
        let event = wire.event();
        closed += usize::from(event["event"] == "closed");
        if event["event"] == "refused" {
            refused.push(event);
        }
    }
    assert_eq!(refused.len(), 1, "{refused:?}");
    let seq = talk.isn[0].wrapping_add(1 + 7 + 100);
    let expected = json!({
        "listener": chosen, "sockid": sockid, "side": "server", "seq": seq, "len": 0, "reason": "rst"
    });
    for (key, value) in expected.as_object().unwrap() {
        assert_eq!(&refused[0][key], value, "{refused:?}");
    }
}

#[test]
fn filters_sockids_and_sides_choose() {
    let (threads, _server, mut wire) = serve(2);
    let mut old = [talk(1000), talk(1001)];
    old[0].open(&mut threads.engine(0));
    old[1].open(&mut threads.engine(1));
    let one = old[1].id(&threads.engine(1)).as_u64();
    let data = |more: Value| {
        let mut params = json!({ "events": ["data"] });
        params
            .as_object_mut()
            .unwrap()
            .extend(more.as_object().unwrap().clone());
        params
    };
    let by_filter = listener(
        &mut wire,
        "subscribe",
        data(json!({ "filter": "port 1000 or 1002" })),
    );
    let by_sockid = listener(
        &mut wire,
        "subscribe",
        data(json!({ "sockid": one, "side": "client" })),
    );
    let mut new = [talk(1002), talk(1003)];
    new[0].open(&mut threads.engine(1));
    new[1].open(&mut threads.engine(0));
    for (talk, worker) in old.iter_mut().zip([0, 1]).chain(new.iter_mut().zip([1, 0])) {
        talk.say(&mut threads.engine(worker), From::Client, b"a");
        talk.say(&mut threads.engine(worker), From::Server, b"bc");
    }
    let mut heard: Vec<(u64, u64)> = (0..5)
        .map(|_| {
            let event = wire.event();
            (
                event["listener"].as_u64().unwrap(),
                event["len"].as_u64().unwrap(),
            )
        })
        .collect();
    heard.sort_unstable();
    let mut expected = vec![
        (by_filter, 1),
        (by_filter, 2),
        (by_filter, 1),
        (by_filter, 2),
        (by_sockid, 2),
    ];
    expected.sort_unstable();
    assert_eq!(heard, expected);
    for number in [by_filter, by_sockid] {
        wire.result("unsubscribe", json!({ "sockid": number }));
    }
    old[0].say(&mut threads.engine(0), From::Client, b"a");
    assert_eq!(
        wire.ask("stats", json!({}))["result"]["rpc"]["listeners"],
        0
    );
}

#[test]
fn wrong_subscriptions_are_refused_with_a_reason() {
    let (threads, server, mut wire) = serve(1);
    let mut talk = talk(1000);
    talk.open(&mut threads.engine(0));
    let sockid = talk.id(&threads.engine(0)).as_u64();
    let parameter = |wire: &mut Wire, params: Value| {
        let error = wire.error("subscribe", params);
        assert_eq!(error["code"], -32602);
        error["data"]["parameter"].as_str().unwrap().to_owned()
    };
    for (params, name) in [
        (json!({ "filter": "port http or" }), "filter"),
        (json!({ "filter": "tcp", "sockid": sockid }), "filter"),
        (json!({ "events": [] }), "events"),
        (json!({ "events": ["data", "dates"] }), "events[1]"),
        (json!({ "queue": 0 }), "queue"),
        (json!({ "queue": 1_000_000_000 }), "queue"),
        (json!({ "side": "both" }), "side"),
    ] {
        assert_eq!(parameter(&mut wire, params.clone()), name, "{params}");
    }
    for timeout in [json!(-1), json!(3601), json!("1")] {
        let error = wire.error(
            "wait",
            json!({ "sockid": sockid, "side": 0, "off": 0, "timeout": timeout }),
        );
        assert_eq!(error["data"]["parameter"], "timeout");
    }
    let number = listener(&mut wire, "subscribe", json!({}));
    let mut other = server.wire();
    for (method, params) in [
        ("info", json!({ "sockid": number })),
        (
            "ppeek",
            json!({ "sockid": number, "side": 0, "off": 0, "len": 1 }),
        ),
        ("fragments", json!({ "sockid": number, "side": 0 })),
        ("follow", json!({ "sockid": number })),
        ("subscribe", json!({ "sockid": number })),
        ("wait", json!({ "sockid": number, "side": 0, "off": 0 })),
    ] {
        let error = other.error(method, params.clone());
        assert_eq!(
            (&error["code"], &error["data"]["reason"]),
            (&json!(94), &json!("listener")),
            "{method}"
        );
    }
    let gone = |error: Value| (error["code"].clone(), error["data"]["reason"].clone());
    assert_eq!(
        gone(other.error("unsubscribe", json!({ "sockid": number }))),
        (json!(9), json!("no_listener"))
    );
    wire.result("unsubscribe", json!({ "sockid": number }));
    assert_eq!(
        gone(wire.error("unsubscribe", json!({ "sockid": number }))),
        (json!(9), json!("no_listener"))
    );
    assert_eq!(
        gone(other.error("info", json!({ "sockid": number }))),
        (json!(9), json!("no_connection"))
    );
    assert_eq!(
        gone(wire.error("follow", json!({ "sockid": 63 }))),
        (json!(9), json!("no_connection"))
    );
    assert_eq!(
        wire.error("unsubscribe", json!({ "sockid": sockid }))["code"],
        9
    );
    for _ in 0..64 {
        listener(&mut wire, "subscribe", json!({ "queue": 1 }));
    }
    let refused = wire.error("subscribe", json!({ "queue": 1 }));
    assert_eq!(
        (&refused["code"], &refused["data"]["reason"]),
        (&json!(11), &json!("listeners"))
    );
    listener(&mut other, "subscribe", json!({}));
}

#[test]
fn queues_take_no_more_memory_than_they_may() {
    let (_attended, status) = EngineThreads::start(engines(1));
    let server = Server::start_with(status, |settings| settings.memory = 1 << 20);
    let mut wire = server.wire();
    let error = wire.error("subscribe", json!({}));
    assert_eq!(
        (&error["code"], &error["data"]["reason"]),
        (&json!(11), &json!("memory"))
    );
    let number = listener(&mut wire, "subscribe", json!({ "queue": 500 }));
    let gauge = |wire: &mut Wire| {
        wire.result("stats", json!({}))["rpc"]["event_memory"]
            .as_u64()
            .unwrap()
    };
    assert!((500 * 40..100 << 10).contains(&gauge(&mut wire)));
    wire.result("unsubscribe", json!({ "sockid": number }));
    assert_eq!(gauge(&mut wire), 0);
}

#[test]
fn events_come_between_replies_and_never_within_raw_bytes() {
    let (threads, _server, mut wire) = serve(1);
    let mut talk = talk(1000);
    talk.open(&mut threads.engine(0));
    talk.say(&mut threads.engine(0), From::Client, &pattern(0, 300_000));
    let sockid = talk.id(&threads.engine(0)).as_u64();
    let params = json!({ "events": ["data"], "data": { "max": 100 }, "encoding": "raw" });
    listener(&mut wire, "subscribe", params);
    let peek = json!({ "jsonrpc": "2.0", "id": 1, "method": "ppeek",
        "params": { "sockid": sockid, "side": 1, "off": 0, "len": 300_000, "encoding": "raw" } });
    let mut heard = 0;
    std::thread::scope(|scope| {
        let feeding = scope.spawn(|| {
            for round in 0..200 {
                talk.say(
                    &mut threads.engine(0),
                    From::Client,
                    &pattern(300_000 + round * 50, 50),
                );
                std::thread::sleep(Duration::from_micros(200));
            }
        });
        while heard < 200 || !feeding.is_finished() {
            wire.send(&format!("{peek}\n").repeat(3));
            for _ in 0..3 {
                let (reply, events) = reply_among_events(&mut wire);
                heard += events;
                assert!(
                    wire.raw(reply["result"]["raw"].as_u64().unwrap() as usize)
                        == pattern(0, 300_000)
                );
            }
        }
    });
    // A batch's answer is one line.
    wire.send_line(
        &json!([{ "jsonrpc": "2.0", "id": 1, "method": "subscribe" },
        { "jsonrpc": "2.0", "id": 2, "method": "wait", "params": { "sockid": sockid, "side": 1, "off": 0 } }])
        .to_string(),
    );
    assert_eq!(wire.reply().as_array().unwrap().len(), 2);
}

#[test]
fn listeners_die_with_their_client() {
    let (threads, server, mut watcher) = serve(2);
    let mut talk = talk(1000);
    talk.open(&mut threads.engine(0));
    let sockid = talk.id(&threads.engine(0)).as_u64();
    let mut wire = server.wire();
    for _ in 0..5 {
        listener(&mut wire, "subscribe", json!({ "filter": "port 80" }));
        listener(&mut wire, "follow", json!({ "sockid": sockid }));
    }
    let mut gauge = |name: &str| {
        watcher.result("stats", json!({}))["rpc"][name]
            .as_u64()
            .unwrap()
    };
    assert_eq!(gauge("listeners"), 10);
    assert!(gauge("event_memory") > 0);
    // In the middle of a request.
    wire.stream.get_mut().write_all(b"{\"jsonrpc\":").unwrap();
    drop(wire);
    let start = Instant::now();
    while gauge("listeners") > 0 {
        assert!(start.elapsed() < Duration::from_secs(10));
    }
    assert_eq!(gauge("event_memory"), 0);
    talk.say(&mut threads.engine(0), From::Client, b"nobody hears this");
}

#[test]
fn a_subscriber_that_stops_writing_gets_its_replies_and_is_disconnected() {
    let (_threads, server, mut wire) = serve(1);
    wire.send_line(r#"{"jsonrpc":"2.0","id":1,"method":"subscribe"}"#);
    wire.send_line(r#"{"jsonrpc":"2.0","id":2,"method":"hello"}"#);
    wire.stream.get_mut().shutdown(Shutdown::Write).unwrap();
    assert_eq!(wire.reply()["id"], 1);
    assert_eq!(wire.reply()["id"], 2);
    assert!(wire.at_end());
    let mut watcher = server.wire();
    let start = Instant::now();
    while watcher.result("stats", json!({}))["rpc"]["listeners"] != 0 {
        assert!(
            start.elapsed() < Duration::from_secs(10),
            "it listens still"
        );
        std::thread::sleep(Duration::from_millis(20));
    }
}

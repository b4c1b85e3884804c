//! Waiting for bytes.

use std::net::Shutdown;
use std::time::{Duration, Instant};

use serde_json::json;

use crate::rpc_common::Wire;
use crate::rpc_common::talk::{From, Talk};
use crate::{listener, reply_among_events, serve, talk};

#[test]
fn waiting_ends_when_the_byte_comes_or_never_will() {
    let (threads, server, mut wire) = serve(1);
    let mut talk = talk(1000);
    talk.open(&mut threads.engine(0));
    let sockid = talk.id(&threads.engine(0)).as_u64();
    let wait = |off: u64, timeout: f64| json!({ "sockid": sockid, "side": "server", "off": off, "timeout": timeout });
    assert_eq!(
        wire.error("wait", wait(0, 0.0))["data"]["reason"],
        "timeout"
    );
    let start = Instant::now();
    assert_eq!(wire.error("wait", wait(0, 0.2))["code"], 110);
    assert!(start.elapsed() >= Duration::from_millis(200));
    let later = |talk: &mut Talk, act: &dyn Fn(&mut Talk), wire: &mut Wire, off: u64| {
        wire.send_line(
            &json!({ "jsonrpc": "2.0", "id": 7, "method": "wait", "params": wait(off, 20.0) })
                .to_string(),
        );
        std::thread::sleep(Duration::from_millis(50));
        act(talk);
        reply_among_events(wire)
    };
    // Events are sent in between.
    listener(&mut wire, "subscribe", json!({ "events": ["data"] }));
    let say = |talk: &mut Talk| talk.say(&mut threads.engine(0), From::Client, b"abc");
    let (reply, _) = later(&mut talk, &say, &mut wire, 2);
    let expected = json!({ "off": 2, "available": 1, "base": 0, "next": 3, "end": 3, "fin": null });
    assert_eq!(reply["result"], expected);
    let (reply, events) = later(
        &mut talk,
        &|talk| {
            talk.say(&mut threads.engine(0), From::Client, b"de");
            std::thread::sleep(Duration::from_millis(200));
            talk.at(&mut threads.engine(0), From::Client, 9, b"ahead");
        },
        &mut wire,
        10,
    );
    assert_eq!(
        (&reply["result"]["available"], &reply["result"]["next"]),
        (&json!(4), &json!(5))
    );
    assert!(events >= 1);
    let (reply, _) = later(
        &mut talk,
        &|talk| talk.reset(&mut threads.engine(0), From::Server),
        &mut wire,
        20,
    );
    assert_eq!(
        (&reply["error"]["code"], &reply["error"]["data"]["reason"]),
        (&json!(61), &json!("closed"))
    );
    assert_eq!(reply["error"]["data"]["end"], 14);
    let mut wire = server.wire();
    assert_eq!(
        wire.error("wait", wait(6, 5.0))["data"]["reason"],
        "gap",
        "the connection is over"
    );
    let mut second = self::talk(1001);
    second.open(&mut threads.engine(0));
    let sockid = second.id(&threads.engine(0)).as_u64();
    let params = json!({ "sockid": sockid, "side": "server", "off": 0 });
    wire.send_line(
        &json!({ "jsonrpc": "2.0", "id": 7, "method": "wait", "params": params }).to_string(),
    );
    std::thread::sleep(Duration::from_millis(50));
    second.fin(&mut threads.engine(0), From::Client);
    assert_eq!(
        reply_among_events(&mut wire).0["error"]["data"]["reason"],
        "eof"
    );
    assert_eq!(
        wire.error(
            "wait",
            json!({ "sockid": 1_u64 << 40, "side": 0, "off": 0 })
        )["code"],
        9
    );
}

#[test]
fn a_waiting_client_that_only_stops_writing_is_answered_and_one_that_goes_is_let_go() {
    let (threads, server, mut wire) = serve(1);
    let mut talk = talk(1000);
    talk.open(&mut threads.engine(0));
    let sockid = talk.id(&threads.engine(0)).as_u64();
    let params = json!({ "sockid": sockid, "side": "server", "off": 0, "timeout": 3600 });
    let request =
        json!({ "jsonrpc": "2.0", "id": 7, "method": "wait", "params": params }).to_string();
    let mut gone = server.wire();
    gone.send_line(&request);
    wire.send_line(&request);
    wire.stream.get_mut().shutdown(Shutdown::Write).unwrap();
    let mut watcher = server.wire();
    let mut listeners = |expected: u64| {
        let start = Instant::now();
        while watcher.result("stats", json!({}))["rpc"]["listeners"] != expected {
            assert!(
                start.elapsed() < Duration::from_secs(10),
                "never {expected} listeners"
            );
            std::thread::sleep(Duration::from_millis(20));
        }
    };
    listeners(2);
    drop(gone);
    listeners(1);
    talk.say(&mut threads.engine(0), From::Client, b"x");
    assert_eq!(wire.reply()["result"]["available"], 1);
    assert!(wire.at_end());
    listeners(0);
}

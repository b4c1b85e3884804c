//! Streams that are followed.

use monitor_daemon::events::Publisher;
use monitor_engine::EngineConfig;
use serde_json::json;

use crate::rpc_common::engine_threads::EngineThreads;
use crate::rpc_common::talk::From;
use crate::rpc_common::{Server, pattern};
use crate::{bytes, collect, listener, reply_among_events, serve, talk};

#[test]
fn a_followed_stream_is_whole_and_its_holes_are_named() {
    for encoding in ["base64", "raw"] {
        let (threads, server, mut wire) = serve(1);
        let mut talk = talk(1000);
        talk.open(&mut threads.engine(0));
        talk.say(&mut threads.engine(0), From::Client, &pattern(0, 100_000));
        let sockid = talk.id(&threads.engine(0)).as_u64();
        let mut both = server.wire();
        let following = listener(
            &mut both,
            "follow",
            json!({ "sockid": sockid, "encoding": encoding }),
        );
        let part =
            json!({ "sockid": sockid, "side": "server", "off": 399_990, "encoding": encoding });
        listener(&mut wire, "follow", part);
        std::thread::scope(|scope| {
            let reading = scope.spawn(|| {
                let server = collect(&mut both, "server");
                (server, both)
            });
            for start in (100_000..400_000).step_by(1000) {
                talk.say(&mut threads.engine(0), From::Client, &pattern(start, 1000));
            }
            talk.at(
                &mut threads.engine(0),
                From::Client,
                400_100,
                &pattern(400_100, 50),
            );
            talk.say(&mut threads.engine(0), From::Server, b"answer");
            talk.reset(&mut threads.engine(0), From::Server);
            let ((stream, holes, reason), mut both) = reading.join().unwrap();
            assert!(
                stream[..400_000] == pattern(0, 400_000)
                    && stream[400_100..] == pattern(400_100, 50)
            );
            assert_eq!(holes, [("gap".to_owned(), 400_000, 100)]);
            assert_eq!(reason, "closed");
            // Other bytes of that side were skipped; the subscription exists until it is ended.
            both.send_line(
                &json!({ "jsonrpc": "2.0", "id": 1, "method": "unsubscribe",
                "params": { "sockid": following } })
                .to_string(),
            );
            assert_eq!(reply_among_events(&mut both).0["result"], json!({}));
        });
        let first = wire.event();
        assert_eq!(
            (&first["off"], &first["len"]),
            (&json!(399_990), &json!(10)),
            "from where it was asked for"
        );
    }
}

#[test]
fn a_follower_that_does_not_read_loses_bytes_and_delays_no_other() {
    const WINDOW: usize = 256 << 10;
    const STREAM: usize = 8 << 20;
    let config = EngineConfig {
        memory: 64 << 20,
        window: WINDOW as u64,
        ..EngineConfig::default()
    };
    let (threads, status) = EngineThreads::start(vec![Publisher::engine(config).unwrap()]);
    let server = Server::start_with(status, |_| {});
    let mut talk = talk(1000);
    talk.open(&mut threads.engine(0));
    let sockid = talk.id(&threads.engine(0)).as_u64();
    let mut wire = server.wire();
    listener(
        &mut wire,
        "follow",
        json!({ "sockid": sockid, "side": "server", "encoding": "raw" }),
    );
    for start in (0..STREAM).step_by(64 << 10) {
        talk.say(
            &mut threads.engine(0),
            From::Client,
            &pattern(start as u64, 64 << 10),
        );
    }
    talk.fin(&mut threads.engine(0), From::Client);
    let (stream, holes, reason) = collect(&mut wire, "server");
    assert_eq!((stream.len(), reason.as_str()), (STREAM, "eof"));
    let mut at = 0;
    let mut lost = 0;
    for (name, off, len) in holes {
        assert_eq!(name, "lost");
        assert!(stream[at..off as usize] == pattern(at as u64, off as usize - at));
        at = (off + len) as usize;
        lost += len as usize;
    }
    assert!(stream[at..] == pattern(at as u64, STREAM - at));
    assert!(
        lost > STREAM / 2 && STREAM - at >= WINDOW / 2,
        "{lost} lost, {at}"
    );
}

#[test]
fn both_sides_are_followed_in_the_order_of_the_conversation() {
    let (threads, _server, mut wire) = serve(1);
    let mut talk = talk(1000);
    talk.open(&mut threads.engine(0));
    let mut exchange = |n: u64| {
        let engine = &mut threads.engine(0);
        talk.say(engine, From::Client, format!("request {n}").as_bytes());
        talk.time += 3_000_000;
        talk.say(engine, From::Server, format!("response {n}").as_bytes());
        talk.time += 3_000_000;
        talk.id(engine).as_u64()
    };
    let mut sockid = 0;
    // More than are looked up at once, before and after the start.
    for n in 0..40 {
        sockid = exchange(n);
    }
    listener(&mut wire, "follow", json!({ "sockid": sockid }));
    for n in 40..80 {
        exchange(n);
    }
    let mut last = 0.0;
    for n in 0..80 {
        for (side, text) in [("server", "request"), ("client", "response")] {
            let event = wire.event();
            assert_eq!(event["side"], side, "{event}");
            assert_eq!(bytes(&event), format!("{text} {n}").into_bytes());
            let time = event["time"].as_f64().unwrap();
            assert!(time > last + 0.002, "{event}");
            last = time;
        }
    }
}

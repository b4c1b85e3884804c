//! `peek`: its cursor, and what it says of bytes that it had to pass.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test says what it expects by unwrapping it"
)]
#![allow(
    clippy::needless_pass_by_value,
    reason = "parameters are written where they are used"
)]

mod rpc_common;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use monitor_daemon::control::Engine;
use monitor_daemon::events::Publisher;
use monitor_engine::{EngineConfig, SockId};
use proptest::prelude::*;
use rpc_common::talk::{From, Talk};
use rpc_common::{Server, Wire, engines, pattern};
use serde_json::{Value, json};

const ENDS: (&str, &str) = ("10.0.0.1:1234", "10.0.0.2:80");
const SECOND: u64 = 1_000_000_000;

fn params(sockid: u64, len: u64) -> Value {
    json!({ "sockid": sockid, "side": "server", "len": len })
}

fn data(result: &Value) -> Vec<u8> {
    STANDARD.decode(result["data"].as_str().unwrap()).unwrap()
}

fn reason(error: &Value) -> (i64, &str) {
    (
        error["code"].as_i64().unwrap(),
        error["data"]["reason"].as_str().unwrap(),
    )
}

fn open() -> (Vec<Engine>, Talk, u64) {
    let mut engines = engines(1);
    let mut talk = Talk::new(ENDS.0, ENDS.1);
    talk.open(&mut engines[0]);
    let id = talk.id(&engines[0]).as_u64();
    (engines, talk, id)
}

/// One end sends bytes of the pattern from an offset on.
fn at(engine: &mut Engine, talk: &mut Talk, off: u64, len: usize) {
    talk.at(engine, From::Client, off, &pattern(off, len));
}

/// The receiver acknowledges everything up to an offset, and long enough ago.
fn acknowledge(engine: &mut Engine, talk: &mut Talk, upto: u64) {
    talk.sent[From::Client as usize] = upto;
    talk.at(engine, From::Server, 0, b"");
    talk.time += SECOND;
    engine.advance(talk.time);
}

#[test]
fn reads_on_from_where_it_was() {
    let (mut engines, mut talk, sockid) = open();
    talk.say(&mut engines[0], From::Client, b"GET / HTTP/1.1\r\n");
    talk.say(&mut engines[0], From::Server, b"hello");
    let server = Server::start(&engines);
    let mut wire = server.wire();
    let read = wire.result("peek", params(sockid, 5));
    let expected = json!({ "off": 0, "len": 5, "lost": 0, "gap": null, "base": 0, "next": 16, "end": 16, "fin": null,
        "eof": false, "data": STANDARD.encode("GET /") });
    assert_eq!(read, expected);
    let ppeek = json!({ "sockid": sockid, "side": "server", "off": 0, "len": 3 });
    assert_eq!(data(&wire.result("ppeek", ppeek)), b"GET");
    let read = wire.result("peek", params(sockid, 100));
    assert_eq!(
        (&read["off"], data(&read)),
        (&json!(5), b" HTTP/1.1\r\n".to_vec())
    );
    assert_eq!(
        reason(&wire.error("peek", params(sockid, 100))),
        (61, "future")
    );
    talk.say(&mut engines[0], From::Client, b"\r\n");
    let mut raw = params(sockid, 100);
    raw["encoding"] = json!("raw");
    let read = wire.result("peek", raw);
    assert_eq!(
        (&read["off"], &read["raw"], read.get("data")),
        (&json!(16), &json!(2), None)
    );
    assert_eq!(wire.raw(2), b"\r\n");
    talk.fin(&mut engines[0], From::Client);
    assert_eq!(reason(&wire.error("peek", params(sockid, 1))), (61, "eof"));
    // The other side and another client have cursors of their own.
    let other = wire.result(
        "peek",
        json!({ "sockid": sockid, "side": "client", "len": 9 }),
    );
    assert_eq!(
        (&other["off"], data(&other)),
        (&json!(0), b"hello".to_vec())
    );
    let again = server.wire().result("peek", params(sockid, 100));
    assert_eq!(
        (&again["off"], &again["len"], &again["eof"]),
        (&json!(0), &json!(18), &json!(true))
    );
}

#[test]
fn nothing_is_read_past_a_hole_that_may_be_filled() {
    let (mut engines, mut talk, sockid) = open();
    let server = Server::start(&engines);
    let mut wire = server.wire();
    at(&mut engines[0], &mut talk, 0, 10);
    at(&mut engines[0], &mut talk, 30, 10);
    assert_eq!(
        data(&wire.result("peek", params(sockid, 100))),
        pattern(0, 10)
    );
    let error = wire.error("peek", params(sockid, 100));
    assert_eq!(reason(&error), (61, "gap"));
    assert_eq!(
        (&error["data"]["next"], &error["data"]["next_extent"]),
        (&json!(10), &json!(30))
    );
    let zero = wire.result("peek", params(sockid, 0));
    assert_eq!(
        (&zero["off"], &zero["len"], &zero["gap"]),
        (&json!(10), &json!(0), &json!(null))
    );
    at(&mut engines[0], &mut talk, 10, 5);
    assert_eq!(
        data(&wire.result("peek", params(sockid, 100))),
        pattern(10, 5)
    );
    acknowledge(&mut engines[0], &mut talk, 40);
    let read = wire.result("peek", params(sockid, 4));
    assert_eq!(
        (&read["off"], &read["lost"], &read["gap"]),
        (&json!(30), &json!(0), &json!({ "off": 15, "len": 15 }))
    );
    assert_eq!(data(&read), pattern(30, 4));
    // Late bytes stay behind the cursor.
    at(&mut engines[0], &mut talk, 15, 15);
    let read = wire.result("peek", params(sockid, 100));
    assert_eq!(
        (&read["off"], &read["gap"], data(&read)),
        (&json!(34), &json!(null), pattern(34, 6))
    );
}

#[test]
fn evicted_bytes_are_counted_as_lost() {
    let config = EngineConfig {
        memory: 8 << 20,
        window: 64 << 10,
        ..EngineConfig::default()
    };
    let mut engines = [Publisher::engine(config).unwrap()];
    let mut talk = Talk::new(ENDS.0, ENDS.1);
    talk.open(&mut engines[0]);
    let sockid = talk.id(&engines[0]).as_u64();
    let server = Server::start(&engines);
    let mut wire = server.wire();
    talk.say(&mut engines[0], From::Client, &pattern(0, 1000));
    assert_eq!(wire.result("peek", params(sockid, 100))["lost"], 0);
    talk.say(&mut engines[0], From::Client, &pattern(1000, 1 << 20));
    let read = wire.result("peek", params(sockid, 16 << 20));
    let base = read["base"].as_u64().unwrap();
    assert_eq!(
        (&read["off"], &read["lost"], &read["gap"]),
        (&json!(base), &json!(base - 100), &json!(null))
    );
    assert!(base > 100 && data(&read) == pattern(base, (1 << 20) + 1000 - base as usize));
}

#[test]
fn cursors_are_bounded_and_given_back() {
    let mut engines = engines(1);
    let mut talks: Vec<_> = (0..4097)
        .map(|number| {
            let mut talk = Talk::new(&format!("10.0.0.1:{}", 1000 + number), ENDS.1);
            talk.open(&mut engines[0]);
            talk.say(&mut engines[0], From::Client, b"abc");
            talk.say(&mut engines[0], From::Server, b"xyz");
            talk
        })
        .collect();
    let ids: Vec<_> = talks
        .iter()
        .map(|talk| talk.id(&engines[0]).as_u64())
        .collect();
    let server = Server::start(&engines);
    let mut wire = server.wire();
    for id in &ids[..4096] {
        wire.result("peek", params(*id, 1));
    }
    let error = wire.error("peek", params(ids[4096], 1));
    assert_eq!(reason(&error), (11, "cursors"));
    assert!(
        error["message"].as_str().unwrap().contains("4096 cursors"),
        "{error}"
    );
    assert_eq!(
        wire.result("peek", params(ids[0], 1))["off"],
        1,
        "those that are there go on"
    );
    assert_eq!(
        server.wire().result("peek", params(ids[4096], 1))["off"],
        0,
        "another client has its own"
    );
    // The first one ends, and lingers out.
    talks[0].reset(&mut engines[0], From::Client);
    engines[0].advance(talks[0].time + 61 * SECOND);
    assert_eq!(wire.result("peek", params(ids[4096], 1))["off"], 0);
    assert_eq!(
        reason(&wire.error("peek", params(ids[0], 1))),
        (9, "no_connection")
    );
}

#[test]
fn errors_leave_the_cursor_and_notifications_move_it() {
    let (mut engines, mut talk, sockid) = open();
    let mut half = Talk::new("10.0.0.9:9", ENDS.1);
    half.syn(&mut engines[0]);
    let half = half.id(&engines[0]).as_u64();
    talk.say(&mut engines[0], From::Client, b"abcdef");
    let server = Server::start(&engines);
    let mut wire = server.wire();
    assert_eq!(
        reason(&wire.error("peek", params(half, 1))),
        (107, "not_established")
    );
    assert_eq!(
        reason(&wire.error("peek", params(SockId::new(0, 999, 1).as_u64(), 1))),
        (9, "no_connection")
    );
    let mut other = params(sockid, 1);
    other["worker"] = json!(1);
    assert_eq!(reason(&wire.error("peek", other)), (13, "no_worker"));
    for (name, wrong) in [
        ("sockid", json!(-1)),
        ("side", json!("x")),
        ("len", json!(1.5)),
        ("off", json!(0)),
        ("encoding", json!("hex")),
        ("worker", json!("0")),
    ] {
        let mut params = params(sockid, 1);
        params[name] = wrong;
        let error = wire.error("peek", params);
        assert_eq!(
            (&error["code"], &error["data"]["parameter"]),
            (&json!(-32602), &json!(name)),
            "{error}"
        );
    }
    let raw = json!({ "sockid": sockid, "side": 1, "len": 1, "encoding": "raw" });
    let batch = json!([{ "jsonrpc": "2.0", "id": 1, "method": "peek", "params": raw }]);
    wire.send_line(&batch.to_string());
    assert_eq!(wire.reply()[0]["error"]["data"]["parameter"], "encoding");
    let note = json!({ "jsonrpc": "2.0", "method": "peek", "params": params(sockid, 2) });
    wire.send_line(&note.to_string());
    let read = wire.result("peek", params(sockid, 9));
    assert_eq!((&read["off"], data(&read)), (&json!(2), b"cdef".to_vec()));
}

/// Something that happens to one side.
#[derive(Clone, Copy, Debug)]
enum Step {
    /// Bytes from an offset on, counted from `next`, which some of them may lie below.
    Send {
        ahead: i64,
        len: usize,
    },
    /// The receiver acknowledges all that was ever sent: holes are declared lost.
    Acknowledge,
    Peek {
        len: u64,
    },
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        3 => (1..3000_usize).prop_map(|len| Step::Send { ahead: 0, len }),
        3 => (-3000..6000_i64, 1..2000_usize).prop_map(|(ahead, len)| Step::Send { ahead, len }),
        1 => Just(Step::Acknowledge),
        5 => (1..5000_u64).prop_map(|len| Step::Peek { len }),
    ]
}

/// Where the bytes start, how many, `lost`, and offset and length of the hole.
type Answer = (u64, u64, u64, Option<(u64, u64)>);

/// What `peek` has to answer, byte by byte.
fn expected(fragments: &Value, cursor: u64, len: u64) -> Option<Answer> {
    let number = |key: &str| fragments[key].as_u64().unwrap();
    let (base, next) = (number("base"), number("next"));
    let runs = fragments["extents"].as_array().unwrap();
    let there = |off: u64| {
        runs.iter().any(|run| {
            let start = run[0].as_u64().unwrap();
            (start..start + run[1].as_u64().unwrap()).contains(&off)
        })
    };
    let start = cursor.max(base);
    let mut off = start;
    while off < next && !there(off) {
        off += 1;
    }
    let gap = (off > start).then(|| (start, off - start));
    let mut end = off;
    while end < next && end - off < len && there(end) {
        end += 1;
    }
    (end > cursor).then_some((off, end - off, start - cursor, gap))
}

/// Runs the steps; returns how often something was lost, and how often a hole was passed.
fn compare(steps: &[Step]) -> (usize, usize) {
    let config = EngineConfig {
        memory: 1 << 20,
        window: 8 << 10,
        ..EngineConfig::default()
    };
    let mut engines = [Publisher::engine(config).unwrap()];
    let mut talk = Talk::new(ENDS.0, ENDS.1);
    talk.open(&mut engines[0]);
    let sockid = talk.id(&engines[0]).as_u64();
    let server = Server::start(&engines);
    let mut wire = server.wire();
    let fragments =
        |wire: &mut Wire| wire.result("fragments", json!({ "sockid": sockid, "side": "server" }));
    let (mut cursor, mut most, mut losses, mut holes) = (0, 0, 0, 0);
    for step in steps {
        let now = fragments(&mut wire);
        match *step {
            Step::Send { ahead, len } => {
                let off = now["next"].as_u64().unwrap().saturating_add_signed(ahead);
                at(&mut engines[0], &mut talk, off, len);
                most = most.max(off + len as u64);
            }
            Step::Acknowledge => acknowledge(&mut engines[0], &mut talk, most),
            Step::Peek { len } => {
                let reply = wire.ask("peek", params(sockid, len));
                let Some((off, len, lost, gap)) = expected(&now, cursor, len) else {
                    let reason = if now["next"] == now["end"] {
                        "future"
                    } else {
                        "gap"
                    };
                    assert_eq!(reply["error"]["data"]["reason"], reason, "{reply}");
                    continue;
                };
                let result = &reply["result"];
                assert_eq!(
                    (&result["off"], &result["len"]),
                    (&json!(off), &json!(len)),
                    "{reply} {now}"
                );
                assert_eq!(result["lost"], lost, "{reply} {now}");
                let gap = gap.map(|(off, len)| json!({ "off": off, "len": len }));
                assert_eq!(result["gap"], json!(gap), "{reply} {now}");
                assert_eq!(data(result), pattern(off, len as usize));
                losses += usize::from(lost > 0);
                holes += usize::from(gap.is_some());
                cursor = off + len;
            }
        }
    }
    (losses, holes)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, ..ProptestConfig::default() })]

    #[test]
    fn reads_what_a_walk_byte_by_byte_would(steps in prop::collection::vec(step(), 1..80)) {
        compare(&steps);
    }
}

#[test]
fn the_walk_meets_losses_and_holes() {
    let steps = [
        Step::Send { ahead: 0, len: 500 },
        Step::Peek { len: 100 },
        Step::Send {
            ahead: 200,
            len: 300,
        },
        Step::Peek { len: 1000 },
        Step::Peek { len: 1000 },
        Step::Acknowledge,
        Step::Peek { len: 50 },
        Step::Send {
            ahead: 0,
            len: 9000,
        },
        Step::Peek { len: 50 },
        Step::Send {
            ahead: 3000,
            len: 1000,
        },
        Step::Send {
            ahead: 4000,
            len: 7000,
        },
        Step::Acknowledge,
        Step::Peek { len: 5000 },
        Step::Peek { len: 5000 },
    ];
    let (losses, holes) = compare(&steps);
    assert!(losses >= 1 && holes >= 1, "{losses} losses, {holes} holes");
}

//! Lines, ids, pipelining, batches, notifications and raw bytes.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test says what it expects by unwrapping it"
)]

mod rpc_common;

use std::io::Write;
use std::net::Shutdown;

use monitor_daemon::control::Engine;
use rpc_common::{Server, pattern, start};
use serde_json::{Value, json};

const STREAM: usize = 200_000;

fn spoken() -> (Vec<Engine>, u64) {
    let (engines, _, id) = start::spoken(&pattern(0, STREAM));
    (engines, id)
}

fn request(id: &str, method: &str, params: &str) -> String {
    format!(r#"{{"jsonrpc":"2.0","id":{id},"method":"{method}","params":{params}}}"#)
}

fn peek(sockid: u64, off: usize, len: usize, encoding: &str) -> String {
    format!(
        r#"{{"sockid":{sockid},"side":"server","off":{off},"len":{len},"encoding":"{encoding}"}}"#
    )
}

#[test]
fn ids_of_any_type_come_back_as_they_were() {
    let (engines, _) = spoken();
    let server = Server::start(&engines);
    let mut wire = server.wire();
    for id in [
        "0",
        "-1",
        "1.50",
        "12345678901234567890123",
        "\"a\\u0041\"",
        "null",
        "true",
        "[1, 2]",
        "{\"a\": {}}",
    ] {
        wire.send_line(&request(id, "stats", "{}"));
        let line = wire.line().unwrap();
        assert!(line.contains(&format!("\"id\":{id},")), "{id}: {line}");
        wire.send_line(&request(id, "nothing", "{}"));
        let line = wire.line().unwrap();
        assert!(
            line.contains(&format!("\"id\":{id},")) && line.contains("-32601"),
            "{id}: {line}"
        );
    }
}

#[test]
fn pipelined_requests_are_answered_in_order() {
    let (engines, sockid) = spoken();
    let server = Server::start(&engines);
    let mut wire = server.wire();
    let expected = pattern(0, STREAM);
    let lengths: Vec<usize> = (0..400)
        .map(|index| [0, 1, 64, 5_000, 70_000][index % 5])
        .collect();
    let mut requests = String::new();
    for (index, &len) in lengths.iter().enumerate() {
        requests.push_str(&request(
            &index.to_string(),
            "ppeek",
            &peek(sockid, index, len, "raw"),
        ));
        requests.push('\n');
        requests.push_str(&request(
            &format!("\"{index}\""),
            "info",
            &format!("{{\"sockid\":{sockid}}}"),
        ));
        requests.push('\n');
    }
    // From a thread of its own: the replies are more than the socket holds.
    let mut to = wire.stream.get_ref().try_clone().unwrap();
    let writer = std::thread::spawn(move || to.write_all(requests.as_bytes()).unwrap());
    for (index, &len) in lengths.iter().enumerate() {
        let reply = wire.reply();
        assert_eq!(
            (&reply["id"], &reply["result"]["raw"]),
            (&json!(index), &json!(len))
        );
        assert!(wire.raw(len) == expected[index..index + len]);
        assert_eq!(wire.reply()["id"], index.to_string());
    }
    writer.join().unwrap();
}

#[test]
fn a_request_may_come_in_pieces_and_the_last_half_line_is_ignored() {
    let (engines, sockid) = spoken();
    let server = Server::start(&engines);
    let mut wire = server.wire();
    let line = request("1", "info", &format!("{{\"sockid\":{sockid}}}"));
    for byte in format!("{line}\r\n").as_bytes() {
        wire.stream.get_mut().write_all(&[*byte]).unwrap();
    }
    assert_eq!(wire.reply()["result"]["sockid"], sockid);
    wire.send_line(&request("2", "stats", "{}"));
    wire.send(&request("3", "stats", "{}"));
    wire.stream.get_ref().shutdown(Shutdown::Write).unwrap();
    assert_eq!(
        wire.reply()["id"],
        2,
        "what was asked before the end is answered"
    );
    assert!(wire.at_end(), "half a line is not a request");
}

#[test]
fn garbage_is_answered_and_the_connection_continues() {
    let (engines, sockid) = spoken();
    let server = Server::start(&engines);
    let mut wire = server.wire();
    let garbage: [(&[u8], i64); 9] = [
        (b"", -32700),
        (b"garbage", -32700),
        (b"{\"jsonrpc\":\"2.0\"", -32700),
        (b"\xff\xfe{}", -32700),
        (
            b"{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"\xff\"}",
            -32700,
        ),
        (b"\0\0\0", -32700),
        (b"{}", -32600),
        (b"42", -32600),
        (b"[]", -32600),
    ];
    for (line, code) in garbage {
        wire.stream
            .get_mut()
            .write_all(&[line, b"\n"].concat())
            .unwrap();
        let reply = wire.reply();
        assert_eq!(
            (&reply["error"]["code"], &reply["id"]),
            (&json!(code), &json!(null)),
            "{line:?}"
        );
    }
    assert_eq!(
        wire.result("info", json!({ "sockid": sockid }))["sockid"],
        sockid
    );
}

#[test]
fn the_longest_line_is_taken_and_a_longer_one_ends_the_connection() {
    let (engines, _) = spoken();
    let server = Server::start(&engines);
    let mut wire = server.wire();
    let frame = request("1", "stats", "{}").len();
    let longest = format!(
        "{}{}",
        " ".repeat(64 * 1024 - frame),
        request("1", "stats", "{}")
    );
    wire.send_line(&longest);
    assert_eq!(wire.reply()["id"], 1);
    wire.send_line(&request("2", "stats", "{}"));
    wire.send_line(&format!(" {longest}"));
    assert_eq!(wire.reply()["id"], 2, "what came before is answered");
    let reply = wire.reply();
    assert_eq!(
        (&reply["error"]["code"], &reply["id"]),
        (&json!(-32600), &json!(null))
    );
    assert!(wire.at_end());
}

#[test]
fn notifications_are_not_answered() {
    let (engines, _) = spoken();
    let server = Server::start(&engines);
    let mut wire = server.wire();
    wire.send_line(r#"{"jsonrpc":"2.0","method":"hello","params":{"client":"quiet"}}"#);
    wire.send_line(r#"{"jsonrpc":"2.0","method":"no_such_method"}"#);
    wire.send_line(r#"{"jsonrpc":"2.0","method":"ppeek","params":{"wrong":1}}"#);
    let stats = wire.result("stats", json!({}));
    assert_eq!(stats["rpc"]["notifications"], 3);
    assert_eq!(stats["rpc"]["errors"], 0);
}

#[test]
fn batches_are_answered_as_arrays() {
    let (engines, sockid) = spoken();
    let server = Server::start(&engines);
    let mut wire = server.wire();
    let members = [
        request("1", "info", &format!("{{\"sockid\":{sockid}}}")),
        r#"{"jsonrpc":"2.0","method":"stats"}"#.to_owned(),
        "17".to_owned(),
        request("\"b\"", "ppeek", &peek(sockid, 0, 100_000, "base64")),
        request("3", "ppeek", &peek(sockid, 0, 1, "raw")),
        request("4", "nothing", "{}"),
    ];
    wire.send_line(&format!("[{}]", members.join(",")));
    let replies = wire.reply();
    let replies = replies.as_array().unwrap();
    let ids: Vec<&Value> = replies.iter().map(|reply| &reply["id"]).collect();
    assert_eq!(
        ids,
        [&json!(1), &json!(null), &json!("b"), &json!(3), &json!(4)]
    );
    assert_eq!(replies[0]["result"]["sockid"], sockid);
    assert_eq!(replies[1]["error"]["code"], -32600);
    assert_eq!(replies[2]["result"]["len"], 100_000);
    assert_eq!(
        replies[3]["error"]["data"]["parameter"], "encoding",
        "raw bytes have no place in a batch"
    );
    assert_eq!(replies[4]["error"]["code"], -32601);

    wire.send_line(r#"[{"jsonrpc":"2.0","method":"stats"},{"jsonrpc":"2.0","method":"hello"}]"#);
    wire.send_line(&request("9", "stats", "{}"));
    assert_eq!(
        wire.reply()["id"],
        9,
        "a batch of notifications gets no answer at all"
    );
    wire.send_line("[1,");
    assert_eq!(wire.reply()["error"]["code"], -32700);
}

#[test]
fn replies_of_any_size_follow_each_other_exactly() {
    let (engines, sockid) = spoken();
    let server = Server::start(&engines);
    let mut wire = server.wire();
    let expected = pattern(0, STREAM);
    for len in (0..STREAM).step_by(7_919) {
        wire.send_line(&request("1", "ppeek", &peek(sockid, 0, len, "raw")));
        wire.send_line(&request("2", "stats", "{}"));
        assert_eq!(wire.reply()["result"]["raw"], len);
        assert!(wire.raw(len) == expected[..len]);
        assert_eq!(wire.reply()["id"], 2);
    }
}

#[test]
fn the_socket_goes_when_the_server_stops() {
    let (engines, sockid) = spoken();
    let mut server = Server::start(&engines);
    let mut idle = server.wire();
    assert_eq!(
        idle.result("info", json!({ "sockid": sockid }))["sockid"],
        sockid
    );
    assert!(server.socket.exists());
    server.stop();
    assert!(!server.socket.exists());
    assert!(idle.at_end());
}

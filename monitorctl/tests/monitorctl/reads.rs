//! Tests of `ppeek` and `peek`.

use std::io::{BufRead, BufReader};
use std::process::Stdio;

use crate::rpc_common::world::{STREAM, world};
use crate::rpc_common::{Server, pattern};
use crate::{command, json, json_lines, run, stdout};

#[test]
fn ppeek_prints_bytes_to_a_pipe_and_dumps_on_request() {
    let (engines, sockid) = world();
    let server = Server::start(&engines);
    let sockid = sockid.to_string();
    let peek = |rest: &[&str]| stdout(&server, &[&["ppeek", &sockid], rest].concat());
    assert!(
        peek(&["server", "0", "1000000"]) == pattern(0, STREAM),
        "one read, up to the hole"
    );
    assert!(
        peek(&["server", "5"]) == pattern(5, STREAM - 5),
        "all bytes up to the hole"
    );
    assert!(peek(&["server", "300100"]) == pattern(300_100, 5));
    assert_eq!(peek(&["client", "0", "8"]), b"HTTP/1.1");
    assert_eq!(peek(&["client", "0", "0"]), b"");
    let dump = "00000009  32 30 30 20 4f 4b 0d 0a  0d 0a 1b 5b 32 4a        |200 OK.....[2J|\n";
    assert_eq!(
        String::from_utf8(peek(&["client", "9", "--hex"])).unwrap(),
        dump
    );
    let shown = String::from_utf8(peek(&["client", "9", "--text"])).unwrap();
    assert_eq!(
        shown, "200 OK\n\n\\u{1b}[2J",
        "a stream cannot control the terminal"
    );
    assert_eq!(
        json(&server, &["--json", "ppeek", &sockid, "client", "0", "4"])["data"],
        "SFRUUA=="
    );
}

#[test]
fn a_closed_pipe_is_not_a_failure() {
    let (engines, sockid) = world();
    let server = Server::start(&engines);
    let mut child = command(
        &server.socket,
        &["ppeek", &sockid.to_string(), "server", "0", "--hex"],
    )
    .stdout(Stdio::piped())
    .stderr(Stdio::piped())
    .spawn()
    .unwrap();
    let mut first = String::new();
    let mut out = BufReader::with_capacity(64, child.stdout.take().unwrap());
    out.read_line(&mut first).unwrap();
    assert!(first.starts_with("00000000  "));
    drop(out);
    let output = child.wait_with_output().unwrap();
    assert!(
        output.status.success() && output.stderr.is_empty(),
        "{output:?}"
    );
}

#[test]
fn peek_reads_in_order_and_reports_missing_bytes() {
    let (engines, sockid) = world();
    let server = Server::start(&engines);
    let sockid = sockid.to_string();
    let output = run(&server, &["peek", &sockid, "server"]);
    assert!(output.status.success());
    assert!(output.stdout == [pattern(0, STREAM), pattern(300_100, 5)].concat());
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(
        said.contains("100 bytes missing at offset 300000, never captured"),
        "{said}"
    );
    assert_eq!(
        stdout(&server, &["peek", &sockid, "client", "8"]),
        b"HTTP/1.1"
    );
    let parts = json_lines(&server, &["--json", "peek", &sockid, "server"]);
    let len: u64 = parts.iter().map(|part| part["len"].as_u64().unwrap()).sum();
    assert_eq!(len, STREAM as u64 + 5);
}

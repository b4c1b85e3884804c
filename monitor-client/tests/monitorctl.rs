//! monitorctl as a process, against a real server.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test says what it expects by unwrapping it")]

#[path = "../../monitor-daemon/tests/rpc_common/mod.rs"]
mod rpc_common;

use std::io::{BufRead, BufReader};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use monitor_tests::skip;
use rpc_common::talk::{From, Talk};
use rpc_common::world::{ANSWER, ENDS, STREAM, world};
use rpc_common::{Server, engines, pattern};
use serde_json::Value;

fn command(socket: &Path, args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_monitorctl"));
    command.arg("--socket").arg(socket).args(args);
    command
}

fn run(server: &Server, args: &[&str]) -> Output {
    command(&server.socket, args).output().unwrap()
}

/// Standard output of a run that must succeed.
fn stdout(server: &Server, args: &[&str]) -> Vec<u8> {
    let output = run(server, args);
    assert!(output.status.success(), "{args:?}: {}", String::from_utf8_lossy(&output.stderr));
    output.stdout
}

fn text(server: &Server, args: &[&str]) -> String {
    String::from_utf8(stdout(server, args)).unwrap()
}

fn json(server: &Server, args: &[&str]) -> Value {
    serde_json::from_slice(&stdout(server, args)).unwrap()
}

#[test]
fn connections_are_listed_in_an_aligned_table() {
    let (engines, sockid) = world();
    let server = Server::start(&engines);
    let table = text(&server, &["sockets"]);
    let lines: Vec<&str> = table.lines().collect();
    assert_eq!(lines.len(), 13, "{table}");
    assert!(lines[0].trim_start().starts_with("SOCKID  CLIENT"), "{table}");
    let column = lines[0].find("SERVER").unwrap();
    assert!(lines[1..].iter().all(|line| line[column..].starts_with(ENDS.1)), "{table}");
    let own = lines.iter().find(|line| line.contains(ENDS.0)).unwrap();
    for part in [&sockid.to_string(), "closed (rst)", "300105*", &ANSWER.len().to_string()] {
        assert!(own.contains(part), "{part}: {own}");
    }
    assert_eq!(text(&server, &["sockets", "--port", "1234"]).lines().count(), 2);
    assert_eq!(
        text(&server, &["sockets", "--address", "10.0.0.3", "--state", "established"]).lines().count(),
        12
    );
    assert_eq!(text(&server, &["sockets", "--limit", "5"]).lines().count(), 6);
    let listed = json(&server, &["--json", "sockets"]);
    assert_eq!((listed["sockets"].as_array().unwrap().len(), &listed["next"]), (12, &Value::Null));
    let page = json(&server, &["sockets", "--json", "--limit", "2"]);
    assert_eq!(page["next"], page["sockets"][1]["sockid"]);
}

#[test]
fn one_connection_is_shown() {
    let (engines, sockid) = world();
    let server = Server::start(&engines);
    let shown = text(&server, &["info", &sockid.to_string()]);
    assert!(shown.contains("state      closed (rst)") && shown.contains("CLIENT RECEIVED"), "{shown}");
    assert_eq!(json(&server, &["--json", "info", &sockid.to_string()])["sockid"], sockid);
    assert_eq!(json(&server, &["--json", "lookup", ENDS.0, ENDS.1])["sockid"], sockid);
}

#[test]
fn ppeek_prints_bytes_to_a_pipe_and_dumps_on_request() {
    let (engines, sockid) = world();
    let server = Server::start(&engines);
    let sockid = sockid.to_string();
    let peek = |rest: &[&str]| stdout(&server, &[&["ppeek", &sockid], rest].concat());
    assert!(peek(&["server", "0", "1000000"]) == pattern(0, STREAM), "one read, up to the hole");
    assert!(peek(&["server", "5"]) == pattern(5, STREAM - 5), "all that follows, up to the hole");
    assert!(peek(&["server", "300100"]) == pattern(300_100, 5));
    assert_eq!(peek(&["client", "0", "8"]), b"HTTP/1.1");
    assert_eq!(peek(&["client", "0", "0"]), b"");
    let dump = "00000009  32 30 30 20 4f 4b 0d 0a  0d 0a 1b 5b 32 4a        |200 OK.....[2J|\n";
    assert_eq!(String::from_utf8(peek(&["client", "9", "--hex"])).unwrap(), dump);
    let shown = String::from_utf8(peek(&["client", "9", "--text"])).unwrap();
    assert_eq!(shown, "200 OK\n\n\\u{1b}[2J", "a stream cannot command the terminal");
    assert_eq!(json(&server, &["--json", "ppeek", &sockid, "client", "0", "4"])["data"], "SFRUUA==");
}

#[test]
fn exit_codes_and_sentences_say_what_happened() {
    let (engines, sockid) = world();
    let mut server = Server::start(&engines);
    let sockid = sockid.to_string();
    let fails = |server: &Server, args: &[&str], code: i32, word: &str| {
        let output = run(server, args);
        let message = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(code), "{args:?}: {message}");
        assert!(message.contains(word), "{args:?}: {message}");
        assert!(output.stdout.is_empty());
    };
    fails(&server, &["ppeek", &sockid, "middle", "0"], 1, "what the client received");
    fails(&server, &["ppeek", &sockid, "server", "-1", "1"], 1, "-1");
    fails(&server, &["nothing"], 1, "nothing");
    fails(&server, &["sockets", "--address", "x"], 1, "`address`");
    fails(&server, &["info", "4503599627370496"], 3, "no connection has the sockid");
    fails(&server, &["follow", "4503599627370496"], 3, "no connection has the sockid");
    fails(&server, &["lookup", ENDS.1, ENDS.0], 3, "no connection between these ends");
    fails(&server, &["ppeek", &sockid, "server", "300000", "1"], 4, "bytes go on at 300100");
    fails(&server, &["ppeek", &sockid, "server", "300000"], 4, "bytes go on at 300100");
    let help = run(&server, &["--help"]);
    assert!(help.status.success() && String::from_utf8_lossy(&help.stdout).contains("Exit codes"));
    server.stop();
    fails(&server, &["stats"], 2, "sudo monitord");
    std::os::unix::net::UnixListener::bind(&server.socket).unwrap();
    fails(&server, &["stats"], 2, "is gone: start it again");
}

#[test]
fn a_closed_socket_file_names_its_group() {
    let (engines, _) = world();
    let server = Server::start(&engines);
    let directory = server.socket.parent().unwrap();
    std::fs::set_permissions(directory, std::fs::Permissions::from_mode(0o755)).unwrap();
    // Root opens everything: look as nobody does, with a copy that nobody may run.
    let copy = directory.join("monitorctl");
    std::fs::copy(env!("CARGO_BIN_EXE_monitorctl"), &copy).unwrap();
    let output = Command::new("setpriv")
        .args(["--reuid=65534", "--regid=65534", "--clear-groups"])
        .arg(&copy)
        .arg("--socket")
        .arg(&server.socket)
        .arg("stats")
        .output();
    let Ok(output) = output else {
        skip!("setpriv is not installed");
    };
    let message = String::from_utf8(output.stderr).unwrap();
    if message.contains("setresuid") || message.contains("setgroups") {
        skip!("only root can become another user");
    }
    assert_eq!(output.status.code(), Some(5), "{message}");
    assert!(message.contains("mode 0660") && message.contains("group root"), "{message}");
}

#[test]
fn a_reader_that_has_enough_is_no_failure() {
    let (engines, sockid) = world();
    let server = Server::start(&engines);
    let mut child = command(&server.socket, &["ppeek", &sockid.to_string(), "server", "0", "--hex"])
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
    assert!(output.status.success() && output.stderr.is_empty(), "{output:?}");
}

#[test]
fn follow_tells_what_is_missing_and_ends_with_the_connection() {
    let (engines, sockid) = world();
    let server = Server::start(&engines);
    let output = run(&server, &["follow", &sockid.to_string(), "server"]);
    assert!(output.status.success());
    assert!(output.stdout == [pattern(0, STREAM), pattern(300_100, 5)].concat());
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(said.contains("server: 100 bytes missing at offset 300000"), "{said}");
    let both = text(&server, &["follow", &sockid.to_string(), "--text"]);
    assert!(
        both.contains("--- client -> server, offset 300100")
            && both.contains("--- server -> client, offset 0")
    );
    let lines = text(&server, &["--json", "follow", &sockid.to_string()]);
    let parts: Vec<Value> = lines.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert!(parts.iter().any(|part| part["missing"] == 100 && part["off"] == 300_000), "{lines}");
    let received = |side: &str| -> u64 {
        parts.iter().filter(|part| part["side"] == side).filter_map(|part| part["len"].as_u64()).sum()
    };
    assert_eq!((received("server"), received("client")), (STREAM as u64 + 5, ANSWER.len() as u64));
}

#[test]
fn follow_waits_for_what_comes() {
    let mut engines = engines(1);
    let mut talk = Talk::new(ENDS.0, ENDS.1);
    talk.open(&mut engines[0]);
    let sockid = talk.id(&engines[0]).as_u64().to_string();
    let server = Server::start(&engines);
    let mut child = command(&server.socket, &["follow", &sockid]).stdout(Stdio::piped()).spawn().unwrap();
    let mut out = BufReader::new(child.stdout.take().unwrap());
    for (from, said) in [(From::Client, "ping\n"), (From::Server, "pong\n"), (From::Client, "again\n")] {
        talk.say(&mut engines[0], from, said.as_bytes());
        let mut line = String::new();
        out.read_line(&mut line).unwrap();
        assert_eq!(line, said);
    }
    talk.fin(&mut engines[0], From::Client);
    talk.say(&mut engines[0], From::Server, b"last\n");
    talk.fin(&mut engines[0], From::Server);
    let mut rest = String::new();
    out.read_line(&mut rest).unwrap();
    assert_eq!(rest, "last\n");
    assert!(child.wait().unwrap().success());
}

#[test]
fn counters_are_shown_in_groups() {
    let (engines, _) = world();
    let server = Server::start(&engines);
    let shown = text(&server, &["stats"]);
    for part in ["replay with 2 workers, finished", "\ncapture\n", "\nflows\n", "\nrpc\n", "  rx_packets"] {
        assert!(shown.contains(part), "{part}: {shown}");
    }
    let opened = |shown: &str| -> Vec<u64> {
        let line = shown.lines().find(|line| line.trim_start().starts_with("opened")).unwrap();
        line.split_whitespace().skip(1).map(|number| number.parse().unwrap()).collect()
    };
    assert_eq!(opened(&shown), [12]);
    assert_eq!(opened(&text(&server, &["stats", "--workers"])), [12, 7, 5]);
    assert_eq!(json(&server, &["stats", "--json"])["flows"]["opened"], 12);
}

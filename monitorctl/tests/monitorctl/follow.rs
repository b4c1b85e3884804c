//! Tests of `follow`, `events`, `wait` and `watch`.

use std::io::{BufRead, BufReader};
use std::process::{Child, ChildStdout, Stdio};

use crate::rpc_common::engine_threads::EngineThreads;
use crate::rpc_common::talk::{From, Talk};
use crate::rpc_common::world::{ANSWER, ENDS, STREAM, world};
use crate::rpc_common::{Server, engines, pattern};
use crate::{command, json_lines, run, text};

#[test]
fn follow_reports_missing_bytes_and_ends_with_the_connection() {
    let (engines, sockid) = world();
    let (_attended, status) = EngineThreads::start(engines);
    let server = Server::start_with(status, |_| {});
    let output = run(&server, &["follow", &sockid.to_string(), "server"]);
    assert!(output.status.success());
    assert!(output.stdout == [pattern(0, STREAM), pattern(300_100, 5)].concat());
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(
        said.contains("server: 100 bytes missing at offset 300000"),
        "{said}"
    );
    let both = text(&server, &["follow", &sockid.to_string(), "--text"]);
    assert!(
        both.contains("--- client -> server, offset 300100")
            && both.contains("--- server -> client, offset 0")
    );
    let timed = text(
        &server,
        &["follow", "--time", &sockid.to_string(), "client"],
    );
    assert!(
        timed.starts_with("--- server -> client, offset 0, 22:13:20.00"),
        "{timed}"
    );
    let parts = json_lines(&server, &["--json", "follow", &sockid.to_string()]);
    assert!(
        parts
            .iter()
            .any(|part| part["event"] == "gap" && part["len"] == 100 && part["off"] == 300_000),
        "{parts:?}"
    );
    let received = |side: &str| -> u64 {
        parts
            .iter()
            .filter(|part| part["event"] == "data" && part["side"] == side)
            .filter_map(|part| part["len"].as_u64())
            .sum()
    };
    assert_eq!(
        (received("server"), received("client")),
        (STREAM as u64 + 5, ANSWER.len() as u64)
    );
}

#[test]
fn follow_prints_bytes_as_they_arrive() {
    let mut engines = engines(1);
    let mut talk = Talk::new(ENDS.0, ENDS.1);
    talk.open(&mut engines[0]);
    let sockid = talk.id(&engines[0]).as_u64().to_string();
    let (threads, status) = EngineThreads::start(engines);
    let server = Server::start_with(status, |_| {});
    let mut child = command(&server.socket, &["follow", &sockid])
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut out = BufReader::new(child.stdout.take().unwrap());
    for (from, said) in [
        (From::Client, "ping\n"),
        (From::Server, "pong\n"),
        (From::Client, "again\n"),
    ] {
        talk.say(&mut threads.engine(0), from, said.as_bytes());
        let mut line = String::new();
        out.read_line(&mut line).unwrap();
        assert_eq!(line, said);
    }
    talk.fin(&mut threads.engine(0), From::Client);
    talk.say(&mut threads.engine(0), From::Server, b"last\n");
    talk.fin(&mut threads.engine(0), From::Server);
    let mut rest = String::new();
    out.read_line(&mut rest).unwrap();
    assert_eq!(rest, "last\n");
    assert!(child.wait().unwrap().success());
}

/// A running program with its output line by line.
struct Running {
    child: Child,
    out: BufReader<ChildStdout>,
}

impl Running {
    fn start(server: &Server, args: &[&str]) -> Self {
        let mut child = command(&server.socket, args)
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let out = BufReader::new(child.stdout.take().unwrap());
        Self { child, out }
    }

    fn line(&mut self) -> String {
        let mut line = String::new();
        self.out.read_line(&mut line).unwrap();
        line
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Waits until the daemon has this number of listeners.
fn until_listening(server: &Server, listeners: u64) {
    let mut client = server.client();
    monitor_tests::until("the listener", || {
        (client.stats().unwrap().rpc.get("listeners") >= Some(listeners)).then_some(())
    });
}

#[test]
fn all_connections_that_match_a_filter_are_followed() {
    let mut engines = engines(1);
    let mut old = Talk::new("10.0.0.1:1", "10.0.0.2:80");
    old.open(&mut engines[0]);
    old.say(&mut engines[0], From::Client, b"before\n");
    let (threads, status) = EngineThreads::start(engines);
    let server = Server::start_with(status, |_| {});
    let mut running = Running::start(&server, &["follow", "--filter", "port 80"]);
    until_listening(&server, 3);
    old.say(&mut threads.engine(0), From::Client, b"more\n");
    assert_eq!(running.line(), "--- 10.0.0.1:1 -> 10.0.0.2:80, offset 7\n");
    assert_eq!(running.line(), "more\n");
    for (server_end, said) in [("10.0.0.2:443", "hidden\n"), ("10.0.0.2:80", "new\n")] {
        let mut talk = Talk::new("10.0.0.3:1", server_end);
        talk.time = old.time;
        talk.open(&mut threads.engine(0));
        talk.say(&mut threads.engine(0), From::Server, said.as_bytes());
    }
    assert_eq!(running.line(), "--- 10.0.0.2:80 -> 10.0.0.3:1, offset 0\n");
    assert_eq!(running.line(), "new\n");
}

#[test]
fn events_print_as_lines() {
    let (threads, status) = EngineThreads::start(engines(1));
    let server = Server::start_with(status, |_| {});
    let kinds = [
        "events",
        "opened",
        "data",
        "closed",
        "-n",
        "3",
        "--filter",
        "host 10.0.0.1",
    ];
    let mut people = Running::start(&server, &kinds);
    let mut machines = Running::start(&server, &[&["--json"], kinds.as_slice()].concat());
    until_listening(&server, 2);
    let mut talk = Talk::new(ENDS.0, ENDS.1);
    talk.open(&mut threads.engine(0));
    talk.say(&mut threads.engine(0), From::Client, b"ping");
    talk.reset(&mut threads.engine(0), From::Server);
    for rest in [
        "opened       0  10.0.0.1:1234 -> 10.0.0.2:80\n",
        "  server  4 bytes at 0\n",
        "  rst\n",
    ] {
        let line = people.line();
        assert!(
            line.ends_with(rest) && line.contains("10.0.0.1:1234 -> "),
            "{line}"
        );
    }
    for kind in ["opened", "data", "closed"] {
        let event: serde_json::Value = serde_json::from_str(&machines.line()).unwrap();
        assert_eq!(event["event"], kind);
    }
    assert!(people.child.wait().unwrap().success() && machines.child.wait().unwrap().success());
    assert_eq!(run(&server, &["events", "nothing"]).status.code(), Some(1));
}

#[test]
fn wait_ends_when_the_byte_arrives_or_cannot_arrive() {
    let (engines, sockid) = world();
    let (_attended, status) = EngineThreads::start(engines);
    let server = Server::start_with(status, |_| {});
    let sockid = sockid.to_string();
    assert_eq!(
        text(&server, &["wait", &sockid, "client", "4"]),
        "19 bytes are available from offset 4 on\n"
    );
    let never = run(&server, &["wait", &sockid, "client", "1000"]);
    assert_eq!(never.status.code(), Some(4), "the connection is closed");
    let alive = server
        .client()
        .sockets(&monitor_client::types::SocketsParams::default())
        .unwrap();
    let alive = alive
        .sockets
        .iter()
        .find(|socket| socket.closed.is_none())
        .unwrap()
        .sockid
        .to_string();
    let late = run(
        &server,
        &["wait", &alive, "client", "0", "--timeout", "50ms"],
    );
    assert_eq!(
        late.status.code(),
        Some(6),
        "{}",
        String::from_utf8_lossy(&late.stderr)
    );
}

#[test]
fn matches_print_with_their_bytes() {
    let mut engines = engines(1);
    let mut talk = Talk::new(ENDS.0, ENDS.1);
    talk.open(&mut engines[0]);
    let (threads, status) = EngineThreads::start(engines);
    let server = Server::start_with(status, |_| {});
    let mut running = Running::start(
        &server,
        &["watch", "-i", "passw[o0]rd", "-C", "4", "-n", "1"],
    );
    until_listening(&server, 1);
    talk.say(&mut threads.engine(0), From::Client, b"the PASSWORD is");
    let line = running.line();
    assert!(
        line.ends_with("10.0.0.1:1234 -> 10.0.0.2:80  server  8 bytes at 4  passw[o0]rd\n"),
        "{line}"
    );
    assert!(running.line().ends_with("|the PASSWORD is|\n"));
    assert!(running.child.wait().unwrap().success());
    let wrong = run(&server, &["watch", "a**("]);
    assert_eq!(wrong.status.code(), Some(1));
}

//! Callbacks of a C program (callbacks.c), check by check.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test says what it expects by unwrapping it"
)]

mod c_program;
#[path = "../../../monitor-daemon/tests/rpc_common/mod.rs"]
mod rpc_common;

use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Stdio};
use std::sync::OnceLock;
use std::time::Duration;

use c_program::{command, compile_shared, passed};
use rpc_common::relay::Relay;
use rpc_common::start::talk;
use rpc_common::talk::From;
use rpc_common::{Server, engines};
use tempfile::TempDir;

fn program() -> &'static Path {
    static PROGRAM: OnceLock<(TempDir, PathBuf)> = OnceLock::new();
    &PROGRAM.get_or_init(|| compile_shared("callbacks")).1
}

/// Check that runs.
struct Check {
    child: Child,
    output: BufReader<ChildStdout>,
}

impl Check {
    /// Starts a check, and waits until it has registered its callbacks.
    fn start(socket: &Path, name: &str) -> Self {
        let mut child = command(program(), socket, name)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let output = BufReader::new(child.stdout.take().unwrap());
        let mut check = Self { child, output };
        check.says(&["ready"]);
        check
    }

    /// Compares the next lines.
    #[track_caller]
    fn says(&mut self, expected: &[&str]) {
        let mut lines = Vec::new();
        for _ in expected {
            let mut line = String::new();
            if self.output.read_line(&mut line).unwrap() == 0 {
                break;
            }
            lines.push(line.trim_end().to_owned());
        }
        if lines != expected {
            let _ = self.child.kill();
        }
        assert_eq!(lines, expected);
    }

    /// Waits for its end. There is no further line.
    #[track_caller]
    fn ends(mut self) {
        let mut rest = String::new();
        self.output.read_line(&mut rest).unwrap();
        passed(&self.child.wait_with_output().unwrap());
        assert_eq!(rest, "");
    }
}

#[test]
fn life_of_a_connection() {
    let (server, workers) = Server::with_threads(engines(2));
    let mut check = Check::start(&server.socket, "life_of_a_connection");
    let mut talk = talk(1001);
    workers.with(0, |engine| talk.open(engine));
    check.says(&[
        "snd 1001 cli start 2 1",
        "rcv 1001 svr start 2 1",
        "snd 1001 cli state 2",
        "rcv 1001 svr state 3",
        "rcv 1001 cli state 4",
        "rcv 1001 svr state 4",
    ]);
    workers.with(0, |engine| talk.say(engine, From::Client, b"hello"));
    check.says(&["null 1001 svr data hello"]);
    workers.with(0, |engine| talk.at(engine, From::Client, 0, b"hello"));
    check.says(&["snd 1001 cli rexmit", "rcv 1001 svr rexmit"]);
    workers.with(0, |engine| talk.say(engine, From::Server, b"world"));
    check.says(&["null 1001 cli data world"]);
    workers.with(0, |engine| talk.fin(engine, From::Client));
    check.says(&[
        "snd 1001 cli state 5",
        "rcv 1001 svr state 7",
        "rcv 1001 cli state 6",
    ]);
    // Half of the connection is closed, the other half continues.
    workers.with(0, |engine| talk.say(engine, From::Server, b"more"));
    check.says(&["null 1001 cli data more"]);
    workers.with(0, |engine| talk.fin(engine, From::Server));
    check.says(&[
        "rcv 1001 cli state 10",
        "snd 1001 svr state 9",
        "rcv 1001 svr state 0",
        "rcv 1001 svr end 5",
    ]);
    check.ends();
}

#[test]
fn errors_of_registration() {
    let (server, _workers) = Server::with_threads(engines(1));
    let mut program = command(program(), &server.socket, "errors_of_registration");
    passed(&program.output().unwrap());
}

#[test]
fn defined_events() {
    let (server, workers) = Server::with_threads(engines(1));
    let mut check = Check::start(&server.socket, "defined_events");
    let mut talk = talk(1001);
    workers.with(0, |engine| talk.open(engine));
    for (text, expected) in [
        (
            "GET a",
            ["1001 evaluated", "1001 get", "1001 odd"].as_slice(),
        ),
        ("PUT b", &["1001 evaluated"]),
        (
            "GET c",
            &["1001 evaluated", "1001 get", "1001 even", "1001 second"],
        ),
    ] {
        workers.with(0, |engine| {
            talk.say(engine, From::Client, text.as_bytes());
        });
        check.says(expected);
    }
    workers.with(0, |engine| talk.reset(engine, From::Server));
    check.says(&["3 evaluations, 2 gets, 2 seconds"]);
    check.ends();
}

#[test]
fn callbacks_of_one_connection() {
    let (server, workers) = Server::with_threads(engines(1));
    let mut check = Check::start(&server.socket, "callbacks_of_one_connection");
    let mut talks = [1001, 1002, 1003].map(talk);
    for talk in &mut talks[..2] {
        workers.with(0, |engine| {
            talk.open(engine);
            talk.say(engine, From::Client, b"own");
        });
    }
    check.says(&["1001 own"]);
    for talk in &mut talks[..2] {
        workers.with(0, |engine| {
            talk.say(engine, From::Client, b"more");
            talk.reset(engine, From::Client);
        });
    }
    let last = &mut talks[2];
    workers.with(0, |engine| {
        last.open(engine);
        last.say(engine, From::Client, b"not wanted");
        last.reset(engine, From::Client);
    });
    check.says(&["1003 ended"]);
    check.ends();
}

#[test]
fn timers() {
    let (server, _workers) = Server::with_threads(engines(1));
    passed(
        &command(program(), &server.socket, "timers")
            .output()
            .unwrap(),
    );
}

#[test]
fn destroyed_in_a_signal_handler() {
    let (server, _workers) = Server::with_threads(engines(2));
    let mut program = command(program(), &server.socket, "destroyed_in_a_signal_handler");
    passed(&program.output().unwrap());
}

#[test]
fn connections_end_with_their_daemon() {
    let (mut server, workers) = Server::with_threads(engines(1));
    let relay = Relay::to(&server.socket);
    let mut check = Check::start(&relay.socket, "connections_end_with_their_daemon");
    workers.with(0, |engine| talk(1001).open(engine));
    check.says(&["1001 start"]);
    let (other, workers) = Server::with_threads(engines(1));
    relay.turn(&other.socket);
    server.stop();
    check.says(&["1001 end"]);
    let mut talk = talk(1002);
    workers.with(0, |engine| {
        talk.open(engine);
        talk.reset(engine, From::Server);
    });
    check.says(&["1002 start", "1002 end"]);
    check.ends();
}

#[test]
fn missing_events() {
    /// Connections with more events than the daemon keeps for a client: each has about ten.
    const MANY: u16 = 12_000;
    let (server, workers) = Server::with_threads(engines(1));
    let mut check = Check::start(&server.socket, "missing_events");
    let mut time = 0;
    let mut live = |port: u16| {
        let mut talk = talk(port);
        // One after the other, a millisecond each.
        time += 1_000_000;
        talk.time += time;
        workers.with(0, |engine| {
            talk.open(engine);
            talk.say(engine, From::Client, b"data");
            talk.fin(engine, From::Client);
            talk.fin(engine, From::Server);
        });
    };
    live(1001);
    check.says(&["held up"]);
    (2000..2000 + MANY).for_each(&mut live);
    let mut stdin = check.child.stdin.take().unwrap();
    stdin.write_all(b"\n").unwrap();
    // Events of some of these are missing, and those of others come behind the missing ones.
    for port in 30_000..36_000 {
        live(port);
        std::thread::sleep(Duration::from_micros(100));
    }
    check.says(&["all ended"]);
    live(1002);
    check.says(&["18002 ended, 0 repeated"]);
    check.ends();
}

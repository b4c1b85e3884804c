//! Tests of `log`: records, a killed log, a daemon that restarts.

use std::fs;
use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};

use crate::command;
use crate::rpc_common::relay::Relay;
use crate::rpc_common::talk::{From, Talk};
use crate::rpc_common::world::{ANSWER, ENDS, STREAM, world};
use crate::rpc_common::{Server, engines};

fn start(socket: &Path, args: &[&str]) -> Child {
    let mut command = command(socket, &["log"]);
    command
        .args(args)
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    command.spawn().unwrap()
}

/// Returns the lines of a file once there are enough of them.
fn lines(path: &Path, count: usize) -> Vec<Value> {
    let deadline = Instant::now() + Duration::from_secs(60);
    loop {
        let text = fs::read_to_string(path).unwrap_or_default();
        if text.lines().count() >= count && text.ends_with('\n') {
            return text
                .lines()
                .map(|line| serde_json::from_str(line).unwrap())
                .collect();
        }
        let found = text.lines().count();
        assert!(
            Instant::now() < deadline,
            "{count} lines expected, not {found}"
        );
        // A long file is not read all the time.
        std::thread::sleep(Duration::from_millis(10 + text.len() as u64 / 100_000));
    }
}

fn wait_for(path: &Path) {
    let deadline = Instant::now() + Duration::from_secs(60);
    while !path.exists() {
        assert!(Instant::now() < deadline, "{} expected", path.display());
        std::thread::sleep(Duration::from_millis(10));
    }
}

fn signal(child: &Child, signal: Signal) {
    let pid = Pid::from_raw(i32::try_from(child.id()).unwrap()).unwrap();
    kill_process(pid, signal).unwrap();
}

/// Stops the log by SIGTERM, and returns its standard error.
fn stop(child: Child) -> String {
    signal(&child, Signal::TERM);
    let output = child.wait_with_output().unwrap();
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(output.status.success(), "{said}");
    said
}

#[test]
fn an_ended_connection_has_one_record_whatever_happens_to_the_log() {
    let (engines, sockid) = world();
    let (server, _threads) = Server::with_threads(engines);
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("log.json");
    let args = ["-o", path.to_str().unwrap()];
    let mut log = start(&server.socket, &args);
    let record = lines(&path, 1).remove(0);
    log.kill().unwrap();
    log.wait().unwrap();
    let instance = server.client().hello("test").unwrap().instance.unwrap();
    let expected = [
        ("v", json!(1)),
        ("instance", json!(instance)),
        ("sockid", json!(sockid)),
        ("part", json!(0)),
        ("client", json!(ENDS.0)),
        ("server", json!(ENDS.1)),
        ("closed", json!("rst")),
        ("mode", json!("replay")),
    ];
    for (field, value) in expected {
        assert_eq!(record[field], value, "{field}");
    }
    assert!(record["community_id"].as_str().unwrap().starts_with("1:"));
    // The connection opened before the log started: the events of its hole are missing.
    let side = |bytes: usize, gaps: u64, gap_bytes: Option<u64>| {
        json!({ "bytes": bytes, "gaps": gaps, "gap_bytes": gap_bytes, "retransmitted": 0, "conflicts": 0,
            "refused": null })
    };
    let sides = [side(ANSWER.len(), 0, Some(0)), side(STREAM + 105, 1, None)];
    let sides = json!({ "client": sides[0], "server": sides[1] });
    assert_eq!(record["sides"], sides);
    // The second one finds the line, the third one a part of it.
    let whole = fs::read(&path).unwrap();
    for kept in [whole.len(), whole.len() / 2] {
        fs::write(&path, &whole[..kept]).unwrap();
        fs::remove_file(dir.path().join("log.json.state")).unwrap();
        let log = start(&server.socket, &args);
        // It is saved after the records were read, before any is written.
        wait_for(&dir.path().join("log.json.state"));
        assert_eq!(stop(log), "");
        assert_eq!(lines(&path, 1), std::slice::from_ref(&record));
    }
}

#[test]
fn a_log_that_falls_behind_finds_the_lost_records_in_a_listing() {
    // More than the daemon queues for the log and its socket holds.
    const CONNECTIONS: usize = 8000;
    let (server, threads) = Server::with_threads(engines(1));
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("log.json");
    let log = start(
        &server.socket,
        &["--queue", "10", "-o", path.to_str().unwrap()],
    );
    // It has subscribed before it saves its position.
    wait_for(&dir.path().join("log.json.state"));
    signal(&log, Signal::STOP);
    threads.with(0, |engine| {
        for number in 0..CONNECTIONS {
            let client = format!("10.0.0.{}:{}", number >> 15, 1024 + (number & 0x7fff));
            let mut talk = Talk::new(&client, ENDS.1);
            talk.syn(engine);
            talk.reset(engine, From::Client);
        }
    });
    signal(&log, Signal::CONT);
    let lines = lines(&path, CONNECTIONS);
    assert_eq!(stop(log), "");
    let mut sockids: Vec<_> = lines
        .iter()
        .map(|line| line["sockid"].as_u64().unwrap())
        .collect();
    sockids.sort_unstable();
    sockids.dedup();
    assert_eq!((sockids.len(), lines.len()), (CONNECTIONS, CONNECTIONS));
    let stats = server.client().stats().unwrap();
    assert_ne!(stats.rpc.get("events_lost"), Some(0));
}

#[test]
fn a_restart_of_the_daemon_is_marked_and_survived() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("log.json");
    let (first, _threads) = Server::with_threads(world().0);
    let relay = Relay::to(&first.socket);
    let log = start(&relay.socket, &["-o", path.to_str().unwrap()]);
    lines(&path, 1);
    let (second, _others) = Server::with_threads(world().0);
    relay.turn(&second.socket);
    relay.cut();
    let lines = lines(&path, 3);
    assert_eq!(lines[1]["reason"], "restarted");
    assert_eq!(lines[1]["lost"], Value::Null);
    assert_eq!(lines[1]["instance"], lines[0]["instance"]);
    assert_ne!(lines[2]["instance"], lines[0]["instance"]);
    assert_eq!(lines[2]["sockid"], lines[0]["sockid"]);
    let said = stop(log);
    assert!(said.contains("trying again"), "{said}");
}

#[test]
fn records_go_to_standard_output_and_wrong_arguments_are_refused() {
    let (server, _threads) = Server::with_threads(world().0);
    let mut log = start(&server.socket, &["--filter", "dst port 80"]);
    let mut line = String::new();
    let mut out = BufReader::new(log.stdout.take().unwrap());
    out.read_line(&mut line).unwrap();
    let record: Value = serde_json::from_str(&line).unwrap();
    assert_eq!(record["server"], ENDS.1);
    assert_eq!(stop(log), "");
    let refused = |args: &[&str], word: &str| {
        let output = start(&server.socket, args).wait_with_output().unwrap();
        let said = String::from_utf8(output.stderr).unwrap();
        assert!(
            output.status.code() == Some(1) && said.contains(word),
            "{said}"
        );
    };
    refused(&["--filter", "prot 1"], "filter");
    refused(&["--interim", "0.5"], "at least a second");
    refused(&["-o", "/nonexistent/log"], "cannot open");
    let letter = tempfile::NamedTempFile::new().unwrap();
    fs::write(letter.path(), "Dear Sir,\n").unwrap();
    refused(
        &["-o", letter.path().to_str().unwrap()],
        "name another file",
    );
}

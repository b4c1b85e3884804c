//! The manual page of mtcp_ppeek, checked errno by errno by a C program (manual_page.c).

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test says what it expects by unwrapping it"
)]

mod c_program;
#[path = "../../../monitor-daemon/tests/rpc_common/mod.rs"]
mod rpc_common;

use std::io::{BufRead, BufReader, Write};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::OnceLock;
use std::thread;

use c_program::{command, compile, compile_shared, libraries, passed};
use monitor_daemon::control::Engine;
use monitor_daemon::events::Publisher;
use monitor_engine::EngineConfig;
use rpc_common::relay::Relay;
use rpc_common::talk::{From, Talk};
use rpc_common::{Server, instance, pattern};
use serde_json::{Value, json};
use tempfile::TempDir;

const SERVER: &str = "10.0.0.2:80";

/// The connections that manual_page.c knows: all on worker 0 but the one over IPv6.
fn world() -> Vec<Engine> {
    let instance = instance();
    let config = |worker| EngineConfig {
        instance,
        worker,
        workers: 2,
        memory: 32 << 20,
        window: 1 << 20,
        ..EngineConfig::default()
    };
    let mut engines: Vec<_> = (0..2)
        .map(|worker| Publisher::engine(config(worker)).unwrap())
        .collect();
    let engine = &mut engines[0];

    let mut holed = Talk::new("10.0.0.1:1234", SERVER);
    holed.open(engine);
    holed.say(engine, From::Client, &pattern(0, 300_000));
    holed.at(engine, From::Client, 300_100, &pattern(300_100, 5));
    holed.say(engine, From::Server, b"HTTP/1.1 200 OK\r\n\r\n");

    let mut reset = Talk::new("10.0.0.1:1235", SERVER);
    reset.open(engine);
    reset.say(engine, From::Client, b"abc");
    reset.at(engine, From::Client, 7, b"hij");
    reset.reset(engine, From::Server);

    let mut finished = Talk::new("10.0.0.1:1236", SERVER);
    finished.open(engine);
    finished.say(engine, From::Client, b"done");
    finished.fin(engine, From::Client);
    finished.fin(engine, From::Server);

    Talk::new("10.0.0.1:1237", SERVER).syn(engine);

    let mut evicted = Talk::new("10.0.0.1:1238", SERVER);
    evicted.open(engine);
    evicted.say(engine, From::Client, &pattern(0, 3_000_000));

    let mut v6 = Talk::new("[2001:db8::1]:5", "[2001:db8::2]:443");
    v6.open(&mut engines[1]);
    engines
}

fn shared() -> &'static Path {
    static PROGRAM: OnceLock<(TempDir, PathBuf)> = OnceLock::new();
    &PROGRAM.get_or_init(|| compile_shared("manual_page")).1
}

macro_rules! checks {
    ($($name:ident)*) => {
        $(#[test]
        fn $name() {
            let (server, _workers) = Server::with_threads(world());
            passed(&command(shared(), &server.socket, stringify!($name)).output().unwrap());
        })*
    };
}

checks! {
    short_reads
    fragments_are_reachable
    nothing_is_flushed
    ppeek_leaves_the_cursor_of_peek
    peek_of_no_bytes_is_not_the_end
    peek_waits_at_a_hole
    peek_tells_what_is_lost_and_ends
    peek_tells_what_was_evicted
    errno_eacces
    a_context_beyond_the_workers_sees_nothing
    errno_ebadf
    errno_enotconn
    errno_enodata
    errno_einval_of_a_side
    errno_efault
    a_descriptor_is_never_given_out_again
    all_connections_are_met_once
    a_context_of_a_worker_sees_its_own
    states
    sequence_numbers
    addresses
    errno_einval_when_buffering_is_off
    monitoring_stops
    one_side_stops
    options_are_checked
}

#[test]
fn errno_esocktnosupport() {
    let (server, _workers) = Server::with_threads(world());
    let mut wire = server.wire();
    let listener = wire.result("subscribe", json!({}))["sockid"]
        .as_u64()
        .unwrap();
    let mut program = command(shared(), &server.socket, "errno_esocktnosupport");
    passed(
        &program
            .env("MONITOR_LISTENER", listener.to_string())
            .output()
            .unwrap(),
    );
}

#[test]
fn the_static_library_links_too() {
    let archive = libraries().join("libmonitor_mos.a");
    let (_directory, program) = compile(
        "manual_page",
        &[
            archive.to_str().unwrap(),
            "-lpthread",
            "-ldl",
            "-lm",
            "-lgcc_s",
        ],
    );
    let engines = world();
    let server = Server::start(&engines);
    passed(
        &command(&program, &server.socket, "short_reads")
            .output()
            .unwrap(),
    );
}

/// A daemon that greets, and answers everything else with an error.
fn refuses(code: i64) -> (TempDir, PathBuf) {
    let directory = tempfile::tempdir().unwrap();
    let socket = directory.path().join("refuses.sock");
    let listener = UnixListener::bind(&socket).unwrap();
    // Ends with the process.
    thread::spawn(move || {
        for client in listener.incoming() {
            let client = client.unwrap();
            thread::spawn(move || refuse(client, code));
        }
    });
    (directory, socket)
}

/// Answers `hello`, and every other request with an error.
fn refuse(mut client: UnixStream, code: i64) {
    for line in BufReader::new(client.try_clone().unwrap()).lines() {
        let request: Value = serde_json::from_str(&line.unwrap()).unwrap();
        let mut reply = json!({ "jsonrpc": "2.0", "id": request["id"] });
        if request["method"] == "hello" {
            let capture = json!({ "mode": "tap", "interfaces": [], "workers": 1 });
            reply["result"] = json!({ "version": 1, "server": "refuses", "pid": 1, "instance": 1,
                "capture": capture, "max_len": 1, "methods": [] });
        } else {
            reply["error"] = json!({ "code": code, "message": "not for you" });
        }
        client.write_all(format!("{reply}\n").as_bytes()).unwrap();
    }
}

#[test]
fn errno_eperm() {
    let (_directory, socket) = refuses(1);
    passed(&command(shared(), &socket, "errno_eperm").output().unwrap());
}

#[test]
fn without_a_daemon_no_context_is_made() {
    let directory = tempfile::tempdir().unwrap();
    let output = command(shared(), &directory.path().join("none"), "short_reads")
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(
        !output.status.success() && said.contains("No such file or directory"),
        "{said}"
    );
}

#[test]
fn descriptors_are_invalid_after_a_restart_of_the_daemon() {
    let (engines, next) = (world(), world());
    let mut server = Server::start(&engines);
    let relay = Relay::to(&server.socket);
    let mut child = command(shared(), &relay.socket, "void_after_a_restart")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut line = String::new();
    BufReader::new(child.stdout.take().unwrap())
        .read_line(&mut line)
        .unwrap();
    assert_eq!(line, "ready\n");
    let other = Server::start(&next);
    relay.turn(&other.socket);
    server.stop();
    child.stdin.take().unwrap().write_all(b"go on\n").unwrap();
    passed(&child.wait_with_output().unwrap());
}

#[test]
fn the_header_is_cpp_too() {
    if !monitor_tests::have("c++") {
        monitor_tests::skip!("needs a C++ compiler");
    }
    let mut child = Command::new("c++")
        .args([
            "-x",
            "c++",
            "-Wall",
            "-Werror",
            "-fsyntax-only",
            "-I",
            env!("CARGO_MANIFEST_DIR"),
            "-",
        ])
        .stdin(Stdio::piped())
        .spawn()
        .unwrap();
    let text = "#include <mos_api.h>\nint main() { return mtcp_ppeek(nullptr, 0, 0, nullptr, 0, 0) > 0; }\n";
    child
        .stdin
        .take()
        .unwrap()
        .write_all(text.as_bytes())
        .unwrap();
    assert!(child.wait().unwrap().success());
}

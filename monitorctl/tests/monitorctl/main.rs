//! Tests of monitorctl as a process, against a real server.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by a panic")]

#[path = "../../../monitor-daemon/tests/rpc_common/mod.rs"]
mod rpc_common;

mod control;
mod failures;
#[cfg(feature = "fleet")]
mod fleet;
mod follow;
mod lists;
mod log;
mod offline;
mod reads;
mod ready;
mod save;
mod screen;

use std::path::Path;
use std::process::{Command, Output};

use rpc_common::Server;
use serde_json::Value;

fn command(socket: &Path, args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_monitorctl"));
    command.arg("--socket").arg(socket).args(args);
    command
}

fn run(server: &Server, args: &[&str]) -> Output {
    command(&server.socket, args).output().unwrap()
}

/// Returns the standard output of a run that must succeed.
fn stdout(server: &Server, args: &[&str]) -> Vec<u8> {
    let output = run(server, args);
    assert!(
        output.status.success(),
        "{args:?}: {}",
        String::from_utf8_lossy(&output.stderr)
    );
    output.stdout
}

fn text(server: &Server, args: &[&str]) -> String {
    String::from_utf8(stdout(server, args)).unwrap()
}

fn json(server: &Server, args: &[&str]) -> Value {
    serde_json::from_slice(&stdout(server, args)).unwrap()
}

/// Returns the lines of a stream of JSON.
fn json_lines(server: &Server, args: &[&str]) -> Vec<Value> {
    let text = text(server, args);
    text.lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect()
}

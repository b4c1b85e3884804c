//! Tests of the metrics: names and values from `stats`, formats, dashboards, and the relay as a process.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by a panic")]

#[path = "../../../monitor-daemon/tests/rpc_common/mod.rs"]
mod rpc_common;

mod dashboards;
mod names;
mod relay;

use std::process::{Command, Stdio};
use std::sync::Arc;

use monitor_relay::metrics::{Families, Format, Scrape, Scraper, encode};
use rpc_common::Server;

/// Returns the answer of a server.
fn scrape(server: &Server) -> Arc<Scrape> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    runtime.block_on(Scraper::new(server.socket.clone(), None).scrape())
}

/// Returns the names and labels of all samples of a text.
fn series(text: &str) -> Vec<&str> {
    let samples = text.lines().filter(|line| !line.starts_with('#'));
    samples
        .map(|line| line.rsplit_once(' ').unwrap().0)
        .collect()
}

/// Returns the text of all metrics that the relay knows.
fn known() -> String {
    encode(Families::known(), Format::Prometheus).unwrap()
}

/// Runs a program with a text as its input, and returns its output.
fn filter(program: &str, arguments: &[&str], input: &str) -> (bool, String) {
    use std::io::Write as _;
    let mut child = Command::new(program)
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stdin = child.stdin.take().unwrap();
    stdin.write_all(input.as_bytes()).unwrap();
    drop(stdin);
    let output = child.wait_with_output().unwrap();
    let text = [output.stdout, output.stderr].concat();
    (
        output.status.success(),
        String::from_utf8_lossy(&text).into_owned(),
    )
}

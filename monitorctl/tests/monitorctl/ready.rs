//! Tests of `ready`.

use std::os::unix::net::UnixListener;
use std::path::Path;
use std::process::{Command, Output};

use crate::rpc_common::Server;
use crate::rpc_common::world::world;
use crate::{command, json, run};

fn ready(socket: &Path, timeout: &str) -> Output {
    command(socket, &["ready", "--timeout", timeout])
        .output()
        .unwrap()
}

#[test]
fn ready_returns_when_the_daemon_answers() {
    let (engines, _) = world();
    let server = Server::start(&engines);
    assert!(ready(&server.socket, "10s").status.success());
    assert_eq!(json(&server, &["--json", "ready"])["ready"], true);
}

#[test]
fn ready_times_out_without_an_answer() {
    let dir = tempfile::tempdir().unwrap();
    let socket = dir.path().join("socket");
    let fails = |timeout: &str, word: &str| {
        let output = ready(&socket, timeout);
        let message = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(6), "{message}");
        assert!(message.contains(word), "{message}");
    };
    fails("0", "not ready in time");
    fails("100ms", "no daemon listens");
    // A daemon that is starting: it accepts connections, and doesn't answer yet.
    let listener = UnixListener::bind(&socket).unwrap();
    fails("100ms", "doesn't answer");
    drop(listener);
    fails("100ms", "has exited");
}

#[test]
fn ready_waits_for_a_daemon_that_starts_later() {
    let (engines, _) = world();
    let server = Server::start(&engines);
    let dir = tempfile::tempdir().unwrap();
    let socket = dir.path().join("socket");
    let mut child = command(&socket, &["ready", "--timeout", "60s"])
        .spawn()
        .unwrap();
    assert_eq!(child.try_wait().unwrap(), None);
    // The server appears under the other name.
    std::os::unix::fs::symlink(&server.socket, &socket).unwrap();
    assert!(child.wait().unwrap().success());
}

#[test]
fn ready_fails_at_once_without_permission() {
    let (engines, _) = world();
    let server = Server::start(&engines);
    let is_root = Command::new("id").arg("-u").output().unwrap().stdout == b"0\n";
    if !is_root {
        monitor_tests::skip!("only root can become another user");
    }
    assert!(run(&server, &["ready"]).status.success());
    let directory = server.socket.parent().unwrap();
    let copy = directory.join("monitorctl");
    std::fs::copy(env!("CARGO_BIN_EXE_monitorctl"), &copy).unwrap();
    let mut permissions = std::fs::metadata(directory).unwrap().permissions();
    std::os::unix::fs::PermissionsExt::set_mode(&mut permissions, 0o755);
    std::fs::set_permissions(directory, permissions).unwrap();
    let output = Command::new("setpriv")
        .args(["--reuid=65534", "--regid=65534", "--clear-groups"])
        .arg(&copy)
        .arg("--socket")
        .arg(&server.socket)
        .args(["ready", "--timeout", "600s"])
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(5), "{output:?}");
}

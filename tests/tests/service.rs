//! The service unit: the daemon as its user, with exactly its capabilities.

#![expect(clippy::panic, reason = "a test fails by a panic")]

use std::fs;
use std::os::unix::fs::{PermissionsExt as _, chown};
use std::path::Path;
use std::process::{Command, Output};

use monitor_tests::{
    Namespace, Network, Pair, Program, Transfer, exchange, monitorctl, monitord, needs,
};

/// User of the daemon, with a group of the same number.
const DAEMON: u32 = 61_000;
/// Another user.
const OTHER: u32 = 61_001;

/// Returns the value of a key of the unit.
fn setting(key: &str) -> String {
    let unit = include_str!("../../packaging/monitord.service");
    let prefix = format!("{key}=");
    let line = unit.lines().find_map(|line| line.strip_prefix(&prefix));
    line.unwrap_or_else(|| panic!("the unit has no {key}"))
        .to_owned()
}

/// Returns `setpriv` with a user, a group and capabilities like `+net_raw,+bpf`.
fn as_user(namespace: &Namespace, user: u32, group: u32, capabilities: &str) -> Command {
    let mut command = namespace.command("setpriv");
    command.args(["--no-new-privs", "--clear-groups"]);
    command.args([format!("--reuid={user}"), format!("--regid={group}")]);
    let capabilities = format!("-all{capabilities}");
    for set in ["inh-caps", "ambient-caps", "bounding-set"] {
        command.arg(format!("--{set}={capabilities}"));
    }
    command
}

#[test]
fn the_service_captures_with_exactly_the_capabilities_of_its_unit() {
    needs!();
    assert_eq!(
        setting("AmbientCapabilities"),
        setting("CapabilityBoundingSet")
    );
    let capabilities: String = setting("AmbientCapabilities")
        .split(' ')
        .map(|name| format!(",+{}", name.trim_start_matches("CAP_").to_lowercase()))
        .collect();
    let Pair { a, b } = Network::default().pair();
    // The directory stands for /run/monitord; programs of a build may be unreadable for other users.
    let dir = tempfile::tempdir().unwrap();
    let mode = |path: &Path, mode| fs::set_permissions(path, fs::Permissions::from_mode(mode));
    mode(dir.path(), 0o755).unwrap();
    let copy = |program: &Path| {
        let copy = dir.path().join(program.file_name().unwrap());
        fs::copy(program, &copy).unwrap();
        copy
    };
    let (monitord, monitorctl) = (copy(&monitord()), copy(&monitorctl()));
    let run = dir.path().join("run");
    fs::create_dir(&run).unwrap();
    mode(&run, 0o755).unwrap();
    chown(&run, Some(DAEMON), Some(DAEMON)).unwrap();
    let config = dir.path().join("config.toml");
    fs::write(
        &config,
        "[capture]\ninterfaces = ['veth']\n[store]\nmemory = '64MiB'\n",
    )
    .unwrap();
    mode(&config, 0o644).unwrap();
    let socket = run.join("monitord.sock");
    let mut command = as_user(&a, DAEMON, DAEMON, &capabilities);
    command
        .arg(&monitord)
        .arg("--config")
        .arg(&config)
        .arg("--socket")
        .arg(&socket);
    let daemon = Program::start(&mut command);

    let ctl = |user: u32, group: u32, args: &[&str]| -> Output {
        let mut command = as_user(&a, user, group, "");
        command
            .arg(&monitorctl)
            .arg("--socket")
            .arg(&socket)
            .args(args);
        command.output().unwrap()
    };
    // The command of ExecStartPost.
    assert!(setting("ExecStartPost").ends_with("monitorctl ready --timeout 55s"));
    let ready = ctl(DAEMON, DAEMON, &["ready", "--timeout", "55s"]);
    assert!(ready.status.success(), "{ready:?}\n{}", daemon.stderr());
    let transfers = [Transfer {
        request: b"GET /",
        response: b"200 OK",
    }];
    exchange(&a, &b, "10.9.0.1:7000".parse().unwrap(), &transfers);
    // A member of the group reads; other users cannot open the socket.
    let listed = ctl(OTHER, DAEMON, &["sockets", "--port", "7000"]);
    let text = String::from_utf8(listed.stdout).unwrap();
    assert!(
        text.contains("10.9.0.1:7000"),
        "the first connection is captured: {text}"
    );
    assert_eq!(ctl(OTHER, OTHER, &["sockets"]).status.code(), Some(5));
    // The command of ExecReload.
    assert!(setting("ExecReload").ends_with("monitorctl config reload"));
    assert!(ctl(DAEMON, DAEMON, &["config", "reload"]).status.success());
    drop(daemon);
}

//! Tests of failures: messages and exit codes.

use std::os::unix::fs::PermissionsExt;
use std::process::Command;

use monitor_tests::skip;

use crate::rpc_common::Server;
use crate::rpc_common::engine_threads::EngineThreads;
use crate::rpc_common::world::{ENDS, world};
use crate::run;

#[test]
fn failures_have_exit_codes_and_messages() {
    let (engines, sockid) = world();
    let (_attended, status) = EngineThreads::start(engines);
    let mut server = Server::start_with(status, |_| {});
    let sockid = sockid.to_string();
    let fails = |server: &Server, args: &[&str], code: i32, word: &str| {
        let output = run(server, args);
        let message = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(code), "{args:?}: {message}");
        assert!(message.contains(word), "{args:?}: {message}");
        assert!(output.stdout.is_empty());
    };
    fails(
        &server,
        &["ppeek", &sockid, "middle", "0"],
        1,
        "bytes received by the client",
    );
    fails(&server, &["ppeek", &sockid, "server", "-1", "1"], 1, "-1");
    fails(&server, &["nothing"], 1, "nothing");
    fails(&server, &["sockets", "--address", "x"], 1, "`address`");
    fails(
        &server,
        &["info", "4503599627370496"],
        3,
        "no connection has the sockid",
    );
    fails(
        &server,
        &["follow", "4503599627370496"],
        3,
        "no connection has the sockid",
    );
    fails(
        &server,
        &["lookup", ENDS.1, ENDS.0],
        3,
        "no connection between these ends",
    );
    fails(
        &server,
        &["ppeek", &sockid, "server", "300000", "1"],
        4,
        "bytes go on at 300100",
    );
    fails(
        &server,
        &["ppeek", &sockid, "server", "300000"],
        4,
        "bytes go on at 300100",
    );
    let help = run(&server, &["--help"]);
    assert!(help.status.success() && String::from_utf8_lossy(&help.stdout).contains("Exit codes"));
    server.stop();
    fails(&server, &["stats"], 2, "sudo monitord");
    std::os::unix::net::UnixListener::bind(&server.socket).unwrap();
    fails(&server, &["stats"], 2, "has exited: start it again");
}

#[test]
fn permission_denied_names_mode_and_group() {
    let (engines, _) = world();
    let server = Server::start(&engines);
    let directory = server.socket.parent().unwrap();
    std::fs::set_permissions(directory, std::fs::Permissions::from_mode(0o755)).unwrap();
    // Root may open every socket: run a copy as uid 65534.
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
    assert!(
        message.contains("mode 0660") && message.contains("group root"),
        "{message}"
    );
}

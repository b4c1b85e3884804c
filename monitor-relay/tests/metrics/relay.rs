//! The relay as a process, read over HTTP.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::Command;

use monitor_tests::{Program, until};
use tempfile::TempDir;

use crate::rpc_common::world::world;
use crate::rpc_common::{PATIENCE, Server};

/// Running relay with settings of its own.
struct Relay {
    program: Program,
    directory: TempDir,
    address: String,
}

impl Relay {
    fn start(socket: &Path) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let unix = directory.path().join("metrics.sock");
        let settings = format!(
            "[monitor]\nsocket = {socket:?}\n[metrics]\nlisten = ['127.0.0.1:0', 'unix:{}']\n",
            unix.display()
        );
        let mut program = Program::start(&mut command(&directory, &settings));
        let address = until("the relay to listen", || {
            let log = program.stderr();
            assert!(program.ended().is_none(), "{log}");
            let ready = log.contains("metrics are at unix:");
            let (_, rest) = log.split_once("http://").filter(|_| ready)?;
            Some(rest.split('/').next()?.to_owned())
        });
        Self {
            program,
            directory,
            address,
        }
    }

    fn get(&self, request: &str) -> String {
        exchange(TcpStream::connect(&self.address).unwrap(), request)
    }

    /// Returns whether the daemon is reported as up.
    fn up(&self) -> bool {
        let text = self.get("GET /metrics HTTP/1.0\r\n\r\n");
        let up = text
            .lines()
            .find_map(|line| line.strip_prefix("monitord_up "));
        up.unwrap() == "1"
    }
}

fn command(directory: &TempDir, settings: &str) -> Command {
    let config = directory.path().join("relay.toml");
    std::fs::write(&config, settings).unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_monitor-relay"));
    command.arg("--config").arg(config);
    command
}

fn exchange(mut stream: impl Read + Write, request: &str) -> String {
    stream.write_all(request.as_bytes()).unwrap();
    let mut text = String::new();
    stream.read_to_string(&mut text).unwrap();
    text
}

#[test]
fn metrics_are_served_over_tcp_and_a_unix_socket_in_the_requested_format() {
    let (engines, _) = world();
    let server = Server::start(&engines);
    let relay = Relay::start(&server.socket);
    let plain = relay.get("GET /metrics HTTP/1.0\r\n\r\n");
    assert!(plain.contains("text/plain; version=0.0.4"), "{plain}");
    assert!(
        plain.contains("# TYPE monitord_tcp_gaps_total counter"),
        "{plain}"
    );
    let unix = relay.directory.path().join("metrics.sock");
    let stream = UnixStream::connect(&unix).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    let accept = "Accept: application/openmetrics-text; version=1.0.0, text/plain;q=0.5\r\n";
    let open = exchange(stream, &format!("GET /metrics HTTP/1.0\r\n{accept}\r\n"));
    assert!(open.contains("application/openmetrics-text"), "{open}");
    assert!(open.contains("# TYPE monitord_tcp_gaps counter"), "{open}");
    assert!(open.ends_with("# EOF\n"), "{open}");
    assert!(relay.get("GET / HTTP/1.0\r\n\r\n").contains(" 404 "));
    assert!(
        relay
            .get("POST /metrics HTTP/1.0\r\n\r\n")
            .contains(" 405 ")
    );
    relay.program.signal(rustix::process::Signal::TERM);
    let finished = relay.program.finish();
    assert!(finished.status.success(), "{}", finished.stderr);
    assert!(!unix.exists(), "the socket file is removed");
}

#[test]
fn a_daemon_that_is_gone_is_down_until_it_is_back() {
    let directory = tempfile::tempdir().unwrap();
    let socket = directory.path().join("monitord.sock");
    let relay = Relay::start(&socket);
    assert!(!relay.up());
    let (engines, _) = world();
    let mut server = Server::start(&engines);
    std::os::unix::fs::symlink(&server.socket, &socket).unwrap();
    until("the daemon to be up", || relay.up().then_some(()));
    server.stop();
    until("the daemon to be down", || (!relay.up()).then_some(()));
    let log = relay.program.stderr();
    assert!(log.contains("monitord is down: cannot connect to"), "{log}");
}

#[test]
fn wrong_settings_are_an_error_that_names_the_key() {
    let directory = tempfile::tempdir().unwrap();
    let wrong = "[metrics]\nlisten = []\nport = 9464\n";
    let finished = Program::start(&mut command(&directory, wrong)).finish();
    assert!(!finished.status.success());
    assert!(finished.stderr.contains("`port`"), "{}", finished.stderr);
    assert!(
        finished.stderr.contains("relay.toml"),
        "{}",
        finished.stderr
    );
}

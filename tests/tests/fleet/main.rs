//! Hosts with real traffic in one fleet, while the server, a relay, or the way between them is gone.

#![expect(
    clippy::unwrap_used,
    reason = "a test says what it expects by unwrapping it"
)]

mod bridge;
mod capture;
mod outages;

use std::fmt::Write as _;
use std::fs;
use std::path::Path;
use std::process::Command;

use monitor_tests::{
    Daemon, Finished, Namespace, NatsServer, Program, monitor_relay, monitorctl, until,
};
use rustix::process::Signal;
use serde_json::Value;
use tempfile::TempDir;

const SETTINGS: &str = "[capture]\ninterfaces = ['veth']\nworkers = 1\n[filter]\nports = [8000]\n\
                        [store]\nwindow = '1MiB'\nmemory = '256MiB'\n";

/// Daemon and relay of a host.
struct Host {
    daemon: Daemon,
    relay: Option<Program>,
    directory: TempDir,
}

impl Host {
    /// Starts the daemon, and writes the settings of the relay. [`Host::start_relay`] starts it.
    fn start(name: &str, namespace: &Namespace, nats: &NatsServer) -> Self {
        Self::of(name, Daemon::start(namespace, SETTINGS), nats)
    }

    /// Writes the settings of the relay of a daemon.
    fn of(name: &str, daemon: Daemon, nats: &NatsServer) -> Self {
        let host = Self {
            daemon,
            relay: None,
            directory: tempfile::tempdir().unwrap(),
        };
        let (socket, spool) = (host.daemon.socket(), host.directory.path().join("spool"));
        let mut settings = format!(
            "[monitor]\nsocket = {socket:?}\n[metrics]\nlisten = []\n\
             [fleet]\nurl = '{}'\nhost = '{name}'\nspool = {spool:?}\n",
            nats.url()
        );
        for (setting, file) in nats.settings(name) {
            writeln!(settings, "{setting} = {file:?}").unwrap();
        }
        fs::write(host.config(), settings).unwrap();
        host
    }

    fn config(&self) -> std::path::PathBuf {
        self.directory.path().join("relay.toml")
    }

    /// Starts the relay by a command that runs it.
    fn start_relay(&mut self, mut command: Command) {
        self.relay = Some(Program::start(command.arg("--config").arg(self.config())));
    }

    /// Waits until the relay's heartbeat is stored.
    fn until_in_the_fleet(&self) {
        until("the relay to be in the fleet", || {
            let log = self.relay.as_ref().unwrap().stderr();
            log.contains("in the fleet as").then_some(())
        });
    }

    fn kill_relay(&mut self) {
        let relay = self.relay.take().unwrap();
        relay.signal(Signal::KILL);
        relay.finish();
    }
}

/// Returns the command of the relay in a namespace.
fn relay_in(namespace: &Namespace) -> Command {
    namespace.command(path(&monitor_relay()))
}

fn path(path: &Path) -> &str {
    path.to_str().unwrap()
}

/// Runs a command of a viewer, to its end.
fn view(mut command: Command, nats: &NatsServer, arguments: &[&str]) -> Finished {
    command.args(["--fleet", &nats.url()]);
    for (setting, file) in nats.settings("viewer") {
        command.arg(format!("--{setting}")).arg(file);
    }
    Program::start(command.args(arguments)).finish()
}

/// Returns the command of a viewer in a namespace.
fn viewer_in(namespace: &Namespace) -> Command {
    namespace.command(path(&monitorctl()))
}

/// Returns objects, one from each line.
fn objects(finished: &Finished) -> Vec<Value> {
    let text = finished.text();
    let lines = text.lines();
    lines
        .map(|line| serde_json::from_str(line).unwrap())
        .collect()
}

/// Returns whether these hosts have heartbeats, and no others.
fn has_hosts(viewer: Command, nats: &NatsServer, names: &[&str]) -> Option<()> {
    let hosts = objects(&view(viewer, nats, &["--json", "hosts"]));
    let found = hosts.iter().map(|host| host["host"].as_str().unwrap());
    found.eq(names.iter().copied()).then_some(())
}

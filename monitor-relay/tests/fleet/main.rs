//! Tests of the fleet: relays as processes between servers of the RPC and a real NATS server.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by a panic")]

#[path = "../../../monitor-daemon/tests/rpc_common/mod.rs"]
mod rpc_common;

mod faults;
mod permissions;
mod queries;
mod records;

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use monitor_relay::fleet::access::Access;
use monitor_relay::fleet::client::Fleet;
use monitor_tests::{NatsServer, Program, until};
use tempfile::TempDir;
use tokio::runtime::Runtime;

/// Running relay.
struct Relay {
    program: Program,
    directory: TempDir,
}

impl Relay {
    /// Starts a relay and waits until it's in the fleet. `more` are further settings of `[fleet]`.
    fn start(socket: &Path, nats: &NatsServer, host: &str, more: &str) -> Self {
        Self::start_in(tempfile::tempdir().unwrap(), socket, nats, host, more)
    }

    fn start_in(
        directory: TempDir,
        socket: &Path,
        nats: &NatsServer,
        host: &str,
        more: &str,
    ) -> Self {
        let mut program = Program::start(&mut command(&directory, socket, &nats.url(), host, more));
        until("the relay to be in the fleet", || {
            assert!(program.ended().is_none(), "{}", program.stderr());
            program.stderr().contains("in the fleet as").then_some(())
        });
        Self { program, directory }
    }

    /// Ends it by SIGKILL; returns its directory.
    fn kill(self) -> TempDir {
        self.program.signal(rustix::process::Signal::KILL);
        self.program.finish();
        self.directory
    }
}

fn command(directory: &TempDir, socket: &Path, url: &str, host: &str, more: &str) -> Command {
    let config = directory.path().join("relay.toml");
    let spool = directory.path().join("spool");
    let settings = format!(
        "[monitor]\nsocket = {socket:?}\n[metrics]\nlisten = []\n\
         [fleet]\nurl = '{url}'\nhost = '{host}'\nspool = {spool:?}\n{more}\n"
    );
    std::fs::write(&config, settings).unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_monitor-relay"));
    command.arg("--config").arg(config);
    command
}

fn runtime() -> Runtime {
    let mut builder = tokio::runtime::Builder::new_multi_thread();
    builder.worker_threads(1).enable_all().build().unwrap()
}

async fn connect(nats: &NatsServer) -> Fleet {
    let access = Access {
        url: nats.url().into(),
        ..Access::default()
    };
    Fleet::connect(&access).await.unwrap()
}

/// Time between two looks at a condition.
const LOOK: Duration = Duration::from_millis(20);

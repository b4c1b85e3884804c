//! The program under test.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use rustix::process::Signal;
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::{Finished, Namespace, Program, Rpc, until};

/// A running monitord with a configuration and a socket of its own. Dropping it kills it and shows its log if the
/// test is failing.
pub struct Daemon {
    // Dropped first: the directory must outlive the process.
    program: Option<Program>,
    dir: TempDir,
}

/// Result of `monitord replay --exit`.
pub struct Replayed {
    /// The JSON object that it printed.
    pub summary: Value,
    /// Its log.
    pub log: String,
}

impl Daemon {
    /// Starts it in a namespace, with settings in TOML; returns when it captures and answers.
    #[must_use]
    #[track_caller]
    pub fn start(namespace: &Namespace, settings: &str) -> Self {
        Self::launch(namespace.command(&path(&monitord())), settings, &[])
    }

    /// Starts it by a command, to which the options are appended, with settings in TOML; returns when it answers.
    #[must_use]
    #[track_caller]
    pub fn start_by(command: Command, settings: &str) -> Self {
        Self::launch(command, settings, &[])
    }

    /// Starts a replay of files, with settings in TOML; returns when it answers, which may be before the files are
    /// done.
    #[must_use]
    #[track_caller]
    pub fn replay(files: &[&Path], settings: &str, options: &[&str]) -> Self {
        let mut command = Command::new(monitord());
        command.arg("replay").args(files);
        Self::launch(command, settings, options)
    }

    /// Starts a replay of a stream, with this standard input.
    #[must_use]
    #[track_caller]
    pub fn replay_stream(argument: &str, stdin: Stdio, options: &[&str]) -> Self {
        let mut command = Command::new(monitord());
        command.args(["replay", argument]);
        Self::launch_with(command, stdin, "", options)
    }

    /// Replays files to their end and lets it exit.
    #[track_caller]
    pub fn replay_and_exit(files: &[&Path], settings: &str) -> Replayed {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let mut command = Command::new(monitord());
        command
            .arg("replay")
            .args(files)
            .arg("--exit")
            .args(common(&dir, settings));
        let finished = Program::run(&mut command);
        let summary = serde_json::from_slice(&finished.stdout)
            .unwrap_or_else(|error| panic!("{error}: not one JSON object: {}", finished.text()));
        assert!(
            !dir.path().join("monitord.sock").exists(),
            "the socket file is removed"
        );
        Replayed {
            summary,
            log: finished.stderr,
        }
    }

    /// Starts the daemon in a place that it must refuse, and returns its output.
    ///
    /// # Panics
    /// When it starts.
    #[must_use]
    #[track_caller]
    pub fn refused(namespace: &Namespace, settings: &str) -> String {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let mut command = namespace.command(&path(&monitord()));
        let finished = Program::start(command.args(common(&dir, settings))).finish();
        assert!(
            !finished.status.success(),
            "it started: {}",
            finished.stderr
        );
        assert!(
            !dir.path().join("monitord.sock").exists(),
            "no socket file is left"
        );
        finished.stderr
    }

    #[track_caller]
    fn launch(command: Command, settings: &str, options: &[&str]) -> Self {
        Self::launch_with(command, Stdio::null(), settings, options)
    }

    #[track_caller]
    fn launch_with(mut command: Command, stdin: Stdio, settings: &str, options: &[&str]) -> Self {
        let dir = tempfile::tempdir().expect("a temporary directory");
        command.args(common(&dir, settings)).args(options);
        let mut daemon = Self {
            program: Some(Program::start_with_stdin(&mut command, stdin)),
            dir,
        };
        until("monitord to answer", || {
            if let Some(status) = daemon.program().ended() {
                panic!("monitord ended: {status}\n{}", daemon.log());
            }
            Rpc::connect(&daemon.socket()).ok()?.answers().then_some(())
        });
        daemon
    }

    fn program(&mut self) -> &mut Program {
        self.program
            .as_mut()
            .expect("it runs until stop() takes it")
    }

    /// Its socket.
    #[must_use]
    pub fn socket(&self) -> PathBuf {
        self.dir.path().join("monitord.sock")
    }

    /// Puts other settings in its file; it does not hear of it by that.
    ///
    /// # Panics
    /// When the disk is full.
    pub fn rewrite(&self, settings: &str) {
        fs::write(self.dir.path().join("config.toml"), settings)
            .expect("room for the configuration");
    }

    /// Returns the number of descriptors that it holds.
    ///
    /// # Panics
    /// When it has ended.
    #[must_use]
    pub fn descriptors(&self) -> usize {
        fs::read_dir(format!("/proc/{}/fd", self.pid()))
            .expect("it runs")
            .count()
    }

    /// A new connection to it.
    ///
    /// # Panics
    /// When it does not listen.
    #[must_use]
    #[track_caller]
    pub fn rpc(&self) -> Rpc {
        Rpc::connect(&self.socket()).expect("the daemon listens")
    }

    /// Returns its log up to now.
    #[must_use]
    pub fn log(&self) -> String {
        self.program
            .as_ref()
            .map(Program::stderr)
            .unwrap_or_default()
    }

    /// Its process id.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.program.as_ref().map(Program::pid).expect("it runs")
    }

    /// Waits until all files are replayed.
    #[track_caller]
    pub fn finished(&self) {
        let mut rpc = self.rpc();
        until("the replay to finish", || {
            (rpc.ok("stats", json!({}))["capture"]["finished"] == true).then_some(())
        });
    }

    /// Stops it by SIGTERM, and asserts that it ends in order.
    ///
    /// # Panics
    /// When it does not.
    #[track_caller]
    pub fn stop(mut self) -> Finished {
        let finished = self.end(Signal::TERM);
        assert!(
            finished.status.success(),
            "{}: {}",
            finished.status,
            finished.stderr
        );
        assert!(!self.socket().exists(), "the socket file is removed");
        assert!(!finished.stderr.contains("panicked"), "{}", finished.stderr);
        finished
    }

    /// Ends it by SIGKILL.
    #[track_caller]
    pub fn kill(mut self) {
        let finished = self.end(Signal::KILL);
        assert!(
            finished.killed_by(Signal::KILL),
            "{}: {}",
            finished.status,
            finished.stderr
        );
    }

    #[track_caller]
    fn end(&mut self, signal: Signal) -> Finished {
        let program = self.program.take().expect("it runs");
        program.signal(signal);
        program.finish()
    }

    /// The BPF programs and links that it holds, by kind and id.
    ///
    /// # Panics
    /// When it has ended.
    #[must_use]
    pub fn bpf(&self) -> Vec<(&'static str, u64)> {
        let files = fs::read_dir(format!("/proc/{}/fdinfo", self.pid())).expect("it runs");
        let mut held = Vec::new();
        for file in files.flatten() {
            // A descriptor closed in between holds nothing.
            let info = fs::read_to_string(file.path()).unwrap_or_default();
            for (field, kind) in [("prog_id:", "prog"), ("link_id:", "link")] {
                let value = info.lines().find_map(|line| line.strip_prefix(field));
                held.extend(
                    value
                        .and_then(|id| id.trim().parse().ok())
                        .map(|id| (kind, id)),
                );
            }
        }
        held
    }

    /// Its resident memory, bytes.
    ///
    /// # Panics
    /// When it has ended.
    #[must_use]
    pub fn resident(&self) -> u64 {
        let status = fs::read_to_string(format!("/proc/{}/status", self.pid())).expect("it runs");
        let line = status
            .lines()
            .find_map(|line| line.strip_prefix("VmRSS:"))
            .expect("VmRSS");
        line.trim()
            .trim_end_matches(" kB")
            .parse::<u64>()
            .expect("a number")
            * 1024
    }
}

/// The daemon to be tested: MONITORD, else the release build of this workspace.
#[must_use]
pub fn monitord() -> PathBuf {
    binary("MONITORD", "monitord")
}

/// Its client: MONITORCTL, else the release build of this workspace.
#[must_use]
pub fn monitorctl() -> PathBuf {
    binary("MONITORCTL", "monitorctl")
}

/// Its relay: MONITOR_RELAY, else the release build of this workspace.
#[must_use]
pub fn monitor_relay() -> PathBuf {
    binary("MONITOR_RELAY", "monitor-relay")
}

fn binary(variable: &str, name: &str) -> PathBuf {
    let path = std::env::var_os(variable).map_or_else(
        || {
            Path::new(env!("CARGO_MANIFEST_DIR"))
                .join("../target/release")
                .join(name)
        },
        PathBuf::from,
    );
    assert!(
        path.is_file(),
        "there is no {}: `cargo xtask test` builds it",
        path.display()
    );
    path
}

fn common(dir: &TempDir, settings: &str) -> Vec<String> {
    let config = dir.path().join("config.toml");
    fs::write(&config, settings).expect("room for the configuration");
    let socket = dir.path().join("monitord.sock");
    vec![
        "--config".to_owned(),
        path(&config),
        "--socket".to_owned(),
        path(&socket),
    ]
}

fn path(path: &Path) -> String {
    path.to_str().expect("a path in UTF-8").to_owned()
}

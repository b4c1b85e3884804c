//! Substitute for the service manager: starts the daemon with its user, its capabilities and its sockets, and receives
//! its notifications.

use std::fs::{self, Permissions};
use std::io;
use std::os::unix::fs::{PermissionsExt as _, chown};
use std::os::unix::net::{UnixDatagram, UnixListener};
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::Duration;

use tempfile::TempDir;

use crate::{DEADLINE, Namespace, Program, monitorctl, monitord, until};

/// User of the daemon, with a group of the same number.
pub const DAEMON: u32 = 61_000;
/// User that is in no group of the daemon.
pub const OTHER: u32 = 61_001;

/// Service manager with one service.
pub struct ServiceManager {
    dir: TempDir,
    notifications: UnixDatagram,
    capabilities: String,
}

/// Parts of the environment that the service manager gives a service.
#[derive(Clone, Copy, Debug, Default)]
pub struct Given {
    /// Passes the listening socket.
    pub socket: bool,
    /// `WATCHDOG_USEC`.
    pub watchdog: Option<Duration>,
    /// Connects standard error with the journal, as far as the service can see.
    pub journal: bool,
}

impl ServiceManager {
    /// Prepares a service with settings in TOML and capabilities like `,+net_raw,+bpf`.
    ///
    /// # Panics
    /// Without root.
    #[must_use]
    pub fn new(settings: &str, capabilities: &str) -> Self {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let mode = |path: &Path, mode| {
            fs::set_permissions(path, Permissions::from_mode(mode)).expect("its own file");
        };
        mode(dir.path(), 0o755);
        // Programs of a build may be unreadable for other users.
        for program in [monitord(), monitorctl()] {
            let name = program.file_name().expect("a file");
            fs::copy(&program, dir.path().join(name)).expect("room for a copy");
        }
        for name in ["run", "etc"] {
            fs::create_dir(dir.path().join(name)).expect("a new directory");
            mode(&dir.path().join(name), 0o755);
        }
        chown(dir.path().join("run"), Some(DAEMON), Some(DAEMON)).expect("root");
        let notify = dir.path().join("notify");
        let notifications = UnixDatagram::bind(&notify).expect("a new socket");
        mode(&notify, 0o666);
        let manager = Self {
            dir,
            notifications,
            capabilities: capabilities.to_owned(),
        };
        manager.configure(settings);
        manager
    }

    /// Writes the settings.
    ///
    /// # Panics
    /// When the disk is full.
    pub fn configure(&self, settings: &str) {
        let path = self.dir.path().join("etc/config.toml");
        fs::write(&path, settings).expect("room for the configuration");
        fs::set_permissions(&path, Permissions::from_mode(0o644)).expect("its own file");
    }

    /// Path of the daemon's socket.
    #[must_use]
    pub fn socket(&self) -> PathBuf {
        self.dir.path().join("run/monitord.sock")
    }

    /// Starts the daemon with further options.
    ///
    /// # Panics
    /// When that fails.
    #[must_use]
    pub fn start(&self, namespace: &Namespace, given: Given, options: &[&str]) -> Program {
        let mut script = String::new();
        let mut stdin = Stdio::null();
        if given.socket {
            let socket = self.socket();
            let listener = UnixListener::bind(&socket).expect("a new socket");
            fs::set_permissions(&socket, Permissions::from_mode(0o660)).expect("its own file");
            chown(&socket, Some(DAEMON), Some(DAEMON)).expect("root");
            stdin = Stdio::from(std::os::fd::OwnedFd::from(listener));
            script += "export LISTEN_FDS=1 LISTEN_PID=$$; exec 3<&0 </dev/null; ";
        }
        if given.journal {
            script += "export JOURNAL_STREAM=$(stat -Lc %d:%i /dev/stderr); ";
        }
        script += "exec \"$@\"";
        let mut command = namespace.command("sh");
        command.args(["-c", &script, "sh"]);
        self.as_user(&mut command, DAEMON, DAEMON, &self.capabilities);
        command.arg(self.dir.path().join("monitord"));
        command
            .arg("--config")
            .arg(self.dir.path().join("etc/config.toml"))
            .arg("--socket")
            .arg(self.socket())
            .args(options)
            .env("NOTIFY_SOCKET", self.dir.path().join("notify"));
        if let Some(time) = given.watchdog {
            command.env("WATCHDOG_USEC", time.as_micros().to_string());
        }
        Program::start_with_stdin(&mut command, stdin)
    }

    /// Appends `setpriv` with a user, a group and capabilities.
    fn as_user(&self, command: &mut Command, user: u32, group: u32, capabilities: &str) {
        command.args(["setpriv", "--no-new-privs", "--clear-groups"]);
        command.args([format!("--reuid={user}"), format!("--regid={group}")]);
        for set in ["inh-caps", "ambient-caps", "bounding-set"] {
            command.arg(format!("--{set}=-all{capabilities}"));
        }
    }

    /// Runs monitorctl as a user without capabilities.
    ///
    /// # Panics
    /// When it cannot be started.
    #[must_use]
    pub fn monitorctl(&self, user: u32, group: u32, args: &[&str]) -> Output {
        let mut command = Command::new("env");
        self.as_user(&mut command, user, group, "");
        command
            .arg(self.dir.path().join("monitorctl"))
            .arg("--socket")
            .arg(self.socket())
            .args(args);
        command.output().expect("setpriv is installed")
    }

    /// Returns the next notification, one assignment a line; `None` if there is none within `time`.
    ///
    /// # Panics
    /// When the socket fails.
    #[must_use]
    pub fn next_within(&self, time: Duration) -> Option<String> {
        let mut text = [0; 4096];
        self.notifications
            .set_read_timeout(Some(time))
            .expect("a time above 0");
        match self.notifications.recv(&mut text) {
            Ok(length) => Some(String::from_utf8_lossy(&text[..length]).into_owned()),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => None,
            Err(error) => panic!("{error}"),
        }
    }

    /// Waits for a notification with this text in it, and returns it.
    ///
    /// # Panics
    /// When there is none after [`DEADLINE`].
    #[track_caller]
    pub fn await_notification(&self, text: &str) -> String {
        until(text, || {
            self.next_within(DEADLINE)
                .filter(|notification| notification.contains(text))
        })
    }
}

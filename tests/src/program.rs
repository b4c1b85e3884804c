//! Servers and clients: real programs, ended by their process id and never left behind.

use std::ffi::OsStr;
use std::fs;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

use crate::{DEADLINE, within};

/// A program that runs beside the test. Dropping it kills it.
pub struct Program {
    name: String,
    child: Child,
    output: Output,
}

/// A program that has ended.
pub struct Finished {
    /// Exit status.
    pub status: ExitStatus,
    /// Standard output.
    pub stdout: Vec<u8>,
    /// Standard error.
    pub stderr: String,
}

/// Files, not pipes: a program that writes much must not wait for the test.
struct Output {
    dir: TempDir,
}

impl Program {
    /// Starts a program.
    ///
    /// # Panics
    /// When it cannot be started.
    #[must_use]
    #[track_caller]
    pub fn start(command: &mut Command) -> Self {
        Self::start_with_stdin(command, Stdio::null())
    }

    /// Starts a program with this standard input.
    ///
    /// # Panics
    /// When it cannot be started.
    #[must_use]
    #[track_caller]
    pub fn start_with_stdin(command: &mut Command, stdin: Stdio) -> Self {
        let name = Path::new(command.get_program())
            .file_name()
            .unwrap_or(command.get_program())
            .to_string_lossy()
            .into_owned();
        let output = Output {
            dir: tempfile::tempdir().expect("a temporary directory"),
        };
        let file =
            |path: PathBuf| fs::File::create(path).expect("a file in the temporary directory");
        let child = command
            .stdin(stdin)
            .stdout(file(output.stdout()))
            .stderr(file(output.stderr()))
            .spawn()
            .unwrap_or_else(|error| panic!("cannot start {command:?}: {error}"));
        Self {
            name,
            child,
            output,
        }
    }

    /// Runs a program to its end.
    ///
    /// # Panics
    /// When it fails, or takes longer than [`crate::DEADLINE`].
    #[track_caller]
    pub fn run(command: &mut Command) -> Finished {
        let finished = Self::start(command).finish();
        assert!(
            finished.status.success(),
            "{command:?}: {}\n{}{}",
            finished.status,
            finished.stderr,
            String::from_utf8_lossy(&finished.stdout)
        );
        finished
    }

    /// Its process id.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Returns its standard error up to now.
    #[must_use]
    pub fn stderr(&self) -> String {
        text(self.output.stderr())
    }

    /// Returns its standard output up to now.
    #[must_use]
    pub fn stdout(&self) -> Vec<u8> {
        fs::read(self.output.stdout()).unwrap_or_default()
    }

    /// Returns its exit status, or `None` while it runs.
    pub fn ended(&mut self) -> Option<ExitStatus> {
        self.child.try_wait().expect("its own child")
    }

    /// Sends it a signal.
    pub fn signal(&self, signal: Signal) {
        let pid = i32::try_from(self.child.id())
            .ok()
            .and_then(Pid::from_raw)
            .expect("a process id");
        // It may have ended by itself; `wait` reports the status.
        let _ = kill_process(pid, signal);
    }

    /// Waits for its end.
    ///
    /// # Panics
    /// When that takes longer than [`crate::DEADLINE`].
    #[track_caller]
    pub fn finish(self) -> Finished {
        self.finish_within(DEADLINE)
    }

    /// Waits for its end with a deadline of its own.
    ///
    /// # Panics
    /// When that takes longer.
    #[track_caller]
    pub fn finish_within(mut self, time: Duration) -> Finished {
        let name = self.name.clone();
        let status = within(time, &format!("{name} to end"), || self.ended());
        Finished {
            status,
            stdout: self.stdout(),
            stderr: self.stderr(),
        }
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        if self.ended().is_none() {
            // Both fail only when it has just ended.
            let _ = self.child.kill();
            let _ = self.child.wait();
        }
        if std::thread::panicking() {
            eprintln!("--- {} wrote:\n{}", self.name, self.stderr());
        }
    }
}

impl Finished {
    /// Standard output as text.
    #[must_use]
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.stdout).into_owned()
    }

    /// Returns whether this signal ended it.
    #[must_use]
    pub fn killed_by(&self, signal: Signal) -> bool {
        self.status.signal() == Some(signal.as_raw())
    }
}

impl Output {
    fn stdout(&self) -> PathBuf {
        self.dir.path().join("stdout")
    }

    fn stderr(&self) -> PathBuf {
        self.dir.path().join("stderr")
    }
}

/// Returns whether a program is installed.
#[must_use]
pub fn have(program: &str) -> bool {
    let sbin = [Path::new("/usr/sbin"), Path::new("/sbin")].map(Path::to_owned);
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path)
        .chain(sbin)
        .any(|dir| dir.join(program).is_file())
}

fn text(path: impl AsRef<OsStr>) -> String {
    String::from_utf8_lossy(&fs::read(Path::new(path.as_ref())).unwrap_or_default()).into_owned()
}

//! C programs that use the library for C.

use std::path::PathBuf;
use std::process::Command;

use tempfile::TempDir;

use crate::{Program, monitorctl};

/// A compiled program; gone when this is dropped.
pub struct CProgram {
    dir: TempDir,
}

impl CProgram {
    /// Compiles a source of this checkout as README.md does it: warnings are errors.
    #[must_use]
    #[track_caller]
    pub fn compile(source: &str) -> Self {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let root = concat!(env!("CARGO_MANIFEST_DIR"), "/..");
        let mut cc = Command::new("cc");
        cc.args([
            "-std=c11",
            "-D_POSIX_C_SOURCE=200809L",
            "-Wall",
            "-Wextra",
            "-Wpedantic",
            "-Werror",
        ])
        .args(["-I", "clients/c", source, "-L"])
        .arg(Self::library())
        .args(["-lmonitor_mos", "-o"])
        .arg(dir.path().join("program"))
        .current_dir(root);
        Program::run(&mut cc);
        Self { dir }
    }

    /// Directory of the library: that of the programs.
    fn library() -> PathBuf {
        let mut path = monitorctl();
        path.pop();
        assert!(
            path.join("libmonitor_mos.so").is_file(),
            "there is no libmonitor_mos.so: `cargo xtask test` builds it"
        );
        path
    }

    /// To run it, with a daemon's socket.
    #[must_use]
    pub fn command(&self, socket: &std::path::Path) -> Command {
        let mut command = Command::new(self.dir.path().join("program"));
        command
            .env("LD_LIBRARY_PATH", Self::library())
            .env("MONITOR_SOCKET", socket);
        command
    }
}

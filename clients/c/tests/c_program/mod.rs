//! C programs of these tests: compilation against the header and the library, and runs.

#![allow(dead_code, reason = "no test needs all of it")]
#![allow(
    clippy::unwrap_used,
    reason = "a test says what it expects by unwrapping it"
)]

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use tempfile::TempDir;

/// Compiles a C program of this directory, linked as `options` say.
pub fn compile(name: &str, options: &[&str]) -> (TempDir, PathBuf) {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    let directory = tempfile::tempdir().unwrap();
    let program = directory.path().join(name);
    let output = Command::new("cc")
        .args([
            "-std=c11",
            "-D_POSIX_C_SOURCE=200809L",
            "-Wall",
            "-Wextra",
            "-Wpedantic",
            "-Werror",
            "-O1",
        ])
        .arg("-I")
        .arg(here)
        .arg(here.join("tests").join(format!("{name}.c")))
        .arg("-o")
        .arg(&program)
        .args(options)
        .output()
        .unwrap();
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    (directory, program)
}

/// Returns cargo's directory of the libraries: that of this test.
pub fn libraries() -> PathBuf {
    std::env::current_exe()
        .unwrap()
        .parent()
        .unwrap()
        .to_path_buf()
}

/// Compiles a program that finds the shared library.
pub fn compile_shared(name: &str) -> (TempDir, PathBuf) {
    let libraries = libraries();
    let libraries = libraries.to_str().unwrap();
    compile(
        name,
        &[
            "-L",
            libraries,
            "-lmonitor_mos",
            "-lpthread",
            &format!("-Wl,-rpath,{libraries}"),
        ],
    )
}

pub fn command(program: &Path, socket: &Path, check: &str) -> Command {
    let mut command = Command::new(program);
    command.arg(check).env("MONITOR_SOCKET", socket);
    command
}

#[track_caller]
pub fn passed(output: &Output) {
    assert!(
        output.status.success(),
        "{}: {}",
        output.status,
        String::from_utf8_lossy(&output.stderr)
    );
}

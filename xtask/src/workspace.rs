//! Paths in this checkout.

use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context, Result};

use crate::command::read;

/// The checkout's top directory.
pub fn root() -> PathBuf {
    let xtask = PathBuf::from(env!("CARGO_MANIFEST_DIR"));
    xtask.parent().map_or_else(|| xtask.clone(), PathBuf::from)
}

/// Programs that set-up compiled for this checkout alone. Outside `target/`, so that `cargo clean` does not cost
/// their compilation again, and outside the person's own `~/.cargo/bin`.
pub fn tools() -> PathBuf {
    root().join(".tools")
}

/// Names of the compiled BPF objects.
pub const BPF_OBJECTS: [&str; 3] = ["monitor-ebpf", "monitor-ebpf-socket", "monitor-ebpf-bench"];

/// Returns the directory of the compiled BPF objects, where the daemon's build script reads them.
pub fn bpf_objects() -> PathBuf {
    root().join("target/bpf")
}

/// Returns the target directory of `cargo build`: `target`, unless the user's settings name
/// another.
pub fn target() -> Result<PathBuf> {
    if let Some(directory) = std::env::var_os("CARGO_TARGET_DIR") {
        return Ok(root().join(directory));
    }
    let metadata = read(cargo().args(["metadata", "--format-version=1", "--no-deps"]))?;
    let key = "\"target_directory\":\"";
    let start = metadata
        .find(key)
        .context("cargo metadata names no target directory")?
        + key.len();
    let end = metadata[start..]
        .find('"')
        .context("cargo metadata names no target directory")?;
    Ok(PathBuf::from(&metadata[start..start + end]))
}

/// The cargo that runs this program, at the top of the checkout.
pub fn cargo() -> Command {
    let mut command = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command.current_dir(root());
    command
}

/// A path as a person types it: relative to where they stand, when it is below.
pub fn display(path: &std::path::Path) -> String {
    let here = std::env::current_dir().unwrap_or_default();
    path.strip_prefix(&here)
        .unwrap_or(path)
        .display()
        .to_string()
}

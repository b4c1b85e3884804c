//! `demo`: a web server, a client and the daemon between them, removed at the end of the
//! demonstration.
//!
//! It runs in a process, a network and a mount namespace of its own. When the first process inside
//! ends, for any reason, the kernel kills all others and removes the namespaces: interfaces,
//! sockets and files in memory with them. Nothing has to be cleaned up, so nothing can be left
//! behind.

mod network;
mod show;
mod stage;

use anyhow::{Context, Result, bail};

use crate::build::{self, Programs};
use crate::privilege::Privilege;
use crate::setup::Purpose;

/// Arguments of the part inside the namespaces.
#[derive(clap::Args)]
pub struct Inside {
    /// Directory of the programs.
    directory: std::path::PathBuf,
}

/// The first process of the namespace: the kernel passes it no signal that it has not asked for, so it asks.
const FIRST_PROCESS: &str = r#"trap 'exit 130' INT TERM HUP; "$@" & wait $!"#;

/// `cargo xtask demo`.
pub fn verb() -> Result<()> {
    build::everything(Purpose::Demo)?;
    let mut command = Privilege::detect().command("unshare").context(
        "the demonstration needs root: it makes network namespaces and loads BPF programs",
    )?;
    command.args([
        "--net",
        "--mount",
        "--pid",
        "--fork",
        "--kill-child",
        "--mount-proc",
    ]);
    command
        .args(["sh", "-c", FIRST_PROCESS, "demo"])
        .arg(std::env::current_exe()?)
        .arg("demo-inside");
    let status = command
        .arg(build::directory()?)
        .status()
        .context("cannot start unshare")?;
    match status.code() {
        Some(0) => Ok(()),
        Some(130) => bail!("interrupted; all that the demonstration made is gone"),
        _ => bail!("the demonstration failed; all that it made is gone"),
    }
}

/// The part inside.
pub fn inside(arguments: &Inside) -> Result<()> {
    let programs = Programs::in_directory(&arguments.directory);
    // Run by hand, outside of namespaces of its own, it would cover the host's /run.
    let own = std::fs::read_link("/proc/1/ns/pid")? == std::fs::read_link("/proc/self/ns/pid")?;
    let first = std::fs::read_to_string("/proc/1/cmdline")?;
    if !own || !first.contains("demo-inside") {
        bail!("this is a part of `cargo xtask demo`; run that");
    }
    stage::play(&programs)
}

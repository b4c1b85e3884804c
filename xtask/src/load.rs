//! `build-and-load`: from a checkout to a running daemon.

use std::os::unix::process::CommandExt;
use std::path::PathBuf;

use anyhow::{Context, Result, anyhow};

use crate::build;
use crate::command::show;
use crate::privilege::{Privilege, is_root};
use crate::setup::Purpose;
use crate::workspace::{display, root};

/// Arguments of `build-and-load`.
#[derive(clap::Args)]
pub struct Arguments {
    /// Settings of the daemon.
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Further arguments for monitord.
    #[arg(last = true, value_name = "ARGUMENTS")]
    arguments: Vec<String>,
}

/// `cargo xtask build-and-load`: becomes the daemon when all is built.
pub fn verb(arguments: &Arguments) -> Result<()> {
    let programs = build::everything(Purpose::Run)?;
    let config = arguments
        .config
        .clone()
        .unwrap_or_else(|| root().join("config.toml"));
    let mut daemon = Privilege::detect()
        .command(&programs.monitord)
        .with_context(|| {
            format!(
                "capturing needs root; run: su -c '{} --config {}'",
                programs.monitord.display(),
                config.display()
            )
        })?;
    daemon
        .arg("--config")
        .arg(&config)
        .args(&arguments.arguments);
    // The socket belongs to root, as the daemon does.
    let sudo = if is_root() { "" } else { "sudo " };
    let monitorctl = format!("{sudo}{}", display(&programs.monitorctl));
    eprintln!("Built. In a second terminal, look at the connections that it sees:");
    eprintln!("    {monitorctl} sockets");
    eprintln!("    {monitorctl} ppeek SOCKID server 0 1000");
    eprintln!("Ctrl-C here ends the daemon.");
    show(&daemon);
    Err(anyhow!(daemon.exec()).context("cannot start monitord"))
}

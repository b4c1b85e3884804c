//! `bench`: the monitor beside its peers and its baselines, measured in one run.
//!
//! The measurements are in `bench/`; this builds it, and the monitor as it is shipped.

use std::path::PathBuf;
use std::process::{Command, ExitCode};

use anyhow::{Context, Result};

use crate::build;
use crate::command::{run, show};
use crate::privilege::Privilege;
use crate::setup::Purpose;
use crate::workspace::{cargo, root, target};

/// Arguments of `bench`.
#[derive(clap::Args)]
pub struct Arguments {
    /// Groups (`engine`) or single benchmarks (`engine.bulk`); all by default.
    #[arg(value_name = "BENCHMARK")]
    benchmarks: Vec<String>,
    /// Number of runs of each program; medians are shown.
    #[arg(long, default_value_t = 5)]
    repeat: usize,
    /// Write the result there as JSON too.
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
}

/// `cargo xtask bench`. The last line of all output is `N held, N missed, N skipped`; the exit code
/// is 1 if a threshold was missed.
pub fn verb(arguments: &Arguments) -> Result<ExitCode> {
    let programs = build::everything(Purpose::Bench)?;
    run(cargo().args(["build", "--release", "--locked", "--package=monitor-bench"]))?;
    let target = target()?;
    // Namespaces and AF_XDP need root; without it those benchmarks are skipped by name.
    let bench = target.join("release/monitor-bench");
    let mut command = match Privilege::detect() {
        Privilege::Sudo => {
            let mut command = Command::new("sudo");
            command
                .arg("env")
                .arg(format!("MONITORD={}", programs.monitord.display()))
                .arg(format!("MONITORCTL={}", programs.monitorctl.display()))
                .arg(&bench);
            command
        }
        Privilege::Root | Privilege::None => Command::new(&bench),
    };
    command
        .current_dir(root())
        .env("MONITORD", &programs.monitord)
        .env("MONITORCTL", &programs.monitorctl);
    command
        .args(&arguments.benchmarks)
        .arg("--repeat")
        .arg(arguments.repeat.to_string());
    command.arg("--directory").arg(target.join("bench"));
    if let Some(json) = &arguments.json {
        command
            .arg("--json")
            .arg(std::path::absolute(json).context("no such path")?);
    }
    show(&command);
    let status = command.status().context("cannot start the benchmarks")?;
    Ok(if status.success() {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

//! The verb `doctor`: checks of the host, with the command that solves each problem.
//!
//! It reads /proc and /sys, asks `ip` and `ethtool`, and changes nothing. It attaches no program, so native and zero-copy
//! XDP are judged by the driver.

mod host;
mod interface;
mod report;
mod system;
mod target;
#[cfg(test)]
mod tests;

use std::io::Write;
use std::path::{Path, PathBuf};

use crate::failure::Failure;
use report::{Level, Report};
use system::System;
use target::Target;

/// The capture to check.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Interfaces to check in place of those of the settings
    #[arg(value_name = "INTERFACE")]
    interfaces: Vec<String>,
    /// Check the settings of this file
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
}

pub fn doctor(
    out: &mut impl Write,
    socket: &Path,
    is_json: bool,
    args: &Args,
) -> Result<(), Failure> {
    let mut report = Report::default();
    let mut target = Target::find(socket, args.config.as_deref(), &mut report)?;
    if !args.interfaces.is_empty() {
        target.interfaces.clone_from(&args.interfaces);
    }
    examine(&System::new(), &target, &mut report);
    if is_json {
        serde_json::to_writer(&mut *out, &report)?;
        writeln!(out)?;
    } else {
        report.print(out)?;
    }
    match report.count(Level::Problem) {
        0 => Ok(()),
        problems => {
            out.flush()?;
            Err(Failure::Problems(problems))
        }
    }
}

fn examine(system: &System, target: &Target, report: &mut Report) {
    let against = host::check(system, target, report);
    for name in &target.interfaces {
        interface::check(system, target, name, &against, report);
    }
}

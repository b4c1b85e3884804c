//! Context of the benchmarks: their captures, and the parts that run in processes of their own.

use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context as _, Result};

use crate::measure;
use crate::report::Report;
use crate::workload::Workload;

/// Benchmark with its own measurement.
#[derive(Clone, Copy)]
pub struct Benchmark {
    /// `group.name`.
    pub name: &'static str,
    /// Measures it; its name is passed on for the report.
    pub measure: fn(&Context, &str, &mut Report) -> Result<()>,
}

/// Context shared by the benchmarks.
pub struct Context {
    /// Number of runs of each program.
    pub repeat: usize,
    /// Directory of the captures.
    pub directory: PathBuf,
}

impl Context {
    /// Returns the path of this program.
    #[expect(clippy::unused_self, reason = "kept with its siblings")]
    pub fn program(&self) -> Result<PathBuf> {
        std::env::current_exe().context("cannot find this program")
    }

    /// Returns the command of a part of this program.
    pub fn part(&self, words: &[&str]) -> Result<Command> {
        let mut command = Command::new(self.program()?);
        command.args(words).arg("--directory").arg(&self.directory);
        Ok(command)
    }

    /// Returns a capture's file, and makes it if need be.
    pub fn capture(&self, workload: Workload) -> Result<PathBuf> {
        let file = workload.file(&self.directory);
        if !file.exists() {
            measure::run(&mut self.part(&["make", workload.name()])?)?;
        }
        Ok(file)
    }
}

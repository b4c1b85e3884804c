//! `test`: every test that this machine can run, and one line that says how it went.

mod report;

use std::fs;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Command, ExitCode, Stdio};
use std::time::Instant;

use anyhow::{Context, Result, bail};

use self::report::Report;
use crate::build::{self, Programs};
use crate::command::show;
use crate::setup::Purpose;
use crate::workspace::{cargo, target};

/// The package of the end-to-end tests.
const END_TO_END: &str = "monitor-tests";

/// The tests of the engine that a model checker runs.
const INTERLEAVINGS: &str = "interleavings";

/// Names the file that a test which cannot run here appends its name and reason to: `name: reason`, one line.
const SKIP_LOG: &str = "MONITOR_SKIP_LOG";

/// Arguments of `test`.
#[derive(clap::Args, Default)]
pub struct Arguments {
    /// Run only tests with this in their names.
    filter: Option<String>,
    /// Leave out the end-to-end tests: namespaces, real servers and clients, the real daemon.
    #[arg(long)]
    no_e2e: bool,
}

/// `cargo xtask test`. The last line of all output is `N passed, N failed, N skipped`; the exit
/// code is 1 on a failure.
pub fn verb(arguments: &Arguments) -> Result<ExitCode> {
    let started = Instant::now();
    let programs = build::everything(Purpose::Test)?;
    let skip_log = target()?.join("skipped-tests.txt");
    fs::write(&skip_log, "").context("cannot write to the target directory")?;

    let mut report = Report::default();
    run_tests(&mut units(), arguments, &skip_log, &mut report)?;
    if arguments
        .filter
        .as_deref()
        .is_none_or(|filter| INTERLEAVINGS.contains(filter))
    {
        run_tests(
            &mut interleavings(),
            &Arguments::default(),
            &skip_log,
            &mut report,
        )?;
    }
    if arguments.no_e2e {
        eprintln!("The end-to-end tests are left out (--no-e2e).");
    } else {
        run_tests(
            &mut end_to_end(&programs),
            arguments,
            &skip_log,
            &mut report,
        )?;
    }
    report.add_skipped(
        &fs::read_to_string(&skip_log).context("cannot read the names of skipped tests")?,
    );
    report.print(started.elapsed());
    exit_code(&report, arguments.filter.as_deref())
}

/// Returns the exit code of a run. A filter that selects no test is an error.
fn exit_code(report: &Report, filter: Option<&str>) -> Result<ExitCode> {
    if let Some(filter) = filter
        && report.is_empty()
    {
        bail!("no test has `{filter}` in its name; run `cargo xtask test` for all of them");
    }
    Ok(if report.failed() == 0 {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

/// Unit, property, engine and RPC tests: in parallel, they share nothing.
fn units() -> Command {
    let mut command = cargo();
    command.args([
        "test",
        "--locked",
        "--no-fail-fast",
        "--workspace",
        "--exclude",
        END_TO_END,
    ]);
    command
}

/// The store's hand-over between its writer and its readers, by the model checker loom. A run of its own: the engine is
/// compiled on the checker's atomics, with which nothing else works.
fn interleavings() -> Command {
    let mut command = cargo();
    command.args([
        "test",
        "--locked",
        "--no-fail-fast",
        "--package",
        "monitor-engine",
        "--lib",
    ]);
    command.args(["--features", "loom", INTERLEAVINGS]);
    command
}

/// Builds the command of the end-to-end tests, which run one at a time. Each moves traffic at full
/// speed, with a daemon that has a thread on every core; side by side they would measure each
/// other.
fn end_to_end(programs: &Programs) -> Command {
    let mut command = cargo();
    command.args([
        "test",
        "--locked",
        "--no-fail-fast",
        "--package",
        END_TO_END,
    ]);
    command
        .env("MONITORD", &programs.monitord)
        .env("MONITORCTL", &programs.monitorctl)
        .env("MONITOR_RELAY", &programs.relay)
        .env("RUST_TEST_THREADS", "1");
    command
}

/// Runs the tests, their output passed on line by line and counted.
fn run_tests(
    command: &mut Command,
    arguments: &Arguments,
    skip_log: &Path,
    report: &mut Report,
) -> Result<()> {
    command.args(&arguments.filter);
    show(command);
    let mut child = command
        .env(SKIP_LOG, skip_log)
        .stdout(Stdio::piped())
        .spawn()
        .context("cannot start cargo")?;
    let output = child.stdout.take().context("cargo has no output")?;
    let counted = report.results();
    for line in BufReader::new(output).split(b'\n') {
        let line = line.context("cannot read what the tests print")?;
        let line = String::from_utf8_lossy(&line);
        println!("{line}");
        report.read(&line);
    }
    let status = child.wait().context("cannot wait for cargo")?;
    if report.results() == counted && !status.success() {
        bail!("the tests do not compile");
    }
    report.end_of_run(status.success());
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_filter_that_selects_no_test_is_an_error() {
        let mut report = Report::default();
        let error = exit_code(&report, Some("no such name")).unwrap_err();
        assert!(error.to_string().contains("`no such name`"), "{error}");
        report.read("test result: ok. 0 passed; 0 failed; 0 ignored; 0 measured; 99 filtered out");
        assert!(exit_code(&report, Some("no such name")).is_err());
        report.read("test result: ok. 1 passed; 0 failed; 0 ignored; 0 measured; 9 filtered out");
        assert_eq!(
            exit_code(&report, Some("name")).ok(),
            Some(ExitCode::SUCCESS)
        );
    }
}

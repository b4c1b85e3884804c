//! `cargo xtask`: sets up, builds, loads and tests the monitor. The only build tool that a contributor needs.
//!
//! A file for each verb. Every command that changes the machine is shown before it runs.

mod bench;
mod build;
mod command;
mod demo;
mod fuzz;
mod kernels;
mod load;
mod package;
mod privilege;
mod setup;
mod test;
mod tidy;
mod workspace;

use std::process::ExitCode;

use anyhow::Result;
use clap::{Parser, Subcommand};

fn main() -> ExitCode {
    match run(Arguments::parse().verb) {
        Ok(code) => code,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(verb: Verb) -> Result<ExitCode> {
    match verb {
        Verb::Setup => setup::verb()?,
        Verb::BuildEbpf => build::verb()?,
        Verb::BuildAndLoad(arguments) => load::verb(&arguments)?,
        Verb::Test(arguments) => return test::verb(&arguments),
        Verb::Demo => demo::verb()?,
        Verb::DemoInside(arguments) => demo::inside(&arguments)?,
        Verb::Bench(arguments) => return bench::verb(&arguments),
        Verb::Fuzz(arguments) => fuzz::verb(&arguments)?,
        Verb::Tidy => tidy::verb()?,
        Verb::Ci => {
            tidy::verb()?;
            fuzz::verb(&fuzz::Arguments::short())?;
            return test::verb(&test::Arguments::default());
        }
        Verb::Package => package::verb()?,
        Verb::TestKernels(arguments) => return kernels::verb(&arguments),
    }
    Ok(ExitCode::SUCCESS)
}

/// Builds, loads and tests the TCP stream monitor.
#[derive(Parser)]
#[command(bin_name = "cargo xtask", disable_help_subcommand = true)]
struct Arguments {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Subcommand)]
enum Verb {
    /// See it work: a web server, a client, and their connection read live. Needs root.
    Demo,
    /// Set up, build everything, run monitord in the foreground (tap on lo by default).
    BuildAndLoad(load::Arguments),
    /// Set up, build everything, run every test that this machine can run.
    Test(test::Arguments),
    /// Test the daemon on other kernels and network cards, in virtual machines.
    TestKernels(kernels::Arguments),
    /// Build the Debian package: target/package/monitord_*.deb.
    Package,
    /// Install the requirements of building and testing; a second run does nothing.
    Setup,
    /// Compile the BPF programs to target/bpf/monitor-ebpf.
    BuildEbpf,
    /// Measure the monitor beside its peers and its baselines.
    Bench(bench::Arguments),
    /// Run the fuzz targets, or one of them, for some seconds each.
    Fuzz(fuzz::Arguments),
    /// Check the project's rules: formatting, lints, documentation, directions of imports, language.
    Tidy,
    /// The checks that a change must pass: tidy, then test.
    Ci,
    /// The part of the demo that runs in namespaces of its own.
    #[command(hide = true)]
    DemoInside(demo::Inside),
}

//! `fuzz`: runs the fuzz targets, one after another, each for a number of seconds. `receiver` is a target of its own: random
//! scripts for real sockets of the running kernel, which the monitor must read as their applications do.
//!
//! Results are in fuzz/corpus (not kept), first inputs in fuzz/seeds (kept, small). No sanitizer:
//! the code is safe Rust except for the store's arena, and no sanitizer checks its memory. Overflow
//! checks and debug assertions are on, and the compiler is the stable one. The layout is
//! cargo-fuzz's, which works here as well; it isn't needed, so nothing has to be installed.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};

use crate::build;
use crate::command::{read, run};
use crate::setup::{self, Purpose};
use crate::workspace::{cargo, root};

/// libFuzzer's instrumentation, as cargo-fuzz asks for it (LLVM, SanitizerCoverage).
const INSTRUMENTATION: [&str; 7] = [
    "-Cpasses=sancov-module",
    "-Cllvm-args=-sanitizer-coverage-level=4",
    "-Cllvm-args=-sanitizer-coverage-inline-8bit-counters",
    "-Cllvm-args=-sanitizer-coverage-pc-table",
    "-Cllvm-args=-sanitizer-coverage-trace-compares",
    "--cfg=fuzzing",
    "-Cdebug-assertions",
];

/// Arguments of `fuzz`.
#[derive(clap::Args)]
pub struct Arguments {
    /// A target, or `all`: decode, defrag, reference, flows, attach, pcap, pcapng, rpc, config, filter. Or `receiver` (needs root),
    /// which isn't part of `all`.
    #[arg(default_value = "all")]
    target: String,
    /// Duration of each target, seconds (default: 60; `receiver` runs until it is stopped).
    seconds: Option<u64>,
    /// Seed of the random inputs: the same one tries the same inputs, as long as the code is the same.
    #[arg(long, default_value_t = 0, hide_default_value = true)]
    seed: u32,
}

/// Duration of a target, seconds.
const SECONDS: u64 = 60;

/// Target that compares the monitor with the running kernel.
const RECEIVER: &str = "receiver";

impl Arguments {
    /// The short run of `ci`. Its inputs are the same on every machine: a change fails for its own faults only.
    pub fn short() -> Self {
        Self {
            target: "all".to_owned(),
            seconds: Some(5),
            seed: 1,
        }
    }
}

/// `cargo xtask fuzz [TARGET] [SECONDS]`.
///
/// # Errors
/// At the first input that a target fails on; the message says how to run it again.
pub fn verb(arguments: &Arguments) -> Result<()> {
    if arguments.target == RECEIVER {
        return receiver(arguments.seconds);
    }
    let seconds = arguments.seconds.unwrap_or(SECONDS);
    let all = targets()?;
    let chosen: Vec<&String> = match arguments.target.as_str() {
        "all" => all.iter().collect(),
        one => all.iter().filter(|target| *target == one).collect(),
    };
    if chosen.is_empty() {
        bail!(
            "there is no fuzz target `{}`; there are: {}, {RECEIVER}",
            arguments.target,
            all.join(", ")
        );
    }
    setup::ensure(Purpose::Fuzz)?;
    let binaries = build_targets(&chosen)?;
    for target in &chosen {
        fuzz(&binaries, target, seconds, arguments.seed)?;
    }
    eprintln!(
        "{} fuzz targets ran {seconds} s each and found nothing.",
        chosen.len(),
    );
    Ok(())
}

/// Runs scripts until one differs.
fn receiver(seconds: Option<u64>) -> Result<()> {
    let programs = build::everything(Purpose::Test)?;
    let mut command = cargo();
    command
        .args(["test", "--locked", "--package=monitor-tests"])
        .args(["--test=receiver", "--", "--ignored", "--nocapture"])
        .env("MONITORD", &programs.monitord)
        .env("MONITORCTL", &programs.monitorctl);
    if let Some(seconds) = seconds {
        command.env("MONITOR_RECEIVER_SECONDS", seconds.to_string());
    }
    run(&mut command).context("monitor and kernel differ; MONITOR_RECEIVER_SEED repeats a seed")
}

/// Returns the names of the targets in fuzz/Cargo.toml.
fn targets() -> Result<Vec<String>> {
    let manifest = fs::read_to_string(root().join("fuzz/Cargo.toml"))
        .context("cannot read fuzz/Cargo.toml")?;
    let bins = manifest.split("[[bin]]").skip(1);
    let mut names = Vec::new();
    for bin in bins {
        let name = bin.lines().find_map(|line| line.strip_prefix("name = "));
        names.extend(name.map(|name| name.trim_matches('"').to_owned()));
    }
    Ok(names)
}

/// Compiles targets; returns the directory that they are in.
fn build_targets(targets: &[&String]) -> Result<PathBuf> {
    // Named, although it is this machine's own: only then are build scripts spared the flags.
    let triple = read(Command::new("rustc").args(["--print", "host-tuple"]))?
        .trim()
        .to_owned();
    let directory = root().join("fuzz/target");
    let mut command = cargo();
    command.env("RUSTFLAGS", INSTRUMENTATION.join(" "));
    command
        .args(["build", "--release", "--locked", "--manifest-path"])
        .arg(root().join("fuzz/Cargo.toml"));
    command
        .args(["--target", &triple, "--target-dir"])
        .arg(&directory);
    command.args(targets.iter().map(|target| format!("--bin={target}")));
    run(&mut command).context("the fuzz targets do not compile")?;
    Ok(directory.join(triple).join("release"))
}

fn fuzz(binaries: &Path, target: &str, seconds: u64, seed: u32) -> Result<()> {
    let place = |kind: &str| format!("fuzz/{kind}/{target}");
    let (corpus, seeds, artifacts) = (place("corpus"), place("seeds"), place("artifacts"));
    for made in [&corpus, &artifacts] {
        fs::create_dir_all(root().join(made)).with_context(|| format!("cannot make {made}"))?;
    }
    let mut command = Command::new(binaries.join(target));
    command.current_dir(root()).arg(&corpus);
    if root().join(&seeds).is_dir() {
        command.arg(&seeds);
    }
    // An input that takes longer, or more memory, is a finding too: nothing here may.
    command.args([
        &format!("-max_total_time={seconds}"),
        // 0: another one each time.
        &format!("-seed={seed}"),
        "-timeout=20",
        "-rss_limit_mb=1024",
    ]);
    command.args([
        &format!("-artifact_prefix={artifacts}/"),
        "-max_len=8192",
        "-print_final_stats=1",
    ]);
    let again = format!("`{} FILE` repeats it", binaries.join(target).display());
    run(&mut command).with_context(|| format!("{target} fails on an input in {artifacts}; {again}"))
}

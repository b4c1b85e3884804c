//! `fuzz`: runs the fuzz targets, one after another, each for so many seconds.
//!
//! What was found lies in fuzz/corpus (not kept), what it started from in fuzz/seeds (kept, small). No sanitizer: the
//! code is safe Rust but for the store's arena, whose memory none of them watches; overflow checks and debug
//! assertions are on, and the compiler is the stable one.

use std::fs;
use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context, Result, bail};

use crate::command::{find, run};
use crate::workspace::{cargo, root, tools};

/// Installed when there is none on `PATH`.
const CARGO_FUZZ: &str = "0.13.2";

/// What `fuzz` takes.
#[derive(clap::Args)]
pub struct Arguments {
    /// A target, or `all`: decode, defrag, twin, flows, pcap, pcapng, rpc, config.
    #[arg(default_value = "all")]
    target: String,
    /// How long each target runs.
    #[arg(default_value_t = 60)]
    seconds: u64,
}

/// `cargo xtask fuzz [TARGET] [SECONDS]`.
///
/// # Errors
/// At the first input that a target fails on; the message says how to run it again.
pub fn verb(arguments: &Arguments) -> Result<()> {
    let all = targets()?;
    let chosen: Vec<&String> = match arguments.target.as_str() {
        "all" => all.iter().collect(),
        one => all.iter().filter(|target| *target == one).collect(),
    };
    if chosen.is_empty() {
        bail!("there is no fuzz target `{}`; there are: {}", arguments.target, all.join(", "));
    }
    let cargo_fuzz = cargo_fuzz()?;
    for target in &chosen {
        fuzz(&cargo_fuzz, target, arguments.seconds)?;
    }
    eprintln!("{} fuzz targets ran {} s each and found nothing.", chosen.len(), arguments.seconds);
    Ok(())
}

/// Their names, as fuzz/Cargo.toml lists them.
fn targets() -> Result<Vec<String>> {
    let manifest =
        fs::read_to_string(root().join("fuzz/Cargo.toml")).context("cannot read fuzz/Cargo.toml")?;
    let bins = manifest.split("[[bin]]").skip(1);
    let name = |bin: &str| {
        bin.lines()
            .find_map(|line| line.strip_prefix("name = "))
            .map(|name| name.trim_matches('"').to_owned())
    };
    Ok(bins.filter_map(name).collect())
}

fn cargo_fuzz() -> Result<PathBuf> {
    let own = tools().join("bin/cargo-fuzz");
    if let Some(found) = find("cargo-fuzz") {
        return Ok(found);
    }
    if !own.exists() {
        eprintln!("cargo-fuzz is compiled once for this checkout, which takes a minute or two:");
        let mut command = cargo();
        command.args(["install", "--quiet", "--locked", "cargo-fuzz", "--version", CARGO_FUZZ, "--root"]);
        run(command.arg(tools())).context("cargo-fuzz cannot be installed; is crates.io within reach?")?;
    }
    Ok(own)
}

fn fuzz(cargo_fuzz: &PathBuf, target: &str, seconds: u64) -> Result<()> {
    let (corpus, seeds) = (format!("fuzz/corpus/{target}"), format!("fuzz/seeds/{target}"));
    fs::create_dir_all(root().join(&corpus)).with_context(|| format!("cannot make {corpus}"))?;
    let mut command = Command::new(cargo_fuzz);
    command.current_dir(root());
    command.args(["run", "--sanitizer", "none", target, &corpus]);
    if root().join(&seeds).is_dir() {
        command.arg(&seeds);
    }
    // An input that takes longer, or more memory, is a finding too: nothing here may.
    command.args(["--", &format!("-max_total_time={seconds}"), "-timeout=20", "-rss_limit_mb=1024"]);
    command.args(["-max_len=8192", "-print_final_stats=1"]);
    run(&mut command).with_context(|| {
        format!("{target} fails on an input in fuzz/artifacts/{target}; `{} run --sanitizer none {target} FILE` repeats it", cargo_fuzz.display())
    })
}

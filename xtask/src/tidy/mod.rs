//! `tidy`: the rules of the project as tests.

mod cycles;
mod dependencies;
mod documents;
mod imports;
mod language;
mod sources;
mod tokens;

use anyhow::{Result, bail};

use crate::build;
use crate::command::run;
use crate::setup::{self, Purpose};
use crate::workspace::{BPF_OBJECTS, bpf_objects, cargo, root};

/// `cargo xtask tidy`: all findings at once, the quick rules first.
pub fn verb() -> Result<()> {
    let mut findings = Vec::new();
    sources::check(&mut findings)?;
    dependencies::check(&mut findings)?;
    cycles::check(&mut findings)?;
    documents::check(&mut findings)?;
    language::check(&mut findings)?;
    for finding in &findings {
        eprintln!("error: {finding}");
    }
    format(&mut findings)?;
    clippy(&mut findings)?;
    match findings.len() {
        0 => {
            println!("tidy");
            Ok(())
        }
        1 => bail!("1 rule is broken"),
        count => bail!("{count} rules are broken"),
    }
}

/// The excluded packages are workspaces of their own, which `--all` does not reach.
fn format(findings: &mut Vec<String>) -> Result<()> {
    for manifest in ["Cargo.toml", "monitor-ebpf/Cargo.toml", "fuzz/Cargo.toml"] {
        if !root().join(manifest).exists() {
            continue;
        }
        let mut command = cargo();
        command.args(["fmt", "--check", "--all", "--manifest-path", manifest]);
        if let Err(error) = run(&mut command) {
            findings.push(format!(
                "{manifest}: {error:#}; run `cargo fmt --all --manifest-path {manifest}`"
            ));
        }
    }
    Ok(())
}

fn clippy(findings: &mut Vec<String>) -> Result<()> {
    let toolchain = setup::ensure(Purpose::Run)?;
    if !BPF_OBJECTS
        .iter()
        .all(|name| bpf_objects().join(name).exists())
    {
        build::bpf(&toolchain)?;
    }
    let mut command = cargo();
    command.args([
        "clippy",
        "--locked",
        "--workspace",
        "--all-targets",
        "--",
        "-Dwarnings",
    ]);
    if let Err(error) = run(&mut command) {
        findings.push(format!("clippy: {error:#}"));
    }
    Ok(())
}

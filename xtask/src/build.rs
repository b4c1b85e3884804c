//! `build-ebpf`, and the release build of the programs.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};

use crate::command::{is_missing, run};
use crate::setup::{self, Purpose, Toolchain};
use crate::workspace::{BPF_OBJECTS, bpf_objects, cargo, display, root, target};

/// The programs that a person runs.
pub struct Programs {
    /// The daemon.
    pub monitord: PathBuf,
    /// The command line client.
    pub monitorctl: PathBuf,
    /// The relay.
    pub relay: PathBuf,
}

/// `cargo xtask build-ebpf`.
pub fn verb() -> Result<()> {
    bpf(&setup::ensure(Purpose::Run)?)?;
    println!("{}", display(&bpf_objects()));
    Ok(())
}

/// Set-up, the BPF object, and the programs (release) with that object inside.
pub fn everything(purpose: Purpose) -> Result<Programs> {
    bpf(&setup::ensure(purpose)?)?;
    release()
}

/// Compiles the BPF programs; cargo decides whether anything has changed.
pub fn bpf(toolchain: &Toolchain) -> Result<()> {
    let target = if cfg!(target_endian = "big") {
        "bpfeb-unknown-none"
    } else {
        "bpfel-unknown-none"
    };
    let directory = root().join("target/ebpf");
    let mut command = Command::new(&toolchain.compiler.cargo);
    command
        .current_dir(root().join("monitor-ebpf"))
        .env("RUSTC", &toolchain.compiler.rustc)
        // -Z build-std is for nightlies; RUSTC_BOOTSTRAP allows it in a stable compiler.
        .env("RUSTC_BOOTSTRAP", "1")
        .env("LD_LIBRARY_PATH", Toolchain::llvm_directory())
        .env(
            "RUSTFLAGS",
            format!(
                "-Clinker={} -Cdebuginfo=2 -Clink-arg=--btf",
                toolchain.linker.display()
            ),
        )
        // Settings of the calling cargo, or of the user, for other targets.
        .env_remove("RUSTUP_TOOLCHAIN")
        .env_remove("CARGO_ENCODED_RUSTFLAGS")
        .env_remove("CARGO_BUILD_TARGET")
        .args([
            "build",
            "--release",
            "--locked",
            "-Zbuild-std=core",
            "--target",
            target,
            "--target-dir",
        ])
        .arg(&directory);
    run(&mut command)?;
    let built = directory.join(target).join("release");
    for name in BPF_OBJECTS {
        copy_if_changed(&built.join(name), &bpf_objects().join(name))?;
    }
    Ok(())
}

/// The daemon, the command line client, the relay, and the library for C.
pub fn release() -> Result<Programs> {
    run(cargo().args([
        "build",
        "--release",
        "--locked",
        "--package=monitor-daemon",
        "--package=monitorctl",
        "--package=monitor-relay",
        "--package=monitor-mos",
    ]))?;
    Ok(Programs::in_directory(&directory()?))
}

/// Returns the directory of the release build.
pub fn directory() -> Result<PathBuf> {
    Ok(target()?.join("release"))
}

impl Programs {
    /// Returns the programs in a directory.
    pub fn in_directory(directory: &Path) -> Self {
        Self {
            monitord: directory.join("monitord"),
            monitorctl: directory.join("monitorctl"),
            relay: directory.join("monitor-relay"),
        }
    }
}

/// Copies a file unless the copy is equal: its time stamp decides whether the daemon is rebuilt. A
/// changed copy is replaced in one step, since a build of the daemon may be reading it.
fn copy_if_changed(from: &Path, to: &Path) -> Result<()> {
    let new = fs::read(from).with_context(|| format!("cannot read {}", from.display()))?;
    match fs::read(to) {
        Ok(old) if old == new => return Ok(()),
        Err(error) if !is_missing(&error) => {
            return Err(error).context("cannot read the BPF object");
        }
        _ => {}
    }
    if let Some(directory) = to.parent() {
        fs::create_dir_all(directory).context("cannot make target/bpf")?;
    }
    let beside = to.with_extension(format!("{}.new", std::process::id()));
    fs::write(&beside, new).context("cannot write the BPF object")?;
    fs::rename(&beside, to).context("cannot put the BPF object in its place")
}

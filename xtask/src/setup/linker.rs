//! bpf-linker, and the trial that shows that it reads the compiler's output.
//!
//! The linker takes LLVM bitcode, which an older LLVM than the compiler's cannot read. bpf-linker
//! 0.10 has no LLVM of its own: it opens the first `libLLVM*` on `LD_LIBRARY_PATH`. It is given the
//! very library that the compiler is linked with, through a directory that holds nothing else, so
//! the two cannot differ. A bpf-linker with an LLVM of its own, found on `PATH`, is used when it
//! passes the trial.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};

use super::compiler::Compiler;
use crate::command::{find, is_missing, output, read, run};
use crate::workspace::{cargo, tools};

/// Installed when none on `PATH` will do: the last one that works with the LLVM inside a Rust toolchain.
const VERSION: &str = "0.10.1";

/// Source that the trial compiles: reference parameters carry attributes that an older LLVM does
/// not know.
const TRIAL: &str = "\
#![no_std]
#[unsafe(no_mangle)]
pub fn trial(from: &[u32; 4], to: &mut u32) -> usize {
    *to = from[1].min(from[2]).saturating_sub(from[3]);
    core::hint::black_box(from).len()
}
";

/// The directory that the linker finds the compiler's LLVM in.
pub fn llvm_directory() -> PathBuf {
    tools().join("llvm")
}

/// A linker that fits the compiler: one on `PATH`, or this checkout's own, which is compiled if need be.
///
/// # Errors
/// When none fits; the message says why each was refused.
pub fn fitting(compiler: &Compiler) -> Result<PathBuf> {
    offer_llvm(compiler)?;
    let own = tools().join("bin/bpf-linker");
    let mut refused = Vec::new();
    if let Some(linker) = find("bpf-linker") {
        match try_out(compiler, &linker) {
            Ok(()) => return Ok(linker),
            Err(reason) => refused.push(format!("{reason:#}")),
        }
    }
    if !own.exists() {
        install()?;
    }
    match try_out(compiler, &own) {
        Ok(()) => return Ok(own),
        Err(reason) => refused.push(format!("{reason:#}")),
    }
    bail!("{}", refused.join("\n"))
}

fn install() -> Result<()> {
    eprintln!("bpf-linker is compiled once for this checkout, which takes a minute or two:");
    let mut command = cargo();
    command.args([
        "install",
        "--quiet",
        "--locked",
        "bpf-linker",
        "--version",
        VERSION,
        "--root",
    ]);
    run(command.arg(tools())).context("bpf-linker cannot be installed; is crates.io within reach?")
}

/// Leaves the compiler's LLVM, and nothing else, where the linker looks.
fn offer_llvm(compiler: &Compiler) -> Result<()> {
    let directory = llvm_directory();
    let link = directory.join("libLLVM.so");
    fs::create_dir_all(&directory).context("cannot make .tools/llvm")?;
    if let Err(error) = fs::remove_file(&link)
        && !is_missing(&error)
    {
        return Err(error).context("cannot replace .tools/llvm/libLLVM.so");
    }
    match compiler.llvm() {
        Some(library) => symlink(library, &link).context("cannot link to the compiler's LLVM"),
        // Its LLVM is inside the compiler's own file: only a linker with an LLVM of its own can do.
        None => Ok(()),
    }
}

/// Compiles a function and has the linker make a BPF object of it.
fn try_out(compiler: &Compiler, linker: &Path) -> Result<()> {
    let directory = tools().join("trial");
    fs::create_dir_all(&directory).context("cannot make .tools/trial")?;
    let [source, bitcode, object] =
        ["trial.rs", "trial.bc", "trial.o"].map(|name| directory.join(name));
    fs::write(&source, TRIAL).context("cannot write to .tools/trial")?;
    let mut compile = Command::new(&compiler.rustc);
    compile
        .args([
            "--edition=2024",
            "-O",
            "--crate-type=lib",
            "--emit=llvm-bc",
            "-o",
        ])
        .arg(&bitcode)
        .arg(&source);
    read(&mut compile)?;
    let mut link = Command::new(linker);
    link.args([
        "--target=bpfel-unknown-none",
        "--export=trial",
        "--emit=obj",
        "-o",
    ])
    .arg(&object)
    .arg(&bitcode);
    link.env("LD_LIBRARY_PATH", llvm_directory())
        .env("RUST_BACKTRACE", "0");
    let result = output(&mut link)?;
    if result.status.success() {
        return Ok(());
    }
    let said = String::from_utf8_lossy(&result.stderr);
    let first = said
        .lines()
        .find(|line| !line.trim().is_empty())
        .unwrap_or("no reason given");
    bail!(
        "{} does not fit {}: {first}",
        linker.display(),
        compiler.rustc.display()
    )
}

//! Rust compilers that can build for the BPF target.
//!
//! That target has no precompiled `core`: it is built from source, which must be of exactly the
//! compiler's version. `-Z build-std` is a nightly feature; `RUSTC_BOOTSTRAP` allows it in a stable
//! compiler.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, bail};

use crate::command::{find, read, run_within};

/// Compiler with the source of its `core`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Compiler {
    /// The compiler.
    pub rustc: PathBuf,
    /// The cargo to drive it with.
    pub cargo: PathBuf,
}

impl Compiler {
    fn in_sysroot(sysroot: &Path) -> Option<Self> {
        let rustc = sysroot.join("bin/rustc");
        let core = sysroot.join("lib/rustlib/src/rust/library/core/src/lib.rs");
        if !rustc.exists() || !core.exists() || !is_recent(&rustc) {
            return None;
        }
        let own = sysroot.join("bin/cargo");
        Some(Self {
            rustc,
            cargo: if own.exists() { own } else { running_cargo() },
        })
    }

    /// Returns the LLVM inside this compiler: readers of its output must not be older.
    pub fn llvm(&self) -> Option<PathBuf> {
        let libraries = read(Command::new("ldd").arg(&self.rustc)).ok()?;
        let line = libraries
            .lines()
            .find(|line| line.trim_start().starts_with("libLLVM"))?;
        Some(PathBuf::from(
            line.split("=>").nth(1)?.split_whitespace().next()?,
        ))
    }
}

/// Returns the compilers on this machine, in order of preference: rustup's nightlies, the toolchain
/// in use, the distribution's.
pub fn installed() -> Vec<Compiler> {
    let in_use = read(Command::new("rustc").args(["--print", "sysroot"])).ok();
    let sysroots = nightlies()
        .into_iter()
        .chain(in_use.map(|path| path.trim().into()))
        .chain(["/usr".into()]);
    sysroots
        .filter_map(|sysroot| Compiler::in_sysroot(&sysroot))
        .collect()
}

/// Asks rustup for the source of `core`: for the nightly if there is one, else for the toolchain in use.
///
/// # Errors
/// When there is no rustup, when its user forbids installations, and when its server does not answer in time.
pub fn add_with_rustup() -> Result<()> {
    // Long enough for a slow line (the component has 3 MB), short enough for a machine that may not reach it.
    const LIMIT: Duration = Duration::from_secs(60);
    let Some(rustup) = find("rustup") else {
        bail!("there is no rustup")
    };
    if std::env::var("RUSTUP_AUTO_INSTALL").is_ok_and(|value| value == "0") {
        eprintln!("RUSTUP_AUTO_INSTALL=0: leaving rustup's toolchains as they are");
        bail!("rustup may not install");
    }
    let toolchain = match nightlies().first().and_then(|path| path.file_name()) {
        Some(nightly) => nightly.to_string_lossy().into_owned(),
        None => {
            std::env::var("RUSTUP_TOOLCHAIN").context("the toolchain in use is not rustup's")?
        }
    };
    let mut command = Command::new(rustup);
    command.args(["component", "add", "rust-src", "--toolchain", &toolchain]);
    let result = run_within(&mut command, LIMIT);
    if let Err(error) = &result {
        eprintln!("{error:#}; looking for another way");
    }
    result
}

/// The directories of rustup's nightlies, `nightly-<host>` before the dated ones, the newest of these first.
fn nightlies() -> Vec<PathBuf> {
    let home = std::env::var_os("RUSTUP_HOME")
        .map(PathBuf::from)
        .or_else(|| {
            let home = PathBuf::from(std::env::var_os("HOME")?);
            Some(home.join(".rustup"))
        });
    let Some(entries) = home.and_then(|home| fs::read_dir(home.join("toolchains")).ok()) else {
        return Vec::new();
    };
    let names = entries.filter_map(|entry| Some(entry.ok()?.path()));
    let mut found: Vec<_> = names
        .filter(|path| file_name(path).starts_with("nightly-"))
        .collect();
    found.sort_by_key(|path| {
        let name = file_name(path);
        (name.starts_with("nightly-2"), std::cmp::Reverse(name))
    });
    found
}

fn file_name(path: &Path) -> String {
    path.file_name()
        .unwrap_or_default()
        .to_string_lossy()
        .into_owned()
}

/// The BPF programs are written for the Rust version that the workspace names.
fn is_recent(rustc: &Path) -> bool {
    let wanted = parse_version(env!("CARGO_PKG_RUST_VERSION"));
    let version = read(Command::new(rustc).arg("--version")).ok();
    let found = version
        .as_deref()
        .and_then(|line| line.split_whitespace().nth(1))
        .and_then(parse_version);
    found.is_some() && found >= wanted
}

fn parse_version(text: &str) -> Option<(u32, u32)> {
    let mut numbers = text.split(['.', '-']).map(str::parse);
    Some((numbers.next()?.ok()?, numbers.next()?.ok()?))
}

fn running_cargo() -> PathBuf {
    std::env::var_os("CARGO").map_or_else(|| "cargo".into(), PathBuf::from)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_compared_by_number() {
        assert!(parse_version("1.100.0-nightly") > parse_version("1.95"));
        assert_eq!(parse_version("1.95.0"), parse_version("1.95"));
        assert_eq!(parse_version("unknown"), None);
    }
}

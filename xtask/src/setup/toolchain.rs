//! The compiler and the linker for the BPF target, chosen once and remembered.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};

use super::compiler::{self, Compiler};
use super::linker;
use super::packages::{COMPILER_PACKAGES, Installer};
use crate::workspace::tools;

/// A compiler and a linker for the BPF target that fit.
#[derive(Clone, Debug)]
pub struct Toolchain {
    /// The compiler.
    pub compiler: Compiler,
    /// The linker.
    pub linker: PathBuf,
}

impl Toolchain {
    /// The directory that the linker finds the compiler's LLVM in.
    pub fn llvm_directory() -> PathBuf {
        linker::llvm_directory()
    }

    /// The pair that passed the trial in an earlier run, if neither has changed since.
    fn remembered() -> Option<Self> {
        let record = fs::read_to_string(record()).ok()?;
        let mut paths = record
            .lines()
            .map(|line| line.split('\t').next().unwrap_or_default().into());
        let compiler = Compiler {
            rustc: paths.next()?,
            cargo: paths.next()?,
        };
        let toolchain = Self {
            compiler,
            linker: paths.next()?,
        };
        let unchanged = toolchain.fingerprint().is_ok_and(|now| now == record);
        (unchanged && linker::llvm_directory().exists()).then_some(toolchain)
    }

    fn remember(&self) -> Result<()> {
        fs::write(record(), self.fingerprint()?).context("cannot write to .tools")
    }

    /// Returns a line for each file that the trial's result depends on.
    fn fingerprint(&self) -> Result<String> {
        let files = [&self.compiler.rustc, &self.compiler.cargo, &self.linker];
        files.into_iter().map(|file| identity(file)).collect()
    }
}

/// Returns the pair to use, and installs it if need be. Sources are tried in order of their
/// footprint: installed ones; the source of `core` by rustup; the distribution's compiler with its
/// source.
pub fn ensure(installer: &Installer) -> Result<Toolchain> {
    if let Some(toolchain) = Toolchain::remembered() {
        return Ok(toolchain);
    }
    fs::create_dir_all(tools()).context("cannot make .tools")?;
    let mut search = Search::default();
    if let Some(toolchain) = search.among_installed()? {
        return Ok(toolchain);
    }
    if compiler::add_with_rustup().is_ok()
        && let Some(toolchain) = search.among_installed()?
    {
        return Ok(toolchain);
    }
    let failure = match installer.install_newest(&COMPILER_PACKAGES.map(String::from)) {
        Err(reason) => Some(format!("{reason:#}")),
        Ok(()) => match search.among_installed()? {
            Some(toolchain) => return Ok(toolchain),
            None => None,
        },
    };
    for reason in search.refused.into_iter().chain(failure) {
        eprintln!("{reason}");
    }
    bail!(
        "no Rust compiler here can build for BPF; run: \
         rustup toolchain install nightly --profile minimal --component rust-src"
    )
}

/// Compilers that were tried.
#[derive(Default)]
struct Search {
    tried: Vec<PathBuf>,
    refused: Vec<String>,
}

impl Search {
    /// The first compiler, of those not tried yet, with a linker that fits it.
    fn among_installed(&mut self) -> Result<Option<Toolchain>> {
        for compiler in compiler::installed() {
            if self.tried.contains(&compiler.rustc) {
                continue;
            }
            self.tried.push(compiler.rustc.clone());
            match linker::fitting(&compiler) {
                Ok(linker) => {
                    let toolchain = Toolchain { compiler, linker };
                    toolchain.remember()?;
                    return Ok(Some(toolchain));
                }
                Err(reason) => self.refused.push(format!("{reason:#}")),
            }
        }
        Ok(None)
    }
}

/// Returns the path of the recorded choice.
fn record() -> PathBuf {
    tools().join("bpf-toolchain")
}

fn identity(path: &Path) -> Result<String> {
    let data = fs::metadata(path).with_context(|| format!("cannot look at {}", path.display()))?;
    Ok(format!(
        "{}\t{}\t{}\n",
        path.display(),
        data.len(),
        data.mtime()
    ))
}

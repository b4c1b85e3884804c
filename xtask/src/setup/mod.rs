//! `setup`: finds the requirements of building, running and testing, and installs missing ones.
//!
//! Probes look at files, so a second run costs milliseconds. Missing packages are installed by apt,
//! all in one command; where that is impossible, one line says which command to run.

mod compiler;
mod linker;
mod needs;
mod packages;
mod toolchain;

use anyhow::{Result, bail};

use self::needs::Need;
use self::packages::{COMPILER_PACKAGES, Installer, packages_for};
pub use self::toolchain::Toolchain;

/// Purpose of a verb, which decides its requirements.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// Compile the daemon and its BPF programs, and run it.
    Run,
    /// Run, and show it at work.
    Demo,
    /// Run, and test it.
    Test,
    /// Run, and measure it beside others.
    Bench,
    /// Compile the parts that are fuzzed.
    Fuzz,
    /// Run in virtual machines with other kernels.
    Kernels,
}

/// `cargo xtask setup`.
pub fn verb() -> Result<()> {
    let toolchain = ensure(Purpose::Test)?;
    println!("BPF compiler: {}", toolchain.compiler.rustc.display());
    println!("BPF linker:   {}", toolchain.linker.display());
    println!("Everything is there.");
    Ok(())
}

/// Installs the requirements of `purpose` that are missing; returns the toolchain for the BPF programs.
///
/// # Errors
/// A requirement of the build is missing and cannot be installed: the message is the command to run. A missing tool of
/// the tests is only a warning: its tests are skipped by name.
pub fn ensure(purpose: Purpose) -> Result<Toolchain> {
    let installer = Installer::detect();
    let mut required = needs::missing(needs::BUILD);
    match purpose {
        Purpose::Demo => required.extend(needs::missing(needs::DEMO)),
        Purpose::Fuzz => required.extend(needs::missing(needs::FUZZ)),
        Purpose::Kernels => required.extend(needs::missing(needs::KERNELS)),
        Purpose::Run | Purpose::Test | Purpose::Bench => {}
    }
    if !required.is_empty() {
        install_required(&installer, &required)?;
    }
    match purpose {
        Purpose::Test => install_tools(&installer, needs::TEST, "tests"),
        Purpose::Bench => install_tools(&installer, needs::BENCH, "measurements"),
        Purpose::Run | Purpose::Demo | Purpose::Fuzz | Purpose::Kernels => {}
    }
    toolchain::ensure(&installer)
}

fn install_required(installer: &Installer, required: &[&'static Need]) -> Result<()> {
    let mut packages = packages_for(required);
    if let Err(reason) = installer.install(&packages) {
        // One command for everything.
        if compiler::installed().is_empty() {
            packages.extend(COMPILER_PACKAGES.map(String::from));
        }
        bail!("{reason:#}; run: {}", installer.advice(&packages));
    }
    // A package without the expected file is found here, not by a compiler's error.
    let still: Vec<_> = required
        .iter()
        .filter(|need| !need.is_present())
        .map(|need| need.name)
        .collect();
    if !still.is_empty() {
        bail!(
            "still missing after the installation: {}; install it by hand",
            still.join(", ")
        );
    }
    Ok(())
}

/// Installs optional tools. Tests or benchmarks that need a missing one are skipped by name.
fn install_tools(installer: &Installer, tools: &'static [Need], what: &str) {
    let missing = needs::missing(tools);
    if missing.is_empty() {
        return;
    }
    let packages = packages_for(&missing);
    let Err(reason) = installer.install(&packages) else {
        return;
    };
    // A package that this distribution lacks must not keep the others away.
    if installer.can_install() && packages.len() > 1 {
        for package in &packages {
            // A failure is reported below, by name.
            let _ = installer.install(std::slice::from_ref(package));
        }
    }
    let missing = needs::missing(tools);
    if !missing.is_empty() {
        let names: Vec<_> = missing.iter().map(|need| need.name).collect();
        eprintln!(
            "warning: {reason:#}: {what} that need {} will be skipped",
            names.join(", ")
        );
        eprintln!(
            "         to run them too: {}",
            installer.advice(&packages_for(&missing))
        );
    }
}

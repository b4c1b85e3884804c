//! `package`: the Debian package, built by cargo-deb.
//!
//! cargo-deb gets programs that are built already, files that the programs generate (manual pages and completions), and the
//! link by which Wireshark finds monitorctl.

use std::fs::{self, File};
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};

use crate::build::{self, Programs};
use crate::command::{find, output, read, run, show};
use crate::setup::Purpose;
use crate::workspace::{cargo, display, root, tools};

/// Version of cargo-deb: another one may choose other paths.
const CARGO_DEB: &str = "3.8.0";
/// Completions of monitorctl: shell, and the file that the shell reads.
const COMPLETIONS: [(&str, &str); 3] = [
    ("bash", "monitorctl"),
    ("zsh", "_monitorctl"),
    ("fish", "monitorctl.fish"),
];
/// Libraries for C.
const LIBRARIES: [&str; 2] = ["libmonitor_mos.so", "libmonitor_mos.a"];
/// Target of Wireshark's link: /usr/bin/monitorctl, relative as Debian's policy (10.5) wants it, from
/// /usr/lib/MULTIARCH/wireshark/extcap.
const EXTCAP_TARGET: &str = "../../../../bin/monitorctl";

/// `cargo xtask package`. Prints the path of the package.
pub fn verb() -> Result<()> {
    let programs = build::everything(Purpose::Run)?;
    println!("{}", display(&build(&programs)?));
    Ok(())
}

/// Builds the package of these programs, and checks it with lintian where that is installed.
///
/// # Errors
/// A file cannot be generated, cargo-deb fails, or lintian finds an error.
fn build(programs: &Programs) -> Result<PathBuf> {
    let cargo_deb = cargo_deb()?;
    let directory = root().join("target/package");
    if directory.exists() {
        fs::remove_dir_all(&directory).context("cannot clear target/package")?;
    }
    generate(programs, &directory)?;
    let mut command = Command::new(cargo_deb);
    command
        .current_dir(root())
        .args(["deb", "--no-build", "--locked", "--strip"])
        .args(["--package", "monitor-daemon", "--output"])
        .arg(&directory);
    run(&mut command)?;
    let package = only_package(&directory)?;
    if find("lintian").is_some() {
        run(Command::new("lintian")
            .args(["--fail-on", "error", "--allow-root"])
            .arg(&package))?;
    }
    Ok(package)
}

/// Writes manual pages and completions, and copies the libraries.
fn generate(programs: &Programs, directory: &Path) -> Result<()> {
    for name in ["man", "completions", "lib"] {
        fs::create_dir_all(directory.join(name)).context("cannot make target/package")?;
    }
    run(Command::new(&programs.monitorctl)
        .args(["man", "--dir"])
        .arg(directory.join("man")))?;
    for (shell, file) in COMPLETIONS {
        let path = directory.join("completions").join(file);
        let mut command = Command::new(&programs.monitorctl);
        command.args(["completions", shell]);
        show(&command);
        let output = output(&mut command)?;
        if !output.status.success() {
            bail!("monitorctl has no completions for {shell}");
        }
        fs::write(&path, output.stdout)
            .with_context(|| format!("cannot write {}", path.display()))?;
    }
    let release = build::directory()?;
    for name in LIBRARIES {
        let (from, to) = (release.join(name), directory.join("lib").join(name));
        fs::copy(&from, &to).with_context(|| format!("cannot copy {}", from.display()))?;
        let symbols = if name.ends_with(".a") {
            "--strip-debug"
        } else {
            "--strip-unneeded"
        };
        run(Command::new("strip").arg(symbols).arg(&to))?;
    }
    link_extcap(directory)
}

/// Creates the link of Wireshark in the directory that Debian's Wireshark reads, which depends on the architecture.
fn link_extcap(directory: &Path) -> Result<()> {
    let multiarch = read(Command::new("dpkg-architecture").args(["-q", "DEB_HOST_MULTIARCH"]))?;
    let extcap = directory
        .join("extcap")
        .join(multiarch.trim())
        .join("wireshark/extcap");
    fs::create_dir_all(&extcap).context("cannot make target/package")?;
    symlink(EXTCAP_TARGET, extcap.join("monitor-extcap")).context("cannot link monitor-extcap")
}

/// Returns cargo-deb of the pinned version; compiles it into `.tools` if it isn't there.
fn cargo_deb() -> Result<PathBuf> {
    let program = tools().join("bin/cargo-deb");
    let is_right = program.exists()
        && read(Command::new(&program).args(["deb", "--version"]))
            .is_ok_and(|version| version.trim().ends_with(CARGO_DEB));
    if !is_right {
        run(cargo()
            .args(["install", "--locked", "--force", "--root"])
            .arg(tools())
            .args(["cargo-deb", "--version", CARGO_DEB]))?;
    }
    Ok(program)
}

fn only_package(directory: &Path) -> Result<PathBuf> {
    let files = fs::read_dir(directory).context("cannot read target/package")?;
    let packages = files
        .filter_map(|file| Some(file.ok()?.path()))
        .filter(|path| path.extension().is_some_and(|extension| extension == "deb"));
    let packages: Vec<_> = packages.collect();
    let [package] = packages.as_slice() else {
        bail!("cargo-deb wrote {} packages", packages.len());
    };
    File::open(package).context("cannot read the package")?;
    Ok(package.clone())
}

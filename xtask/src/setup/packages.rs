//! The distribution's package manager.

use std::fs;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, bail};

use super::needs::Need;
use crate::command::{find, run};
use crate::privilege::Privilege;

/// Installs packages, or says how a person does.
pub struct Installer {
    manager: Option<Manager>,
    privilege: Privilege,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Manager {
    Apt,
    Dnf,
    Pacman,
}

impl Installer {
    /// Returns the package manager of this machine.
    pub fn detect() -> Self {
        let managers = [
            ("apt-get", Manager::Apt),
            ("dnf", Manager::Dnf),
            ("pacman", Manager::Pacman),
        ];
        let manager = managers
            .iter()
            .find(|(program, _)| find(program).is_some())
            .map(|(_, manager)| *manager);
        Self {
            manager,
            privilege: Privilege::detect(),
        }
    }

    /// The packages that bring `needs`, each once.
    pub fn packages_for(&self, needs: &[&'static Need]) -> Vec<String> {
        let index = self.manager.unwrap_or(Manager::Apt) as usize;
        let mut packages: Vec<_> = needs
            .iter()
            .map(|need| need.packages[index].to_string())
            .collect();
        packages.sort();
        packages.dedup();
        packages
    }

    /// Those with a Rust compiler and the source of its core library, of one version. (Arch's `rust` cannot stand
    /// beside rustup, which is what its users have.)
    pub fn compiler_packages(&self) -> Vec<String> {
        let packages: &[&str] = match self.manager {
            Some(Manager::Apt) => &["rustc-web", "rust-web-src"],
            Some(Manager::Dnf) => &["rust", "rust-src"],
            Some(Manager::Pacman) | None => &[],
        };
        packages.iter().map(ToString::to_string).collect()
    }

    /// Returns whether [`install`](Self::install) can do anything here.
    pub fn can_install(&self) -> bool {
        self.manager == Some(Manager::Apt) && self.privilege != Privilege::None
    }

    /// Installs packages and shows each command.
    ///
    /// # Errors
    /// Without root and sudo, on other distributions than Debian's family, and when the package
    /// manager fails.
    pub fn install(&self, packages: &[String]) -> Result<()> {
        if self.manager != Some(Manager::Apt) {
            bail!("{} must be installed", packages.join(", "));
        }
        if self.privilege == Privilege::None {
            bail!(
                "{} must be installed, which needs root",
                packages.join(", ")
            );
        }
        keep_nginx_from_starting(self.privilege, packages)?;
        if !has_package_lists() {
            self.apt_update()?;
            return self.apt_install(packages);
        }
        // The lists may be older than the mirror's: refresh them and retry.
        self.apt_install(packages).or_else(|_| {
            self.apt_update()?;
            self.apt_install(packages)
        })
    }

    /// Installs packages like [`install`](Self::install), in the newest version of the
    /// distribution. Lists that are months old may name a version that is too old.
    ///
    /// # Errors
    /// The same. Lists that cannot be fetched are no error: the present ones may suffice.
    pub fn install_newest(&self, packages: &[String]) -> Result<()> {
        if self.can_install()
            && let Err(reason) = self.apt_update()
        {
            eprintln!("warning: {reason:#}; going on with the lists that are here");
        }
        self.install(packages)
    }

    /// The one command that a person has to run.
    pub fn advice(&self, packages: &[String]) -> String {
        let packages = packages.join(" ");
        match self.manager {
            Some(Manager::Apt) => format!("sudo apt-get install -y {packages}"),
            Some(Manager::Dnf) => format!("sudo dnf install -y {packages}"),
            Some(Manager::Pacman) => format!("sudo pacman -S --needed {packages}"),
            None => format!("your package manager for what Debian calls: {packages}"),
        }
    }

    fn apt_update(&self) -> Result<()> {
        run(self.apt_get()?.arg("update"))
    }

    /// `--no-remove`: a package that would push out one of the person's own is not installed.
    fn apt_install(&self, packages: &[String]) -> Result<()> {
        let options = [
            "install",
            "-y",
            "--no-install-recommends",
            "--no-remove",
            "-o",
            "DPkg::Lock::Timeout=120",
        ];
        run(self.apt_get()?.args(options).args(packages))
    }

    /// No package may ask a question. sudo drops variables, so there it takes `env` to set one.
    fn apt_get(&self) -> Result<Command> {
        const QUIET: (&str, &str) = ("DEBIAN_FRONTEND", "noninteractive");
        let mut command = self
            .privilege
            .command("env")
            .context("installing packages needs root")?;
        if self.privilege == Privilege::Root {
            command = Command::new("apt-get");
            command.env(QUIET.0, QUIET.1);
        } else {
            command.args([&format!("{}={}", QUIET.0, QUIET.1), "apt-get"]);
        }
        Ok(command)
    }
}

fn has_package_lists() -> bool {
    fs::read_dir("/var/lib/apt/lists").is_ok_and(|mut lists| {
        lists.any(|list| list.is_ok_and(|l| l.file_name().to_string_lossy().contains("_Packages")))
    })
}

/// The tests start an nginx of their own; the package would start another, as a service on port 80.
fn keep_nginx_from_starting(privilege: Privilege, packages: &[String]) -> Result<()> {
    let has_systemd = Path::new("/run/systemd/system").exists();
    if !has_systemd || !packages.iter().any(|package| package.starts_with("nginx")) {
        return Ok(());
    }
    run(privilege
        .command("systemctl")
        .context("needs root")?
        .args(["mask", "nginx.service"]))
}

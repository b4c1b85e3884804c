//! Debian's package manager; on other distributions, the names of the packages.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, bail};

use super::needs::Need;
use crate::command::{find, run};
use crate::privilege::Privilege;

/// Packages with a Rust compiler and the source of its core library, of one version.
pub const COMPILER_PACKAGES: [&str; 2] = ["rustc-web", "rust-web-src"];

/// Program that Debian's maintainer scripts ask for permission to start or stop a service.
const POLICY: &str = "/usr/sbin/policy-rc.d";

/// Packages of servers, with the service that each enables.
const SERVICES: [(&str, &str); 3] = [
    ("nginx-light", "nginx.service"),
    ("nats-server", "nats-server.service"),
    ("prometheus", "prometheus.service"),
];

/// Runs its arguments with services locked: a policy refuses to start or stop any. A policy that exists stays, and one
/// that a killed set-up left behind permits everything and removes itself.
const WITH_SERVICES_LOCKED: &str = r#"
policy=$1
shift
if [ ! -e "$policy" ]; then
    trap 'rm -f "$policy"' EXIT
    trap 'exit 1' HUP INT TERM
    printf '#!/bin/sh\n[ -d /proc/%s ] || { rm -f "$0"; exit 0; }\nexit 101\n' $$ > "$policy"
    chmod 755 "$policy"
fi
"$@"
"#;

/// Installs Debian packages, or says which command does.
pub struct Installer {
    has_apt: bool,
    privilege: Privilege,
}

impl Installer {
    /// Returns the installer of this machine.
    pub fn detect() -> Self {
        Self {
            has_apt: find("apt-get").is_some(),
            privilege: Privilege::detect(),
        }
    }

    /// Returns whether [`install`](Self::install) can do anything here.
    pub fn can_install(&self) -> bool {
        self.has_apt && self.privilege != Privilege::None
    }

    /// Installs packages and shows each command.
    ///
    /// # Errors
    /// Without root and sudo, on other distributions than Debian's family, and when the package
    /// manager fails.
    pub fn install(&self, packages: &[String]) -> Result<()> {
        if !self.has_apt {
            bail!("{} must be installed", packages.join(", "));
        }
        if self.privilege == Privilege::None {
            bail!(
                "{} must be installed, which needs root",
                packages.join(", ")
            );
        }
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
            eprintln!("warning: {reason:#}; the present lists are used");
        }
        self.install(packages)
    }

    /// Returns the command that installs the packages by hand.
    pub fn advice(&self, packages: &[String]) -> String {
        let packages = packages.join(" ");
        if self.has_apt {
            format!("sudo apt-get install -y {packages}")
        } else {
            format!("your package manager for the packages that Debian calls: {packages}")
        }
    }

    fn apt_update(&self) -> Result<()> {
        run(self.apt_get()?.arg("update"))
    }

    /// `--no-remove`: a package that would push out an installed one is not installed.
    fn apt_install(&self, packages: &[String]) -> Result<()> {
        let options = [
            "install",
            "-y",
            "--no-install-recommends",
            "--no-remove",
            "-o",
            "DPkg::Lock::Timeout=120",
        ];
        run(self.apt_get()?.args(options).args(packages))?;
        self.keep_from_boot(packages)
    }

    /// Disables the services of servers that only the tests need: they would take their ports at the next boot.
    fn keep_from_boot(&self, packages: &[String]) -> Result<()> {
        let is_new = |package| packages.iter().any(|new| new == package);
        let new = SERVICES.iter().filter(|(package, _)| is_new(package));
        let services: Vec<_> = new.map(|(_, service)| service).collect();
        if !Path::new("/run/systemd/system").exists() || services.is_empty() {
            return Ok(());
        }
        let systemctl = self.privilege.command("systemctl");
        run(systemctl
            .context("needs root")?
            .arg("disable")
            .args(services))
    }

    /// Returns apt-get without questions and with services locked. sudo drops variables, so `env` sets one.
    fn apt_get(&self) -> Result<Command> {
        let mut command = self
            .privilege
            .command("env")
            .context("installing packages needs root")?;
        command
            .args(["DEBIAN_FRONTEND=noninteractive", "sh", "-c"])
            .args([WITH_SERVICES_LOCKED, "sh", POLICY, "apt-get"]);
        Ok(command)
    }
}

/// Returns the packages that bring `needs`, each once.
pub fn packages_for(needs: &[&'static Need]) -> Vec<String> {
    let packages: BTreeSet<_> = needs.iter().map(|need| need.package.to_owned()).collect();
    packages.into_iter().collect()
}

fn has_package_lists() -> bool {
    fs::read_dir("/var/lib/apt/lists").is_ok_and(|mut lists| {
        lists.any(|list| list.is_ok_and(|l| l.file_name().to_string_lossy().contains("_Packages")))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn services_are_locked_while_apt_runs_and_only_then() {
        let directory = std::env::temp_dir().join(format!("policy-{}", std::process::id()));
        fs::create_dir_all(&directory).unwrap();
        let policy = directory.join("policy-rc.d");
        let locked = |program: &str| {
            Command::new("sh")
                .args(["-c", WITH_SERVICES_LOCKED, "sh"])
                .arg(&policy)
                .args(["sh", "-c", program])
                .arg(&policy)
                .status()
                .unwrap()
                .code()
        };
        assert_eq!(locked("\"$0\" nginx start"), Some(101));
        assert!(!policy.exists());
        // The policy of the machine stays.
        fs::write(&policy, "#!/bin/sh\n").unwrap();
        assert_eq!(locked("exit 3"), Some(3));
        assert_eq!(fs::read_to_string(&policy).unwrap(), "#!/bin/sh\n");
        fs::remove_dir_all(&directory).unwrap();
    }
}

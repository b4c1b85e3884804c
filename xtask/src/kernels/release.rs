//! Debian's kernels: which ones are tested, and their packages.
//!
//! Packages come from a private set of package lists below the target directory, so that kernels of other releases
//! can be downloaded and nothing of this machine's own apt settings changes.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};

use crate::command::{read, run};

/// A kernel of a Debian release.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Release {
    /// Version, as given on the command line.
    pub version: &'static str,
    suite: &'static str,
}

/// All kernels that are tested, oldest first.
pub const RELEASES: [Release; 4] = [
    Release {
        version: "5.10",
        suite: "bullseye",
    },
    Release {
        version: "6.1",
        suite: "bookworm",
    },
    Release {
        version: "6.12",
        suite: "trixie",
    },
    Release {
        version: "newest",
        suite: "trixie-backports",
    },
];

/// An unpacked kernel.
#[derive(Debug)]
pub struct Kernel {
    /// Compressed image that QEMU boots.
    pub image: PathBuf,
    /// Directory that holds one directory of modules.
    pub modules: PathBuf,
    /// Full version, the name of the directory of modules.
    pub version: String,
}

impl Release {
    /// Downloads and unpacks the kernel below `directory`, unless a previous run did.
    ///
    /// # Errors
    /// Returns an error if the mirror can't be reached or the package has an unexpected layout.
    pub fn kernel(self, directory: &Path) -> Result<Kernel> {
        let unpacked = directory.join(self.version);
        if !unpacked.join("complete").exists() {
            self.download(&unpacked)?;
            fs::write(unpacked.join("complete"), "")?;
        }
        Kernel::find(&unpacked)
    }

    fn download(self, unpacked: &Path) -> Result<()> {
        let apt = unpacked.join("apt");
        for part in ["state/lists/partial", "cache/archives/partial"] {
            fs::create_dir_all(apt.join(part)).context("cannot create the package lists")?;
        }
        let list = apt.join("sources.list");
        fs::write(&list, self.sources()).context("cannot write the list of sources")?;
        run(self.apt("apt-get", &apt).arg("update"))?;
        let package = self.package(&apt)?;
        run(self
            .apt("apt-get", &apt)
            .current_dir(unpacked)
            .args(["download", &package]))?;
        let archive = fs::read_dir(unpacked)?
            .flatten()
            .map(|entry| entry.path())
            .find(|path| path.extension().is_some_and(|extension| extension == "deb"))
            .context("apt-get download left no package")?;
        run(Command::new("dpkg-deb")
            .arg("-x")
            .arg(&archive)
            .arg(unpacked.join("root")))?;
        fs::remove_file(archive).context("cannot remove the package")
    }

    fn sources(self) -> String {
        let archive = "http://deb.debian.org/debian";
        let signed = "[signed-by=/usr/share/keyrings/debian-archive-keyring.gpg]";
        format!("deb {signed} {archive} {} main\n", self.suite)
    }

    /// apt that sees the release's packages only, with lists and caches of its own.
    fn apt(self, program: &str, apt: &Path) -> Command {
        let mut command = Command::new(program);
        let mut option = |name: &str, value: &Path| {
            command.arg("-o").arg(format!("{name}={}", value.display()));
        };
        option("Dir::Etc::SourceList", &apt.join("sources.list"));
        option("Dir::Etc::SourceParts", Path::new("-"));
        option("Dir::State", &apt.join("state"));
        option("Dir::State::status", Path::new("/dev/null"));
        option("Dir::Cache", &apt.join("cache"));
        option("APT::Sandbox::User", Path::new("root"));
        command
    }

    /// Name of the package with the kernel: the metapackage's dependency.
    fn package(self, apt: &Path) -> Result<String> {
        let text =
            read(
                self.apt("apt-cache", apt)
                    .args(["depends", "--important", "linux-image-amd64"]),
            )?;
        text.lines()
            .filter_map(|line| line.trim().strip_prefix("Depends: "))
            .find(|package| package.starts_with("linux-image-"))
            .map(str::to_owned)
            .with_context(|| format!("{} has no linux-image-amd64", self.suite))
    }
}

impl Kernel {
    fn find(unpacked: &Path) -> Result<Self> {
        let root = unpacked.join("root");
        // Packages of Debian 13 and later use /usr/lib.
        let modules = ["lib/modules", "usr/lib/modules"]
            .map(|path| root.join(path))
            .into_iter()
            .find(|path| path.is_dir())
            .context("the kernel's package has no modules")?;
        let version = only_entry(&modules)?;
        let image = root.join("boot").join(format!("vmlinuz-{version}"));
        if !image.exists() {
            bail!("the kernel's package has no {}", image.display());
        }
        Ok(Self {
            image,
            modules,
            version,
        })
    }
}

fn only_entry(directory: &Path) -> Result<String> {
    let mut entries = fs::read_dir(directory)?;
    let entry = entries
        .next()
        .with_context(|| format!("{} is empty", directory.display()))??;
    Ok(entry.file_name().to_string_lossy().into_owned())
}

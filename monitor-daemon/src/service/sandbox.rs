//! Restrictions of this process and its later threads: no new privileges, and files by Landlock(7).

use std::path::{Path, PathBuf};

use landlock::{
    ABI, Access, AccessFs, AccessNet, BitFlags, CompatLevel, Compatible, Ruleset, RulesetAttr,
    RulesetCreatedAttr, RulesetError, RulesetStatus, Scope, path_beneath_rules,
};
use tracing::{debug, warn};

/// Use of Landlock.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum Sandbox {
    /// Where the kernel has it
    #[default]
    Auto,
    /// Refuse to start without it
    Strict,
    /// Never
    Off,
}

/// Error of `--sandbox strict`.
#[derive(Debug, thiserror::Error)]
#[expect(missing_docs, reason = "the texts say it")]
pub enum SandboxError {
    #[error(
        "--sandbox strict: this kernel does not enforce Landlock; enable CONFIG_SECURITY_LANDLOCK and add landlock to \
         the boot parameter lsm=, or use --sandbox auto"
    )]
    Missing,
    #[error("cannot restrict the process by Landlock; use --sandbox off to start without it")]
    Landlock(#[source] RulesetError),
}

/// Rights that are restricted. Older kernels restrict those that they know.
const VERSION: ABI = ABI::V6;

/// Directories that the daemon reads: user and group names, libraries for them, processes of clients, and the kernel's
/// type information.
const READ: [&str; 9] = [
    "/etc",
    "/usr",
    "/lib",
    "/lib64",
    "/proc",
    "/sys",
    "/run",
    "/dev",
    "/var/lib/sss",
];
/// File that creates monitor devices.
const TUN: &str = "/dev/net/tun";

/// Restricts this thread and those that it starts from now on. The process can read the directories above and `read`,
/// create and remove its socket and the lock file in `socket`, and create monitor devices. It can neither write nor execute
/// other files, use TCP, nor send signals to other processes.
pub(super) fn enter(
    sandbox: Sandbox,
    read: &[PathBuf],
    socket: Option<&Path>,
) -> Result<(), SandboxError> {
    if let Err(error) = rustix::thread::set_no_new_privs(true) {
        warn!("cannot forbid new privileges: {error}");
    }
    if sandbox == Sandbox::Off {
        return Ok(());
    }
    match restrict(read, socket) {
        Ok(RulesetStatus::NotEnforced) if sandbox == Sandbox::Strict => Err(SandboxError::Missing),
        Ok(status) => {
            debug!("Landlock: {status:?}");
            Ok(())
        }
        Err(error) if sandbox == Sandbox::Strict => Err(SandboxError::Landlock(error)),
        Err(error) => {
            warn!("cannot restrict the process by Landlock: {error}");
            Ok(())
        }
    }
}

fn restrict(read: &[PathBuf], socket: Option<&Path>) -> Result<RulesetStatus, RulesetError> {
    let reading = AccessFs::ReadFile | AccessFs::ReadDir;
    let binding = reading
        | AccessFs::WriteFile
        | AccessFs::MakeReg
        | AccessFs::MakeSock
        | AccessFs::RemoveFile;
    let device: BitFlags<AccessFs> = AccessFs::from_file(VERSION) & !AccessFs::Execute;
    let read = READ
        .iter()
        .map(Path::new)
        .chain(read.iter().map(PathBuf::as_path));
    // Paths that do not exist are left out.
    let status = Ruleset::default()
        .set_compatibility(CompatLevel::BestEffort)
        .handle_access(AccessFs::from_all(VERSION))?
        .handle_access(AccessNet::from_all(VERSION))?
        .scope(Scope::Signal)?
        .create()?
        .add_rules(path_beneath_rules(read, reading))?
        .add_rules(path_beneath_rules([TUN], device))?
        .add_rules(path_beneath_rules(socket, binding))?
        .restrict_self()?;
    Ok(status.ruleset)
}

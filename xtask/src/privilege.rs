//! Root's rights: whether this process has them, and how a command gets them.

use std::fs;
use std::io::{IsTerminal, stdin};
use std::os::unix::fs::MetadataExt;
use std::process::{Command, Stdio};

use crate::command::find;

/// Way in which a command gets root's rights.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Privilege {
    /// This process is root.
    Root,
    /// `sudo` may ask for a password on this terminal, or needs none.
    Sudo,
    /// Neither.
    None,
}

impl Privilege {
    /// Returns the way that this process has.
    pub fn detect() -> Self {
        if is_root() {
            Self::Root
        } else if find("sudo").is_some() && (stdin().is_terminal() || sudo_needs_no_password()) {
            Self::Sudo
        } else {
            Self::None
        }
    }

    /// `program`, to be run as root; `None` when that cannot be done.
    pub fn command(self, program: impl AsRef<std::ffi::OsStr>) -> Option<Command> {
        match self {
            Self::Root => Some(Command::new(program)),
            Self::Sudo => {
                let mut command = Command::new("sudo");
                command.arg(program);
                Some(command)
            }
            Self::None => None,
        }
    }
}

/// Returns whether this process runs as root: the owner of its own /proc entry is its effective
/// user.
pub fn is_root() -> bool {
    fs::metadata("/proc/self").is_ok_and(|data| data.uid() == 0)
}

fn sudo_needs_no_password() -> bool {
    Command::new("sudo")
        .args(["-n", "true"])
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .is_ok_and(|status| status.success())
}

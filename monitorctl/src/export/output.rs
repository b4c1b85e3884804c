//! Destination of an export: a file of its own, a pipe, or standard output.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::{FileTypeExt as _, OpenOptionsExt as _};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use signal_hook::consts::{SIGINT, SIGTERM};

use crate::failure::Failure;

/// Creates a file that only its owner can read, or opens a pipe. A file is never overwritten.
pub fn create(path: &Path) -> Result<File, Failure> {
    let is_pipe = path
        .metadata()
        .is_ok_and(|metadata| metadata.file_type().is_fifo());
    let mut options = OpenOptions::new();
    options.write(true).create_new(!is_pipe).mode(0o600);
    options
        .open(path)
        .map_err(|source| Failure::file("create", path, source))
}

/// Removes a file into which nothing was written, so that its name can be used again.
pub fn remove_empty(path: &Path) {
    let is_empty = path
        .symlink_metadata()
        .is_ok_and(|metadata| metadata.is_file() && metadata.len() == 0);
    if is_empty {
        // The error that is reported is the one of the export.
        let _ = std::fs::remove_file(path);
    }
}

/// Returns standard output, unless that is a terminal.
pub fn standard() -> Result<File, Failure> {
    let out = io::stdout();
    if io::IsTerminal::is_terminal(&out) {
        return Err(Failure::Usage(
            "a capture is not for a terminal: name a file with -o, or a program: monitorctl export ... | wireshark -k -i -",
        ));
    }
    let out = out.as_fd().try_clone_to_owned();
    Ok(File::from(out.map_err(Failure::Output)?))
}

/// Signals that end a live export with a complete capture.
pub struct Stop(Arc<AtomicBool>);

impl Stop {
    /// Handles SIGINT and SIGTERM. The second one ends the process, in case the reader doesn't read.
    pub fn on_signals() -> Result<Self, Failure> {
        let stop = Arc::new(AtomicBool::new(false));
        for signal in [SIGINT, SIGTERM] {
            signal_hook::flag::register_conditional_shutdown(signal, 1, Arc::clone(&stop))
                .and_then(|_| signal_hook::flag::register(signal, Arc::clone(&stop)))
                .map_err(Failure::Output)?;
        }
        Ok(Self(stop))
    }

    /// Returns true after a signal.
    pub fn is_requested(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}

/// Reader of a pipe or socket, as far as the writer can see it.
pub struct Reader(OwnedFd);

impl Reader {
    /// Watches the reader of what is written to `out`.
    pub fn of(out: &impl AsFd) -> io::Result<Self> {
        Ok(Self(out.as_fd().try_clone_to_owned()?))
    }

    /// Returns true if the reader has closed its end.
    pub fn is_gone(&self) -> bool {
        let mut fds = [PollFd::new(&self.0, PollFlags::empty())];
        let ready = poll(&mut fds, Some(&Timespec::default()));
        ready.is_ok() && fds[0].revents().intersects(PollFlags::ERR | PollFlags::HUP)
    }
}

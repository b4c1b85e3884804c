//! Socket file: created with its group and permissions, replaced when stale, removed at the end.

use std::fs::{self, DirBuilder, File, Permissions};
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, PermissionsExt, chown};
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::Duration;

use monitor_rpc::socket_file::{self, SocketFile, StaleError};
use rustix::fs::FlockOperation;
use rustix::io::Errno;
use rustix::net::{AddressFamily, SocketAddrUnix, SocketFlags, SocketType};

use crate::config::Rpc;
use crate::rpc::access::limits;
use crate::rpc::access::policy::{self, AccessError, AccessPolicy};

/// Attempts to lock: a daemon that starts holds the lock for less than a millisecond.
const LOCK_TRIES: u32 = 40;
const LOCK_PAUSE: Duration = Duration::from_millis(50);

/// Listening socket. Dropping it removes the socket file, unless another daemon has replaced it.
#[derive(Debug)]
pub struct ServerSocket {
    pub(crate) socket: UnixListener,
    /// `None` for a socket of the service manager, which removes the file itself.
    pub(crate) file: Option<RemovedFile>,
    pub(crate) policy: AccessPolicy,
}

/// Error of [`ServerSocket::bind`].
#[derive(Debug, thiserror::Error)]
#[expect(missing_docs, reason = "the fields are the path and its error")]
pub enum ListenError {
    /// A user or a group in the settings is unknown.
    #[error(transparent)]
    Access(#[from] AccessError),
    /// The path is longer than the address of a Unix socket.
    #[error("the socket path {path} is too long: 107 bytes at most; choose a shorter [rpc] socket")]
    TooLong { path: PathBuf },
    /// The directory cannot be created.
    #[error(
        "cannot use the directory {path} of the socket; create it, or choose another [rpc] socket"
    )]
    Directory { path: PathBuf, source: io::Error },
    /// The lock file cannot be opened.
    #[error("cannot lock {path}; remove it, or choose another [rpc] socket")]
    Lock { path: PathBuf, source: io::Error },
    /// Another user could hold the lock.
    #[error(
        "the lock file {path} belongs to another user, or others may open it; remove it, or choose another [rpc] socket"
    )]
    LockOwner { path: PathBuf },
    /// Another daemon holds the lock.
    #[error(
        "another monitord that starts keeps {path} locked; wait for it, or choose another [rpc] socket"
    )]
    Locked { path: PathBuf },
    /// Another daemon answers there.
    #[error("another monitord serves on {path}; stop it first, or give this one another --socket")]
    InUse { path: PathBuf },
    /// The path names another kind of file.
    #[error("{path} exists and is not a socket; remove it, or give another --socket")]
    NotASocket { path: PathBuf },
    /// The service manager passed something else than one listening Unix socket.
    #[error(
        "the service manager passed no usable socket; monitord.socket must have one ListenStream= with a path"
    )]
    Inherited(#[source] io::Error),
    /// Any other error of the system.
    #[error("cannot listen on {path}")]
    Io { path: PathBuf, source: io::Error },
}

impl ServerSocket {
    /// Creates the socket file with its group and permissions, then listens on it. No client can connect before that: the
    /// kernel refuses connections to a socket that is bound and doesn't listen yet. A stale socket file is replaced.
    ///
    /// # Errors
    /// When the settings name an unknown user or group, when another daemon serves there, or when the path names another
    /// kind of file.
    pub fn bind(settings: Rpc) -> Result<Self, ListenError> {
        let policy = AccessPolicy::new(settings)?;
        let (path, mode) = (&policy.settings.socket, policy.settings.mode);
        let group = policy::socket_group(&policy.settings)?;
        let address =
            SocketAddrUnix::new(path).map_err(|_| ListenError::TooLong { path: path.clone() })?;
        let _held_until_bound = lock(path)?;
        remove_stale(path)?;
        let failed = |source: io::Error| ListenError::Io {
            path: path.clone(),
            source,
        };
        let socket = bind(path, &address, mode, group).map_err(failed)?;
        let file = SocketFile::claim(path).map(RemovedFile).map_err(failed)?;
        rustix::net::listen(&socket, limits::BACKLOG).map_err(|error| failed(error.into()))?;
        Ok(Self {
            socket: UnixListener::from(socket),
            file: Some(file),
            policy,
        })
    }

    /// Serves on a listening socket of the service manager. Its file is neither locked nor removed, and its group and
    /// permissions are those that the service manager gave it.
    ///
    /// # Errors
    /// When the settings name an unknown user or group, or the socket cannot be made non-blocking.
    pub fn inherited(socket: UnixListener, settings: Rpc) -> Result<Self, ListenError> {
        let policy = AccessPolicy::new(settings)?;
        socket
            .set_nonblocking(true)
            .map_err(ListenError::Inherited)?;
        Ok(Self {
            socket,
            file: None,
            policy,
        })
    }
}

/// Creates the socket's directory and locks a file beside the socket, so that of two daemons that start at the same time
/// neither takes the other's socket for a stale one. Only the daemon's own user can open that file, so no other user can
/// hold its lock.
fn lock(socket: &Path) -> Result<File, ListenError> {
    let directory = match socket.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    };
    DirBuilder::new()
        .recursive(true)
        .mode(0o755)
        .create(directory)
        .map_err(|source| ListenError::Directory {
            path: directory.to_path_buf(),
            source,
        })?;
    let mut path = socket.as_os_str().to_owned();
    path.push(".lock");
    let path = PathBuf::from(path);
    let failed = |source| ListenError::Lock {
        path: path.clone(),
        source,
    };
    let file = File::options()
        .write(true)
        .create(true)
        .truncate(false)
        .mode(0o600)
        .custom_flags(libc::O_NOFOLLOW | libc::O_NONBLOCK)
        .open(&path)
        .map_err(failed)?;
    // A file of another user, which could hold the lock.
    let metadata = file.metadata().map_err(failed)?;
    if metadata.uid() != rustix::process::geteuid().as_raw() || metadata.mode() & 0o077 != 0 {
        return Err(ListenError::LockOwner { path });
    }
    for _ in 0..LOCK_TRIES {
        match rustix::fs::flock(&file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => return Ok(file),
            Err(Errno::WOULDBLOCK) => thread::sleep(LOCK_PAUSE),
            Err(error) => return Err(failed(error.into())),
        }
    }
    Err(ListenError::Locked { path })
}

fn remove_stale(path: &Path) -> Result<(), ListenError> {
    let path = path.to_path_buf();
    socket_file::remove_stale(&path).map_err(|error| match error {
        StaleError::InUse => ListenError::InUse { path },
        StaleError::NotASocket => ListenError::NotASocket { path },
        StaleError::Io(source) => ListenError::Io { path, source },
    })
}

fn bind(
    path: &Path,
    address: &SocketAddrUnix,
    mode: u32,
    group: Option<u32>,
) -> io::Result<OwnedFd> {
    let socket = stream_socket()?;
    // The file gets the mode of the socket without the umask's bits: never more than the setting.
    rustix::fs::fchmod(&socket, rustix::fs::Mode::from_raw_mode(mode))?;
    rustix::net::bind(&socket, address)?;
    let given = match group {
        Some(gid) => chown(path, None, Some(gid)),
        None => Ok(()),
    };
    // The bits that the umask removed. After the group: chown(2) may clear bits.
    given
        .and_then(|()| fs::set_permissions(path, Permissions::from_mode(mode)))
        .inspect_err(|_| drop(fs::remove_file(path)))?;
    Ok(socket)
}

fn stream_socket() -> Result<OwnedFd, Errno> {
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    rustix::net::socket_with(AddressFamily::UNIX, SocketType::STREAM, flags, None)
}

/// File of the socket, removed on drop.
#[derive(Debug)]
pub(crate) struct RemovedFile(SocketFile);

impl Drop for RemovedFile {
    fn drop(&mut self) {
        if let Err(error) = self.0.remove() {
            tracing::warn!(path = %self.0.path().display(), %error, "cannot remove the socket file");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings(socket: PathBuf) -> Rpc {
        Rpc {
            socket,
            ..Rpc::default()
        }
    }

    #[test]
    fn creates_the_directory_and_the_file_with_its_mode_and_removes_the_file() {
        let temporary = tempfile::tempdir().unwrap();
        let socket = temporary.path().join("a/b/monitord.sock");
        let listener = ServerSocket::bind(settings(socket.clone())).unwrap();
        let mode = |path: &Path| fs::symlink_metadata(path).unwrap().permissions().mode() & 0o7777;
        assert_eq!(mode(&socket), 0o660);
        assert_eq!(mode(socket.parent().unwrap()) & !0o022, 0o755);
        drop(listener);
        assert!(!socket.exists());
    }

    #[test]
    fn replaces_a_stale_socket_and_keeps_a_newer_one() {
        let temporary = tempfile::tempdir().unwrap();
        let socket = temporary.path().join("s");
        drop(UnixListener::bind(&socket).unwrap());
        let first = ServerSocket::bind(settings(socket.clone())).unwrap();
        fs::remove_file(&socket).unwrap();
        let _second = ServerSocket::bind(settings(socket.clone())).unwrap();
        drop(first);
        assert!(
            socket.exists(),
            "the first daemon removed the second one's socket"
        );
    }

    #[test]
    fn refuses_a_live_socket_and_other_kinds_of_files() {
        let temporary = tempfile::tempdir().unwrap();
        let socket = temporary.path().join("s");
        let _live = ServerSocket::bind(settings(socket.clone())).unwrap();
        let error = ServerSocket::bind(settings(socket.clone())).unwrap_err();
        assert!(matches!(error, ListenError::InUse { .. }), "{error}");
        let file = temporary.path().join("f");
        fs::write(&file, "precious").unwrap();
        let error = ServerSocket::bind(settings(file.clone())).unwrap_err();
        assert!(matches!(error, ListenError::NotASocket { .. }), "{error}");
        assert_eq!(fs::read(&file).unwrap(), b"precious");
        let long = temporary.path().join("x".repeat(120));
        let error = ServerSocket::bind(settings(long)).unwrap_err();
        assert!(matches!(error, ListenError::TooLong { .. }), "{error}");
    }

    #[test]
    fn only_the_owner_can_hold_the_lock() {
        let temporary = tempfile::tempdir().unwrap();
        let socket = temporary.path().join("s");
        // Any user can hold a lock of the directory itself, which others may read.
        let directory = File::open(temporary.path()).unwrap();
        rustix::fs::flock(&directory, FlockOperation::LockExclusive).unwrap();
        drop(ServerSocket::bind(settings(socket.clone())).unwrap());
        let lock = temporary.path().join("s.lock");
        assert_eq!(fs::metadata(&lock).unwrap().mode() & 0o777, 0o600);
        fs::set_permissions(&lock, Permissions::from_mode(0o666)).unwrap();
        let error = ServerSocket::bind(settings(socket)).unwrap_err();
        assert!(matches!(error, ListenError::LockOwner { .. }), "{error}");
    }

    #[test]
    fn the_socket_belongs_to_the_group_of_the_settings() {
        let temporary = tempfile::tempdir().unwrap();
        let socket = temporary.path().join("s");
        let bind = |group: &str| {
            ServerSocket::bind(Rpc {
                group: group.to_owned(),
                ..settings(socket.clone())
            })
        };
        // Every user may give a file to a group of its own.
        let own = rustix::process::getegid().as_raw();
        let _socket = bind(&own.to_string()).unwrap();
        assert_eq!(fs::symlink_metadata(&socket).unwrap().gid(), own);
        let error = bind("no-such-group").unwrap_err().to_string();
        assert!(
            error.starts_with("[rpc] group: there is no group \"no-such-group\""),
            "{error}"
        );
    }
}

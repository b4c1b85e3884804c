//! The socket file: made with its permissions, taken over when stale, removed when done.

use std::fs::{self, DirBuilder, File, Permissions};
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::fs::{DirBuilderExt, FileTypeExt, MetadataExt, PermissionsExt};
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::Duration;

use rustix::fs::FlockOperation;
use rustix::io::Errno;
use rustix::net::{AddressFamily, SocketAddrUnix, SocketFlags, SocketType};

use crate::config::Rpc;
use crate::rpc::access::policy::{AccessError, AccessPolicy};

/// Connections that the kernel keeps waiting for us to accept them.
const BACKLOG: i32 = 1024;
/// Two daemons that start together meet at the directory's lock; each holds it for less than a millisecond.
const LOCK_TRIES: u32 = 40;
const LOCK_PAUSE: Duration = Duration::from_millis(50);

/// A socket that clients can connect to. Dropping it removes the socket file, if it is still this one's.
#[derive(Debug)]
pub struct ServerSocket {
    pub(crate) socket: UnixListener,
    pub(crate) file: SocketFile,
    pub(crate) policy: AccessPolicy,
}

/// Why the daemon cannot listen.
#[derive(Debug, thiserror::Error)]
pub enum ListenError {
    /// A user or a group that the settings name is not known.
    #[error(transparent)]
    Access(#[from] AccessError),
    /// Longer than a Unix socket's address.
    #[error("the socket path {path} is too long: 107 bytes at most; choose a shorter [rpc] socket")]
    TooLong {
        /// Asked for.
        path: PathBuf,
    },
    /// The directory could not be made, or opened.
    #[error(
        "cannot use the directory {path} of the socket: {source}; make it, or choose another [rpc] socket"
    )]
    Directory {
        /// Which one.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// Somebody keeps the directory locked.
    #[error(
        "another program keeps the directory {path} locked; wait for it, or choose another [rpc] socket"
    )]
    Locked {
        /// Which one.
        path: PathBuf,
    },
    /// Another daemon answers there.
    #[error("another monitord serves on {path}; stop it first, or give this one another --socket")]
    InUse {
        /// Where.
        path: PathBuf,
    },
    /// Something that is no socket has that name.
    #[error("{path} exists and is not a socket; remove it, or give another --socket")]
    NotASocket {
        /// What.
        path: PathBuf,
    },
    /// Any other refusal of the system.
    #[error("cannot listen on {path}: {source}")]
    Io {
        /// Where.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
}

impl ServerSocket {
    /// Makes the socket file with its permissions and listens on it. Nobody can connect before the permissions are
    /// set: the kernel refuses connections to a socket that is bound and does not listen yet.
    ///
    /// A stale socket file (nobody accepts on it) is replaced; a live one is an error, and so is anything that is
    /// not a socket.
    pub fn bind(settings: Rpc) -> Result<Self, ListenError> {
        let policy = AccessPolicy::new(settings)?;
        let (path, mode) = (&policy.settings.socket, policy.settings.mode);
        let address =
            SocketAddrUnix::new(path).map_err(|_| ListenError::TooLong { path: path.clone() })?;
        let _held_until_bound = lock_directory(path)?;
        remove_stale(path, &address)?;
        let failed = |source: io::Error| ListenError::Io {
            path: path.clone(),
            source,
        };
        let socket = bind(path, &address, mode).map_err(failed)?;
        let file = SocketFile::claim(path).map_err(failed)?;
        rustix::net::listen(&socket, BACKLOG).map_err(|error| failed(error.into()))?;
        Ok(Self {
            socket: UnixListener::from(socket),
            file,
            policy,
        })
    }
}

/// Makes the socket's directory and locks it, so that of two daemons that start at once neither takes the other's
/// socket for a stale one.
fn lock_directory(socket: &Path) -> Result<File, ListenError> {
    let path = match socket.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    };
    let failed = |source| ListenError::Directory {
        path: path.to_path_buf(),
        source,
    };
    DirBuilder::new()
        .recursive(true)
        .mode(0o755)
        .create(path)
        .map_err(failed)?;
    let directory = File::open(path).map_err(failed)?;
    for _ in 0..LOCK_TRIES {
        match rustix::fs::flock(&directory, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => return Ok(directory),
            Err(Errno::WOULDBLOCK) => thread::sleep(LOCK_PAUSE),
            Err(error) => return Err(failed(error.into())),
        }
    }
    Err(ListenError::Locked {
        path: path.to_path_buf(),
    })
}

fn remove_stale(path: &Path, address: &SocketAddrUnix) -> Result<(), ListenError> {
    let failed = |source: io::Error| ListenError::Io {
        path: path.to_path_buf(),
        source,
    };
    match fs::symlink_metadata(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(failed(error)),
        Ok(metadata) if !metadata.file_type().is_socket() => {
            return Err(ListenError::NotASocket {
                path: path.to_path_buf(),
            });
        }
        Ok(_) => {}
    }
    let probe = stream_socket().map_err(|error| failed(error.into()))?;
    match rustix::net::connect(&probe, address) {
        Err(Errno::CONNREFUSED) => fs::remove_file(path).map_err(failed),
        // A full backlog: somebody listens.
        Ok(()) | Err(Errno::AGAIN) => Err(ListenError::InUse {
            path: path.to_path_buf(),
        }),
        Err(error) => Err(failed(error.into())),
    }
}

fn bind(path: &Path, address: &SocketAddrUnix, mode: u32) -> io::Result<OwnedFd> {
    let socket = stream_socket()?;
    // The file takes the socket's own mode, less the umask: at no moment more than asked for.
    rustix::fs::fchmod(&socket, rustix::fs::Mode::from_raw_mode(mode))?;
    rustix::net::bind(&socket, address)?;
    // And what the umask took away.
    fs::set_permissions(path, Permissions::from_mode(mode))
        .inspect_err(|_| drop(fs::remove_file(path)))?;
    Ok(socket)
}

fn stream_socket() -> Result<OwnedFd, Errno> {
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    rustix::net::socket_with(AddressFamily::UNIX, SocketType::STREAM, flags, None)
}

/// The name in the file system; it goes when this does.
#[derive(Debug)]
pub(crate) struct SocketFile {
    path: PathBuf,
    /// Device and inode: another daemon may have taken the name meanwhile.
    identity: (u64, u64),
}

impl SocketFile {
    fn claim(path: &Path) -> io::Result<Self> {
        // The working directory may change before it is removed.
        let path = std::path::absolute(path)?;
        let identity = identity(&path)?;
        Ok(Self { path, identity })
    }
}

impl Drop for SocketFile {
    fn drop(&mut self) {
        if identity(&self.path).is_ok_and(|now| now == self.identity)
            && let Err(error) = fs::remove_file(&self.path)
        {
            tracing::warn!(path = %self.path.display(), %error, "cannot remove the socket file");
        }
    }
}

fn identity(path: &Path) -> io::Result<(u64, u64)> {
    let metadata = fs::symlink_metadata(path)?;
    Ok((metadata.dev(), metadata.ino()))
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
    fn makes_the_directory_and_the_file_with_its_mode_and_removes_the_file() {
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
    fn replaces_a_stale_socket_and_leaves_a_newer_one() {
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
    fn refuses_a_live_socket_and_what_is_no_socket() {
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
}

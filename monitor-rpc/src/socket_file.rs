//! File of a listening Unix socket: replaced if its server has died, removed only by the server that created it.

use std::fs;
use std::io;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::{Path, PathBuf};

use rustix::io::Errno;
use rustix::net::{AddressFamily, SocketAddrUnix, SocketFlags, SocketType};

/// Reason why a socket cannot be created at a path.
#[derive(Debug, thiserror::Error)]
pub enum StaleError {
    /// A server listens there.
    #[error("another program serves there")]
    InUse,
    /// The path names another kind of file.
    #[error("the file exists and is not a socket")]
    NotASocket,
    /// Any other error of the system.
    #[error("the socket file cannot be examined or removed")]
    Io(#[source] io::Error),
}

/// Removes the file of a socket that no server listens on. A path without a file is no error.
///
/// ```
/// use monitor_rpc::socket_file::{StaleError, remove_stale};
///
/// let path = std::env::temp_dir().join(format!("stale-{}", std::process::id()));
/// let server = std::os::unix::net::UnixListener::bind(&path)?;
/// assert!(matches!(remove_stale(&path), Err(StaleError::InUse)));
/// drop(server);
/// assert!(path.exists() && remove_stale(&path).is_ok() && !path.exists());
/// # Ok::<(), std::io::Error>(())
/// ```
///
/// # Errors
/// [`StaleError`] if a server listens there, or if the path names another kind of file.
pub fn remove_stale(path: &Path) -> Result<(), StaleError> {
    match fs::symlink_metadata(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(StaleError::Io(error)),
        Ok(metadata) if !metadata.file_type().is_socket() => return Err(StaleError::NotASocket),
        Ok(_) => {}
    }
    match probe(path) {
        Err(Errno::CONNREFUSED) => fs::remove_file(path).map_err(StaleError::Io),
        // A full backlog: a server listens.
        Ok(()) | Err(Errno::AGAIN) => Err(StaleError::InUse),
        Err(error) => Err(StaleError::Io(error.into())),
    }
}

/// Connects without waiting.
fn probe(path: &Path) -> Result<(), Errno> {
    let address = SocketAddrUnix::new(path)?;
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    let socket = rustix::net::socket_with(AddressFamily::UNIX, SocketType::STREAM, flags, None)?;
    rustix::net::connect(&socket, &address)
}

/// Name of a socket in the file system, which its server has created.
///
/// ```
/// use monitor_rpc::socket_file::SocketFile;
///
/// let path = std::env::temp_dir().join(format!("socket-{}", std::process::id()));
/// let server = std::os::unix::net::UnixListener::bind(&path)?;
/// let file = SocketFile::claim(&path)?;
/// drop(server);
/// file.remove()?;
/// assert!(!path.exists());
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Debug)]
pub struct SocketFile {
    path: PathBuf,
    /// Device and inode, since another server may have replaced the file.
    identity: (u64, u64),
}

impl SocketFile {
    /// Notes the identity of a file that was just created.
    ///
    /// # Errors
    /// The file cannot be examined.
    pub fn claim(path: &Path) -> io::Result<Self> {
        // The working directory may change before it is removed.
        let path = std::path::absolute(path)?;
        let identity = identity(&path)?;
        Ok(Self { path, identity })
    }

    /// Returns its absolute path.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Removes the file, unless another server has replaced it.
    ///
    /// # Errors
    /// The file cannot be removed.
    pub fn remove(&self) -> io::Result<()> {
        match identity(&self.path) {
            Ok(now) if now == self.identity => fs::remove_file(&self.path),
            _ => Ok(()),
        }
    }
}

fn identity(path: &Path) -> io::Result<(u64, u64)> {
    let metadata = fs::symlink_metadata(path)?;
    Ok((metadata.dev(), metadata.ino()))
}

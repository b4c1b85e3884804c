//! Clients of other users: threads, of which each may have a user of its own on Linux.

use std::fs;
use std::panic;
use std::path::Path;
use std::thread;

use std::os::unix::fs::PermissionsExt;

use rustix::process::{Gid, Uid};
use rustix::thread::{set_thread_groups, set_thread_res_gid, set_thread_res_uid};

/// Runs `body` as a user, with a group of the same number and others. The peer of a socket
/// connected inside sees that user.
///
/// # Panics
/// Without root, and when `body` does.
pub fn as_user<T: Send>(uid: u32, groups: &[u32], body: impl FnOnce() -> T + Send) -> T {
    let change = || {
        let groups: Vec<_> = groups.iter().map(|&gid| Gid::from_raw(gid)).collect();
        set_thread_groups(&groups)?;
        let (uid, gid) = (Uid::from_raw(uid), Gid::from_raw(uid));
        set_thread_res_gid(gid, gid, gid)?;
        set_thread_res_uid(uid, uid, uid)
    };
    let result = thread::scope(|scope| {
        let user = scope.spawn(|| {
            change().expect("root may be anybody");
            body()
        });
        user.join()
    });
    result.unwrap_or_else(|panic| panic::resume_unwind(panic))
}

/// Lets other users reach a socket that lies in a directory of our own.
///
/// # Panics
/// When the directory is not ours.
pub fn open_to_all(socket: &Path) {
    let directory = socket.parent().expect("a socket lies in a directory");
    fs::set_permissions(directory, fs::Permissions::from_mode(0o755))
        .expect("the directory is ours");
}

//! The groups of the process at the other end of a socket (unix(7), SO_PEERGROUPS).

#![expect(
    unsafe_code,
    reason = "no crate that we use asks for this socket option, whose answer has no fixed size"
)]

use std::io;
use std::os::fd::{AsRawFd, BorrowedFd};

/// First size of the list; enough for nearly every user. The kernel returns the necessary size when it is too small.
const USUAL: usize = 32;

/// Returns the supplementary groups that the peer had when it connected. /proc shows those of now: the process may have
/// become another program by then, with more groups than its user has.
pub(crate) fn of(socket: BorrowedFd<'_>) -> io::Result<Vec<libc::gid_t>> {
    let mut groups: Vec<libc::gid_t> = vec![0; USUAL];
    loop {
        let mut len = size_of_val(groups.as_slice()) as libc::socklen_t;
        // SAFETY: the descriptor is open while it is borrowed; the kernel writes at most `len` bytes to `groups`, which
        // has that size, and their count to `len`. Any bytes are valid group ids.
        let result = unsafe {
            libc::getsockopt(
                socket.as_raw_fd(),
                libc::SOL_SOCKET,
                libc::SO_PEERGROUPS,
                groups.as_mut_ptr().cast(),
                &raw mut len,
            )
        };
        let count = len as usize / size_of::<libc::gid_t>();
        if result == 0 {
            groups.truncate(count);
            return Ok(groups);
        }
        let error = io::Error::last_os_error();
        if error.raw_os_error() != Some(libc::ERANGE) || count <= groups.len() {
            return Err(error);
        }
        groups.resize(count, 0);
    }
}

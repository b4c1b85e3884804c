//! The groups of the process at the other end of a socket (unix(7), SO_PEERGROUPS).

#![expect(
    unsafe_code,
    reason = "no crate that we use asks for this socket option, whose answer has no fixed size"
)]

use std::io;
use std::os::fd::{AsRawFd, BorrowedFd};

/// Room for the groups of nearly everybody; the kernel says how much it needs when this is too little.
const USUAL: usize = 32;

/// The supplementary groups that the peer had when it connected. Not what /proc says of it now: that process may have
/// become another program by then, with more groups than its user has.
pub(crate) fn of(socket: BorrowedFd<'_>) -> io::Result<Vec<libc::gid_t>> {
    let mut groups: Vec<libc::gid_t> = vec![0; USUAL];
    loop {
        let mut len = size_of_val(groups.as_slice()) as libc::socklen_t;
        // SAFETY: the descriptor is open for as long as it is borrowed; the kernel writes at most `len` bytes to
        // `groups`, which holds so many, and their count to `len`. Any bytes are good group ids.
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

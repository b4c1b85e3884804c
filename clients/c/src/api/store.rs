//! Functions that read an attached store without a context, for programs that know connections by the RPC's numbers. The
//! Python client is one.

use std::ffi::{c_char, c_int};
use std::time::Duration;

use libc::ssize_t;

use crate::context::one_side;
use crate::failure::{Failure, answer};
use crate::memory;
use crate::store;
use crate::types::monitor_read;

/// Attaches to the store of the daemon at `socket`, the path of its socket. It waits at most `timeout_ms` milliseconds for
/// the answer; without a limit if that is negative. Returns the number of the store, 0 or above.
///
/// EAGAIN: the daemon doesn't answer in time. EPERM: the program's user isn't in `[rpc] attach`. EINVAL: the store isn't
/// shared, or `socket` isn't UTF-8. EFAULT. EPROTO: a daemon of another version.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn monitor_attach(socket: *const c_char, timeout_ms: c_int) -> c_int {
    // SAFETY: the caller promises a string.
    let path = unsafe { memory::text(socket) };
    let time = u64::try_from(timeout_ms).ok().map(Duration::from_millis);
    answer(path.and_then(|path| store::attach(&path.ok_or(Failure(libc::EFAULT))?, time)))
}

/// Copies at most `len` bytes of a side from `off` on, up to the next hole, and writes the side's offsets to `*read` unless
/// it is NULL. Returns the number of bytes copied. It makes no system call, and any thread may call it.
///
/// The errno values are those of mtcp_ppeek(). EBADF: no such store or connection; or the daemon has ended.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn monitor_store_ppeek(
    store: c_int,
    rpc_sockid: u64,
    side: c_int,
    buf: *mut c_char,
    len: usize,
    off: u64,
    read: *mut monitor_read,
) -> ssize_t {
    answer(one_side(side).and_then(|side| {
        // SAFETY: the caller promises `len` bytes of its own.
        let buffer = unsafe { memory::buffer(buf.cast(), len) }?;
        let head = store::ppeek(store, rpc_sockid, side, off, buffer)?;
        if !read.is_null() {
            let offsets = monitor_read {
                base: head.base,
                next: head.next,
                end: head.end,
                fin: head.fin.unwrap_or(u64::MAX),
            };
            // SAFETY: the caller promises room for the offsets.
            unsafe { memory::write(read, offsets) }?;
        }
        ssize_t::try_from(head.len).map_err(|_| Failure(libc::EPROTO))
    }))
}

/// Detaches from a store.
///
/// EBADF: no such store.
#[unsafe(no_mangle)]
pub extern "C" fn monitor_detach(store: c_int) -> c_int {
    answer(store::detach(store).map(|()| 0))
}

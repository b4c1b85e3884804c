//! Functions for packets.

use std::ffi::c_int;

use libc::off_t;

use crate::event_types::{byte, pkt_info};
use crate::failure::{Failure, answer};
use crate::types::mctx_t;
use crate::{memory, registry};

/// Copies the packet of the event that the callback is called for, and describes the copy in `*p`. There is one in callbacks
/// of MOS_ON_PKT_IN and MOS_ON_ORPHAN, and in those of events that are defined from them. `side` has no effect. The next
/// call replaces the copy.
///
/// EACCES, EBADF, EFAULT. ENODATA: no packet.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mtcp_getlastpkt(
    mctx: mctx_t,
    sock: c_int,
    side: c_int,
    p: *mut pkt_info,
) -> c_int {
    let _ = side;
    answer(registry::within(mctx, |context| {
        let info = context.last_packet(sock)?;
        // SAFETY: the caller promises room for the structure.
        unsafe { memory::write(p, info) }.map(|()| 0)
    }))
}

/// Always fails: an observer changes no packet.
///
/// EACCES, EBADF. EPERM: `sock` is a socket.
#[unsafe(no_mangle)]
pub extern "C" fn mtcp_setlastpkt(
    mctx: mctx_t,
    sock: c_int,
    side: c_int,
    offset: off_t,
    data: *mut byte,
    datalen: u16,
    option: c_int,
) -> c_int {
    let _ = (side, offset, data, datalen, option);
    answer(registry::within(mctx, |context| {
        context.exists(sock)?;
        Err(Failure(libc::EPERM))
    }))
}

/// Always fails: an observer sends no packet.
///
/// EACCES: the call is not possible, whatever its arguments.
#[unsafe(no_mangle)]
pub extern "C" fn mtcp_sendpkt(mctx: mctx_t, sock: c_int, pkt: *const pkt_info) -> c_int {
    let _ = (mctx, sock, pkt);
    answer(Err(Failure(libc::EACCES)))
}

/// Always fails: an observer ends no connection.
///
/// EINVAL: `sock` is a socket of mtcp_socket(). EACCES otherwise.
#[unsafe(no_mangle)]
pub extern "C" fn mtcp_reset_conn(mctx: mctx_t, sock: c_int) -> c_int {
    answer(registry::within(mctx, |context| {
        let is_listener = context.monitor.listeners.contains_key(&sock);
        Err(Failure(if is_listener {
            libc::EINVAL
        } else {
            libc::EACCES
        }))
    }))
}

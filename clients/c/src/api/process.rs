//! Functions for the process and its contexts.

use std::ffi::{c_char, c_int};

use crate::event_types::{mtcp_conf, mtcp_sighandler_t};
use crate::failure::answer;
use crate::types::mctx_t;
use crate::{memory, registry, serve, settings, sys};

/// Reads an mOS configuration file for mtcp_getconf(). Capture, memory and timeouts are the daemon's, so a file is not
/// needed: NULL and a path without a file are no errors.
///
/// EINVAL: the file is none of mOS's; or as open(2).
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mtcp_init(config_file: *const c_char) -> c_int {
    // SAFETY: the caller promises a string.
    let path = unsafe { memory::text(config_file) };
    answer(path.and_then(|path| settings::read(path.as_deref())))
}

/// Forgets the settings. Contexts are not affected.
#[unsafe(no_mangle)]
pub extern "C" fn mtcp_destroy() -> c_int {
    settings::reset();
    0
}

/// Writes the settings to `*conf`.
///
/// EFAULT.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mtcp_getconf(conf: *mut mtcp_conf) -> c_int {
    // SAFETY: the caller promises room for the structure.
    answer(unsafe { memory::write(conf, settings::get()) }.map(|()| 0))
}

/// Replaces the settings, before contexts are created.
///
/// EINVAL: `num_cores` is below 1. EFAULT.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mtcp_setconf(conf: *const mtcp_conf) -> c_int {
    // SAFETY: the caller promises the structure.
    answer(unsafe { memory::read(conf) }.and_then(settings::set))
}

/// Sets the handler of a signal, which may call mtcp_destroy_context(). Interrupted system calls continue.
///
/// Returns the previous handler, or SIG_ERR with errno as signal(2).
#[unsafe(no_mangle)]
pub extern "C" fn mtcp_register_signal(
    signum: c_int,
    handler: mtcp_sighandler_t,
) -> mtcp_sighandler_t {
    sys::set_handler(signum, handler)
}

/// Connects to the daemon: at the path in the environment variable MONITOR_SOCKET, else at /run/monitord/monitord.sock.
/// With `cpu` a worker's number, the context sees only the connections of that worker, and none beyond the last worker;
/// with -1, all of them. Threads that share a context wait for each other; give each its own instead.
///
/// Returns NULL on error. EACCES: `cpu` is below -1; or as connect(2).
#[unsafe(no_mangle)]
pub extern "C" fn mtcp_create_context(cpu: c_int) -> mctx_t {
    registry::create(cpu).unwrap_or_else(|failure| {
        answer::<c_int>(Err(failure));
        std::ptr::null_mut()
    })
}

/// Disconnects. All descriptors of the context are void, and mtcp_app_join() returns. A signal handler may call it.
///
/// EACCES: `mctx` is no context, or was destroyed before.
#[unsafe(no_mangle)]
pub extern "C" fn mtcp_destroy_context(mctx: mctx_t) -> c_int {
    answer(registry::destroy(mctx))
}

/// Runs the callbacks of a context in the calling thread, in order, one at a time, until the context is destroyed. It also
/// runs those of other contexts that the thread has created and that no thread has joined, so that a thread may join
/// several contexts one after the other. Returns at once if `mctx` is no context.
#[unsafe(no_mangle)]
pub extern "C" fn mtcp_app_join(mctx: mctx_t) {
    answer::<c_int>(serve::join(mctx).map(|()| 0));
}

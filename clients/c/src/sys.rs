//! System calls: events between threads, and waiting for descriptors.

use std::ffi::c_int;
use std::io;
use std::os::fd::RawFd;
use std::time::Duration;

use crate::event_types::mtcp_sighandler_t;
use crate::failure::Failure;

/// Creates an eventfd. Reading it never waits if `is_waiting` is false.
pub(crate) fn eventfd(is_waiting: bool) -> Result<RawFd, Failure> {
    let wait = if is_waiting { 0 } else { libc::EFD_NONBLOCK };
    // SAFETY: no pointers.
    let fd = unsafe { libc::eventfd(0, libc::EFD_CLOEXEC | wait) };
    if fd < 0 { Err(last()) } else { Ok(fd) }
}

/// Makes an eventfd readable. It may be called in a signal handler; errno is kept.
pub(crate) fn notify(fd: RawFd) {
    let number = errno::errno();
    let one = 1_u64.to_ne_bytes();
    // SAFETY: eight bytes that live during the call. Another descriptor than an eventfd is never passed.
    unsafe { libc::write(fd, one.as_ptr().cast(), one.len()) };
    errno::set_errno(number);
}

/// Reads an eventfd: it isn't readable afterwards.
pub(crate) fn clear(fd: RawFd) {
    let mut count = [0_u8; 8];
    // SAFETY: eight bytes that live during the call.
    unsafe { libc::read(fd, count.as_mut_ptr().cast(), count.len()) };
}

/// Closes a descriptor.
pub(crate) fn close(fd: RawFd) {
    // SAFETY: the caller owns the descriptor, and doesn't use it afterwards.
    unsafe { libc::close(fd) };
}

/// Waits until a descriptor is readable, at most for a time, or until a signal. Returns the readable ones.
pub(crate) fn wait(fds: &[RawFd], timeout: Option<Duration>) -> Vec<RawFd> {
    let mut list: Vec<libc::pollfd> = fds
        .iter()
        .map(|&fd| libc::pollfd {
            fd,
            events: libc::POLLIN,
            revents: 0,
        })
        .collect();
    // Rounded up, so that a timer has expired at the end.
    let millis = timeout.map_or(-1, |timeout| {
        let millis = timeout.as_micros().div_ceil(1000);
        c_int::try_from(millis).unwrap_or(c_int::MAX)
    });
    // SAFETY: a list of that length, which lives during the call.
    let count = unsafe { libc::poll(list.as_mut_ptr(), list.len() as libc::nfds_t, millis) };
    if count <= 0 {
        return Vec::new();
    }
    let ready = list.iter().filter(|entry| entry.revents != 0);
    ready.map(|entry| entry.fd).collect()
}

/// Returns the number of processors that are online.
pub(crate) fn processors() -> c_int {
    // SAFETY: no pointers.
    let count = unsafe { libc::sysconf(libc::_SC_NPROCESSORS_ONLN) };
    c_int::try_from(count).unwrap_or(1).max(1)
}

/// Binds the calling thread to a processor. EINVAL: no such processor.
pub(crate) fn affinitize(cpu: c_int) -> Result<c_int, Failure> {
    let index = usize::try_from(cpu).map_err(|_| Failure(libc::EINVAL))?;
    if index >= libc::CPU_SETSIZE as usize {
        return Err(Failure(libc::EINVAL));
    }
    // SAFETY: the set is plain bits, and the index lies within it.
    let result = unsafe {
        let mut set: libc::cpu_set_t = std::mem::zeroed();
        libc::CPU_SET(index, &mut set);
        libc::sched_setaffinity(0, size_of::<libc::cpu_set_t>(), &set)
    };
    if result < 0 { Err(last()) } else { Ok(0) }
}

fn last() -> Failure {
    Failure(
        io::Error::last_os_error()
            .raw_os_error()
            .unwrap_or(libc::EIO),
    )
}

/// Blocks all signals of the calling thread. Returns those that were blocked before.
pub(crate) fn block_signals() -> libc::sigset_t {
    // SAFETY: sets are plain bits; both live during the calls.
    unsafe {
        let mut all: libc::sigset_t = std::mem::zeroed();
        let mut before: libc::sigset_t = std::mem::zeroed();
        libc::sigfillset(&mut all);
        libc::pthread_sigmask(libc::SIG_SETMASK, &all, &mut before);
        before
    }
}

/// Sets the blocked signals of the calling thread.
pub(crate) fn restore_signals(before: &libc::sigset_t) {
    // SAFETY: a set that lives during the call.
    unsafe { libc::pthread_sigmask(libc::SIG_SETMASK, before, std::ptr::null_mut()) };
}

/// Sets the handler of a signal. Returns the previous one; SIG_ERR on error.
pub(crate) fn set_handler(signum: c_int, handler: mtcp_sighandler_t) -> mtcp_sighandler_t {
    let number = handler.map_or(libc::SIG_DFL, |handler| handler as libc::sighandler_t);
    // SAFETY: the program gave a function of this type, or one of the constants of signal(2).
    let previous = unsafe { libc::signal(signum, number) };
    // SAFETY: a handler of this type, or a constant, which C compares and doesn't call. SIG_DFL is the null pointer.
    unsafe { std::mem::transmute::<libc::sighandler_t, mtcp_sighandler_t>(previous) }
}

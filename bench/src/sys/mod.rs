//! System calls that the standard library lacks.
#![expect(
    unsafe_code,
    reason = "system calls, and memory that is shared with the kernel"
)]

pub mod bpf;
pub mod packet;
pub mod xdp;

use std::io;
use std::mem::zeroed;
use std::process::{Child, ExitStatus};
use std::time::Duration;

use rustix::net::{AddressFamily, SocketType, netdevice, socket};

/// Resources used by a process, with its threads, without its children.
#[derive(Clone, Copy, Debug)]
pub struct Usage {
    /// Processor time in user space and in the kernel.
    pub cpu: Duration,
    /// Peak resident memory, bytes. Never below that of the parent at its start.
    pub peak: u64,
}

/// Waits for the end of a child; returns its exit status and usage.
pub fn wait(child: &Child) -> io::Result<(ExitStatus, Usage)> {
    use std::os::unix::process::ExitStatusExt;
    let mut status = 0;
    // SAFETY: all zeros is a value of this C struct of integers.
    let mut usage: libc::rusage = unsafe { zeroed() };
    loop {
        // SAFETY: both pointers are to values of the types that wait4(2) writes.
        let waited = unsafe {
            libc::wait4(
                child.id() as libc::pid_t,
                &raw mut status,
                0,
                &raw mut usage,
            )
        };
        if waited >= 0 {
            break;
        }
        let error = io::Error::last_os_error();
        if error.kind() != io::ErrorKind::Interrupted {
            return Err(error);
        }
    }
    let time = |t: libc::timeval| Duration::new(t.tv_sec as u64, t.tv_usec as u32 * 1000);
    let usage = Usage {
        cpu: time(usage.ru_utime) + time(usage.ru_stime),
        peak: usage.ru_maxrss as u64 * 1024,
    };
    Ok((ExitStatus::from_raw(status), usage))
}

/// Returns the error of a system call that returned a negative number.
fn checked(result: libc::c_long) -> io::Result<libc::c_long> {
    if result < 0 {
        Err(io::Error::last_os_error())
    } else {
        Ok(result)
    }
}

/// Lets this thread run before every other one of its processor whenever it has something to do (SCHED_FIFO). It has to
/// sleep in between.
pub fn come_first() -> io::Result<()> {
    // SAFETY: all zeros is a value of this C struct of integers.
    let mut parameters: libc::sched_param = unsafe { zeroed() };
    parameters.sched_priority = 1;
    // SAFETY: the pointer is to parameters of the type that sched_setscheduler(2) reads; 0 is this thread.
    let result = unsafe { libc::sched_setscheduler(0, libc::SCHED_FIFO, &raw const parameters) };
    checked(result.into()).map(drop)
}

/// The number of an interface.
pub fn index(interface: &str) -> io::Result<u32> {
    let any = socket(AddressFamily::INET, SocketType::DGRAM, None)?;
    Ok(netdevice::name_to_index(&any, interface)?)
}

/// Asks for the cache line that this starts in.
#[inline]
pub fn prefetch<T>(at: &T) {
    #[cfg(target_arch = "x86_64")]
    // SAFETY: a prefetch is a hint: it reads nothing and faults on nothing. SSE is part of x86_64.
    unsafe {
        std::arch::x86_64::_mm_prefetch::<{ std::arch::x86_64::_MM_HINT_T0 }>(
            (&raw const *at).cast(),
        );
    }
    #[cfg(not(target_arch = "x86_64"))]
    let _ = at;
}

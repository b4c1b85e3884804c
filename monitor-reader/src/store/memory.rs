//! Memory of an arena: an anonymous mapping, a sealed memfd that other processes may map, or such a mapping there.
//!
//! All of them start at a multiple of a huge page. For anonymous memory the kernel then provides huge pages by itself.
//! For a memfd it usually doesn't (`shmem_enabled` is `never`), but does so on request (MADV_COLLAPSE, Linux 6.1) where
//! one page of each huge page exists. 512 MiB take 0.10 s that way, as much as anonymous memory takes. Collapsing
//! memory that is populated already takes 0.4 s beside the 0.8 s of its small pages.
#![expect(
    unsafe_code,
    reason = "maps memory at an aligned address, touches it and unmaps it"
)]

use std::ffi::c_void;
use std::fs::File;
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::ptr::{self, NonNull};
use std::sync::atomic::AtomicU8;
use std::sync::atomic::Ordering::Relaxed;

use rustix::fs::{MemfdFlags, SealFlags};

use super::header::AttachError;

/// Bytes of a huge page. Where they differ, the alignment is of no use, and harmless.
pub const HUGE: usize = 2 << 20;

/// Mapping that stays at its place until it is dropped.
pub struct Memory {
    /// First byte, at a multiple of [`HUGE`].
    start: NonNull<u8>,
    len: usize,
    /// Address space around it, which is unmapped in the end.
    reserved: (NonNull<c_void>, usize),
    /// Descriptor to pass to other processes, which can read through it but neither write nor truncate.
    descriptor: Option<OwnedFd>,
}

impl Memory {
    /// Reserves anonymous memory. The kernel provides pages, zeroed, at their first use.
    ///
    /// # Errors
    /// The system's error if it refuses the mapping.
    pub fn anonymous(len: usize) -> io::Result<Self> {
        let memory = Self::reserve(len, libc::PROT_READ | libc::PROT_WRITE)?;
        // A hint: huge pages mean fewer TLB misses and page faults. Refused where there are none.
        let _ = memory.advise(0, len, libc::MADV_HUGEPAGE);
        Ok(memory)
    }

    /// Reserves memory that other processes may map: a memfd, sealed so that its size stays and that no later mapping
    /// can be writable. Pages are provided as for anonymous memory, but small ones ([`Memory::provide`]).
    ///
    /// # Errors
    /// The system's error if it refuses the memfd, its seals (before Linux 5.1) or the mapping.
    pub fn shared(len: usize) -> io::Result<Self> {
        let file = memfd(len)?;
        let mut memory = Self::map(&file, len, libc::PROT_READ | libc::PROT_WRITE)?;
        let _ = memory.advise(0, len, libc::MADV_HUGEPAGE);
        let seals = SealFlags::GROW | SealFlags::SHRINK | SealFlags::FUTURE_WRITE | SealFlags::SEAL;
        rustix::fs::fcntl_add_seals(&file, seals)?;
        // A descriptor of its own without the right to write. Where /proc is missing, the seals have to suffice.
        let reading = File::open(format!("/proc/self/fd/{}", file.as_raw_fd()));
        memory.descriptor = Some(reading.map_or(file, OwnedFd::from));
        Ok(memory)
    }

    /// Maps another process's shared memory for reading.
    ///
    /// # Errors
    /// [`AttachError::Unsealed`] if it could be truncated, which would make each later read a fault; the system's error
    /// if it refuses the mapping.
    pub fn attach(descriptor: impl AsFd) -> Result<Self, AttachError> {
        let seals = rustix::fs::fcntl_get_seals(&descriptor).map_err(|_| AttachError::Unsealed)?;
        if !seals.contains(SealFlags::SHRINK) {
            return Err(AttachError::Unsealed);
        }
        let failed = |error: rustix::io::Errno| AttachError::Map(error.into());
        let size = rustix::fs::fstat(&descriptor).map_err(failed)?.st_size;
        let len = usize::try_from(size).unwrap_or(0);
        if len == 0 {
            return Err(AttachError::Foreign);
        }
        Self::map(&descriptor, len, libc::PROT_READ).map_err(AttachError::Map)
    }

    /// Returns the first byte.
    #[inline(always)]
    pub fn start(&self) -> *mut u8 {
        self.start.as_ptr()
    }

    /// Returns the number of bytes.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Returns the descriptor of shared memory.
    pub fn descriptor(&self) -> Option<BorrowedFd<'_>> {
        self.descriptor.as_ref().map(AsFd::as_fd)
    }

    /// Makes the kernel provide, and zero, every page now instead of at its first use (Linux 5.14, MADV_POPULATE_WRITE).
    ///
    /// # Errors
    /// The system's error, for example on an older kernel.
    pub fn prefault(&self) -> io::Result<()> {
        // What can't be had in huge pages comes in small ones.
        let _ = self.provide(0, self.len);
        self.advise(0, self.len, libc::MADV_POPULATE_WRITE)
    }

    /// Makes the kernel provide huge pages for shared memory: from the one that holds `from` to the last that ends at or
    /// before `to`. Anonymous memory gets them at its first use.
    ///
    /// # Errors
    /// The system's error on older kernels, and on those without huge pages: small pages stay.
    pub fn provide(&self, from: usize, to: usize) -> io::Result<()> {
        let (from, to) = (from / HUGE * HUGE, to.min(self.len) / HUGE * HUGE);
        if self.descriptor.is_none() || from >= to {
            return Ok(());
        }
        for at in (from..to).step_by(HUGE) {
            // SAFETY: `at` is inside the mapping. The worker may use the byte at the same time, as an atomic one.
            let byte = unsafe { AtomicU8::from_ptr(self.start().add(at)) }.load(Relaxed);
            // A read provides the page, unless the compiler leaves it out.
            std::hint::black_box(byte);
        }
        self.advise(from, to - from, libc::MADV_COLLAPSE)
    }

    fn advise(&self, at: usize, len: usize, advice: libc::c_int) -> io::Result<()> {
        debug_assert!(at + len <= self.len);
        // SAFETY: the range is inside the mapping, and none of the advices used here discards contents.
        let result = unsafe { libc::madvise(self.start().add(at).cast(), len, advice) };
        if result == 0 {
            Ok(())
        } else {
            Err(io::Error::last_os_error())
        }
    }

    /// Maps `len` bytes of a file at an aligned address.
    fn map(file: impl AsFd, len: usize, protection: libc::c_int) -> io::Result<Self> {
        let memory = Self::reserve(len, libc::PROT_NONE)?;
        let flags = libc::MAP_SHARED | libc::MAP_FIXED | libc::MAP_NORESERVE;
        let file = file.as_fd().as_raw_fd();
        // SAFETY: it replaces the reservation from its first aligned byte on, `len` bytes, which nothing uses yet.
        let at = unsafe { libc::mmap(memory.start().cast(), len, protection, flags, file, 0) };
        if at == libc::MAP_FAILED {
            return Err(io::Error::last_os_error());
        }
        Ok(memory)
    }

    /// Maps `len` anonymous bytes at an aligned address.
    fn reserve(len: usize, protection: libc::c_int) -> io::Result<Self> {
        let total = len
            .checked_add(HUGE)
            .ok_or_else(|| io::Error::from(io::ErrorKind::OutOfMemory))?;
        let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_NORESERVE;
        // SAFETY: a new mapping at an address that the kernel chooses.
        let at = unsafe { libc::mmap(ptr::null_mut(), total, protection, flags, -1, 0) };
        let reserved = NonNull::new(at).filter(|_| at != libc::MAP_FAILED);
        let reserved = reserved.ok_or_else(io::Error::last_os_error)?;
        let first = reserved.cast::<u8>();
        // SAFETY: the next multiple of HUGE is at most HUGE - 1 bytes further, inside the mapping.
        let start = unsafe { first.add(first.align_offset(HUGE)) };
        Ok(Self {
            start,
            len,
            reserved: (reserved, total),
            descriptor: None,
        })
    }
}

impl Drop for Memory {
    fn drop(&mut self) {
        let (at, len) = self.reserved;
        // SAFETY: the mapping was made by `reserve` with this length, and no reference into it outlives its owner.
        unsafe { libc::munmap(at.as_ptr(), len) };
    }
}

// SAFETY: plain memory that stays in place; its users race in atomics alone (`Arena`).
unsafe impl Send for Memory {}
// SAFETY: as above; no method hands out a reference.
unsafe impl Sync for Memory {}

/// Creates a memfd of a size that only this user can open again.
fn memfd(len: usize) -> io::Result<OwnedFd> {
    let flags = MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING;
    let name = "monitord-store";
    // Without the flag Linux 6.3 and later log a warning; older ones refuse it.
    let file = rustix::fs::memfd_create(name, flags | MemfdFlags::NOEXEC_SEAL)
        .or_else(|_| rustix::fs::memfd_create(name, flags))?;
    rustix::fs::ftruncate(&file, len as u64)?;
    rustix::fs::fchmod(&file, rustix::fs::Mode::RUSR)?;
    Ok(file)
}

#[cfg(test)]
mod tests {
    use super::*;

    const LEN: usize = 3 * HUGE + 8192;

    fn errno(result: Result<(), rustix::io::Errno>) -> Option<i32> {
        result.err().map(rustix::io::Errno::raw_os_error)
    }

    #[test]
    fn other_processes_can_neither_write_nor_truncate() {
        let memory = Memory::shared(LEN).unwrap();
        let descriptor = memory.descriptor().unwrap();
        let writable = Memory::map(descriptor, LEN, libc::PROT_READ | libc::PROT_WRITE);
        let refused = writable.err().and_then(|error| error.raw_os_error());
        assert!(
            matches!(refused, Some(libc::EACCES | libc::EPERM)),
            "{refused:?}"
        );
        for len in [0, LEN as u64 / 2, LEN as u64 * 2] {
            let refused = errno(rustix::fs::ftruncate(descriptor, len));
            assert!(
                matches!(refused, Some(libc::EINVAL | libc::EPERM)),
                "{len}: {refused:?}"
            );
        }
        let refused = rustix::io::write(descriptor, b"x").map(drop);
        assert!(matches!(errno(refused), Some(libc::EBADF | libc::EPERM)));
        let flags = rustix::fs::FallocateFlags::PUNCH_HOLE | rustix::fs::FallocateFlags::KEEP_SIZE;
        let refused = errno(rustix::fs::fallocate(descriptor, flags, 0, 4096));
        assert!(matches!(refused, Some(libc::EBADF | libc::EPERM)));
    }

    #[test]
    fn what_the_owner_writes_is_seen_by_others() {
        let memory = Memory::shared(LEN).unwrap();
        let other = Memory::attach(memory.descriptor().unwrap()).unwrap();
        assert_eq!(other.len(), LEN);
        memory.prefault().unwrap();
        for at in [0, HUGE - 1, HUGE, LEN - 1] {
            // SAFETY: both mappings are LEN bytes long, and only this thread uses them.
            let seen = unsafe {
                memory.start().add(at).write_volatile(at as u8 | 1);
                other.start().add(at).read_volatile()
            };
            assert_eq!(seen, at as u8 | 1);
        }
    }

    #[test]
    fn shared_memory_gets_huge_pages_where_the_kernel_has_them() {
        let memory = Memory::shared(LEN).unwrap();
        let provided = memory.provide(0, LEN);
        let has_huge_pages =
            std::path::Path::new("/sys/kernel/mm/transparent_hugepage/hpage_pmd_size").exists();
        let refused = provided.err().and_then(|error| error.raw_os_error());
        // Linux before 6.1 doesn't know the advice; without free huge pages it fails in other ways.
        let excused = matches!(
            refused,
            None | Some(libc::ENOMEM | libc::EAGAIN | libc::EBUSY)
        );
        assert!(excused || !has_huge_pages, "{refused:?}");
    }

    #[test]
    fn memory_that_may_shrink_is_refused() {
        let file = memfd(LEN).unwrap();
        assert!(matches!(Memory::attach(&file), Err(AttachError::Unsealed)));
    }
}

//! The caller's memory. A null pointer where there must be something is EFAULT.

use std::ffi::{c_int, c_void};

use crate::failure::Failure;

const FAULT: Failure = Failure(libc::EFAULT);

/// Returns `len` bytes to write to; none when `len` is 0, for any `to`.
///
/// # Safety
/// Unless `to` is null or `len` 0, the caller owns `len` bytes there while the slice lives, and no other code accesses them.
pub(crate) unsafe fn buffer<'a>(to: *mut c_void, len: usize) -> Result<&'a mut [u8], Failure> {
    match (to.is_null(), len) {
        (_, 0) => Ok(&mut []),
        (true, _) => Err(FAULT),
        (false, _) => {
            // SAFETY: the caller's contract. Bytes have no alignment, any value is a valid u8, and they are written before
            // they are read.
            Ok(unsafe { std::slice::from_raw_parts_mut(to.cast(), len.min(isize::MAX as usize)) })
        }
    }
}

/// Returns `len` bytes to read.
///
/// # Safety
/// Unless `from` is null, it points to `len` initialised bytes that don't change while the slice lives.
pub(crate) unsafe fn bytes<'a>(from: *const c_void, len: usize) -> Result<&'a [u8], Failure> {
    if from.is_null() {
        return Err(FAULT);
    }
    // SAFETY: the caller's contract. Bytes have no alignment.
    Ok(unsafe { std::slice::from_raw_parts(from.cast(), len.min(isize::MAX as usize)) })
}

/// Reads a value, which may be unaligned.
///
/// # Safety
/// Unless `from` is null, it points to an initialised `T`.
pub(crate) unsafe fn read<T: Plain>(from: *const T) -> Result<T, Failure> {
    if from.is_null() {
        return Err(FAULT);
    }
    // SAFETY: the caller's contract; `Plain` types hold no pointers and own nothing.
    Ok(unsafe { from.read_unaligned() })
}

/// Writes a value, at an address that may be unaligned.
///
/// # Safety
/// Unless `to` is null, the caller owns the memory of a `T` there.
pub(crate) unsafe fn write<T: Plain>(to: *mut T, value: T) -> Result<(), Failure> {
    if to.is_null() {
        return Err(FAULT);
    }
    // SAFETY: the caller's contract; the old value is not dropped, and `Plain` types need no drop.
    unsafe { to.write_unaligned(value) };
    Ok(())
}

/// Types that are the same in C and Rust: numbers, and structures of them.
pub(crate) trait Plain: Copy {}

impl Plain for c_int {}
impl Plain for u64 {}
impl Plain for libc::socklen_t {}
impl Plain for crate::types::tcp_buf_info {}
impl Plain for crate::types::tcp_ring_fragment {}
impl Plain for crate::types::monitor_side {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn null_is_a_fault_where_something_must_be() {
        // SAFETY: null pointers, and pointers to a value of this stack frame.
        unsafe {
            assert_eq!(read::<c_int>(std::ptr::null()), Err(FAULT));
            assert_eq!(write::<u64>(std::ptr::null_mut(), 1), Err(FAULT));
            assert_eq!(bytes(std::ptr::null(), 4), Err(FAULT));
            assert_eq!(buffer(std::ptr::null_mut(), 4), Err(FAULT));
            assert_eq!(
                buffer(std::ptr::null_mut(), 0).map(|room| room.len()),
                Ok(0)
            );
        }
    }

    #[test]
    fn values_need_no_alignment() {
        let mut room = [0_u8; 9];
        let at = room[1..].as_mut_ptr().cast::<u64>();
        // SAFETY: eight bytes of the array.
        unsafe {
            assert_eq!(write(at, 0x0102_0304_0506_0708), Ok(()));
            assert_eq!(read(at), Ok(0x0102_0304_0506_0708));
        }
        assert_eq!(room[0], 0);
    }
}

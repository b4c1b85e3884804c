//! The caller's memory. A null pointer where there must be something is EFAULT.

use std::ffi::{CStr, c_char, c_int, c_void};

use crate::event_types::filter_arg;
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
    // SAFETY: the caller's contract; `Plain` types own nothing, and their pointers are not followed here.
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

/// Reads a string. `None`: a null pointer. EINVAL: it isn't UTF-8.
///
/// # Safety
/// Unless `from` is null, it points to a string that ends with a zero.
pub(crate) unsafe fn text(from: *const c_char) -> Result<Option<String>, Failure> {
    if from.is_null() {
        return Ok(None);
    }
    // SAFETY: the caller's contract.
    let text = unsafe { CStr::from_ptr(from) }.to_str();
    text.map(|text| Some(text.to_owned()))
        .map_err(|_| Failure(libc::EINVAL))
}

/// Copies the argument of a filter, for as long as the process lives. Returns the address of the copy.
///
/// # Safety
/// Unless `arg.arg` is null, `arg.len` initialised bytes are there.
pub(crate) unsafe fn keep(arg: filter_arg) -> usize {
    let mut kept = arg;
    if arg.len > 0 && !arg.arg.is_null() {
        // SAFETY: the caller's contract.
        let bytes = unsafe { std::slice::from_raw_parts(arg.arg.cast::<u8>(), arg.len) };
        // Of 64-bit words, so that any structure of the program is aligned.
        let mut words = vec![0_u64; arg.len.div_ceil(size_of::<u64>())];
        let target = words.as_mut_ptr().cast::<u8>();
        // SAFETY: the words have room for all bytes, and are no part of them.
        unsafe { target.copy_from_nonoverlapping(bytes.as_ptr(), bytes.len()) };
        kept.arg = Box::leak(words.into_boxed_slice()).as_mut_ptr().cast();
    }
    let kept: *mut filter_arg = Box::leak(Box::new(kept));
    kept.expose_provenance()
}

/// Types that are the same in C and Rust: numbers and pointers, and structures of them.
pub(crate) trait Plain: Copy {}

impl Plain for c_int {}
impl Plain for u64 {}
impl Plain for libc::timeval {}
impl Plain for filter_arg {}
impl Plain for crate::event_types::mtcp_conf {}
impl Plain for crate::event_types::pkt_info {}
impl Plain for crate::filter::monitor_filter {}
impl Plain for libc::socklen_t {}
impl Plain for crate::types::tcp_buf_info {}
impl Plain for crate::types::tcp_ring_fragment {}
impl Plain for crate::types::monitor_side {}
impl Plain for crate::types::monitor_read {}

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

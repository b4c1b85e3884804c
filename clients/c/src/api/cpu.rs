//! Functions of `cpu.h`.

use std::ffi::c_int;

use crate::failure::answer;
use crate::sys;

/// Returns the number of processors that are online.
#[unsafe(no_mangle)]
pub extern "C" fn GetNumCPUs() -> c_int {
    sys::processors()
}

/// Binds the calling thread to a processor. EINVAL: no such processor.
#[unsafe(no_mangle)]
pub extern "C" fn mtcp_core_affinitize(cpu: c_int) -> c_int {
    answer(sys::affinitize(cpu))
}

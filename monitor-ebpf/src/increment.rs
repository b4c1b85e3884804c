//! Increment of a per-CPU counter.
#![expect(
    unsafe_code,
    reason = "per-CPU map values are written through pointers"
)]

use aya_ebpf::maps::PerCpuArray;

#[inline(always)]
pub fn increment(counters: &PerCpuArray<u64>, index: u32) {
    if let Some(count) = counters.get_ptr_mut(index) {
        // SAFETY: valid while the program runs, and a value of this CPU alone.
        unsafe { *count += 1 };
    }
}

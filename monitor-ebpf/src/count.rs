//! Counters of the programs, and the rate limit of their messages.
#![expect(
    unsafe_code,
    reason = "per-CPU map values are written through pointers"
)]

use crate::increment::increment;
use aya_ebpf::helpers::bpf_ktime_get_ns;
use aya_ebpf::macros::map;
use aya_ebpf::maps::PerCpuArray;
use monitor_common::abi::{Count, SteerCount, TapCount};

#[map]
static STEER_COUNTERS: PerCpuArray<u64> =
    PerCpuArray::with_max_entries(SteerCount::ALL.len() as u32, 0);

#[map]
static TAP_COUNTERS: PerCpuArray<u64> =
    PerCpuArray::with_max_entries(TapCount::ALL.len() as u32, 0);

/// Time of the last message of each kind on this CPU, nanoseconds of the monotonic clock.
#[map]
static LAST_MESSAGES: PerCpuArray<u64> = PerCpuArray::with_max_entries(3, 0);

/// Least time between two messages of one kind on one CPU. The counters have the number of events.
const MESSAGE_INTERVAL_NS: u64 = 5_000_000_000;

/// Kinds of messages.
#[derive(Clone, Copy)]
#[repr(u32)]
pub enum Message {
    NoSocket,
    CloneFailed,
    RetagFailed,
}

#[inline(always)]
pub fn steer(count: SteerCount) {
    increment(&STEER_COUNTERS, count.index());
}

#[inline(always)]
pub fn tap(count: TapCount) {
    increment(&TAP_COUNTERS, count.index());
}

/// Returns whether a message of this kind may be sent now, and starts the interval if so.
#[inline(always)]
pub fn may_log(message: Message) -> bool {
    let Some(last) = LAST_MESSAGES.get_ptr_mut(message as u32) else {
        return false;
    };
    // SAFETY: the helper reads the clock and takes no argument; the pointer is valid while the program runs and to a
    // value of this CPU alone. A program that interrupts this one on the same CPU can at worst send one more message.
    unsafe {
        let now = bpf_ktime_get_ns();
        let may = *last == 0 || now.wrapping_sub(*last) > MESSAGE_INTERVAL_NS;
        if may {
            *last = now;
        }
        may
    }
}

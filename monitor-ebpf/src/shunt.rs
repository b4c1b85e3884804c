//! Shunted flows: their packets pass as if there were no monitor.
#![expect(unsafe_code, reason = "map values are written through pointers")]

use aya_ebpf::bindings::BPF_F_NO_PREALLOC;
use aya_ebpf::macros::map;
use aya_ebpf::maps::{Array, HashMap, PerCpuArray};
use monitor_common::abi::{MAX_SHUNTS, ShuntKey};
use monitor_common::wire::{self, Bytes, flags};

#[map]
static SHUNTED: HashMap<ShuntKey, u64> = HashMap::with_max_entries(MAX_SHUNTS, BPF_F_NO_PREALLOC);

#[map]
static SHUNTING: Array<u64> = Array::with_max_entries(1, 0);

/// Scratch memory of a lookup. The stack has no room for it beside the headers. In addition, the verifier knows nothing
/// of values read from a map: it checks the code after the lookup once, not for each path through the headers.
#[map]
static LOOKUP: PerCpuArray<Lookup> = PerCpuArray::with_max_entries(1, 0);

#[repr(C)]
struct Lookup {
    key: ShuntKey,
    segment: usize,
}

/// Interval of updating the time of a flow's last packet, nanoseconds. Not with each packet, since packets of a flow may
/// arrive on several CPUs at once.
const REFRESH_NS: u64 = 1_000_000_000;

/// Returns the time after which a quiet flow expires; `None` while no flow is shunted, so that the lookup is skipped.
#[inline(always)]
pub fn timeout() -> Option<u64> {
    SHUNTING.get(0).copied().filter(|timeout| *timeout != 0)
}

/// Returns whether a packet with its TCP header at `segment` belongs to a shunted flow. Unshunts the flow at a SYN
/// without ACK, which begins another connection between the same ends, and after the timeout.
#[inline(always)]
pub fn contains<B: Bytes>(
    bytes: &B,
    segment: usize,
    key: ShuntKey,
    timeout: u64,
    clock: impl FnOnce() -> u64,
) -> bool {
    let Some(lookup) = LOOKUP.get_ptr_mut(0) else {
        return false;
    };
    // SAFETY: valid while the program runs, and a value of this CPU alone: a program that this one interrupted belongs to
    // another interface and has its own maps.
    let (key, segment) = unsafe {
        *lookup = Lookup { key, segment };
        (
            &(*lookup).key,
            core::ptr::read_volatile(&raw const (*lookup).segment),
        )
    };
    let Some(seen) = SHUNTED.get_ptr_mut(key) else {
        return false;
    };
    let now = clock();
    // SAFETY: the value is valid while the program runs, and two CPUs that write it at once write nearly the same time.
    let quiet = unsafe {
        let quiet = now.saturating_sub(*seen);
        if quiet > REFRESH_NS {
            *seen = now;
        }
        quiet
    };
    let control = wire::control(bytes, segment).unwrap_or(0);
    if control & (flags::SYN | flags::ACK) == flags::SYN || quiet > timeout {
        // Fails when another CPU removed it first.
        let _ = SHUNTED.remove(key);
        return false;
    }
    true
}

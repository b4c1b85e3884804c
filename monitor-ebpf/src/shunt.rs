//! Flows that nobody wants to see any more: their packets go on as if there were no monitor.
#![expect(
    unsafe_code,
    reason = "map values are written through pointers, and a helper that aya has no safe form of"
)]

use aya_ebpf::bindings::BPF_F_NO_PREALLOC;
use aya_ebpf::helpers::generated::bpf_ktime_get_coarse_ns;
use aya_ebpf::macros::map;
use aya_ebpf::maps::{Array, HashMap, PerCpuArray};
use monitor_common::abi::{MAX_SHUNTS, ShuntKey};
use monitor_common::wire::{self, Bytes, flags};

#[map]
static SHUNTED: HashMap<ShuntKey, u64> = HashMap::with_max_entries(MAX_SHUNTS, BPF_F_NO_PREALLOC);

#[map]
static SHUNTING: Array<u64> = Array::with_max_entries(1, 0);

/// What is looked up. The stack has no room for it beside the headers; and what is read back from here the verifier
/// knows nothing of, so that it does not walk on from here for every way in which the headers may have been read.
#[map]
static ASKED: PerCpuArray<Asked> = PerCpuArray::with_max_entries(1, 0);

#[repr(C)]
struct Asked {
    key: ShuntKey,
    segment: usize,
}

/// When a flow was last seen is noted so often, in nanoseconds, and not with each packet: its packets may come on
/// several CPUs at once.
const REFRESH_NS: u64 = 1_000_000_000;

/// Whether any flow may be shunted, and for how long a flow may be quiet and still be. Until then the rest of this
/// module costs nothing.
#[inline(always)]
pub fn patience() -> Option<u64> {
    SHUNTING.get(0).copied().filter(|patience| *patience != 0)
}

/// Whether a packet, whose TCP header is at `segment`, belongs to a flow that is shunted. A SYN that answers none
/// begins another connection between the same ends, which must be seen; so must a flow that had been quiet for so long
/// that nobody remembers it.
#[inline(always)]
pub fn takes<B: Bytes>(bytes: &B, segment: usize, key: ShuntKey, patience: u64) -> bool {
    let Some(asked) = ASKED.get_ptr_mut(0) else {
        return false;
    };
    // SAFETY: valid while the program runs, and a value of this CPU alone: what the program may have interrupted was a
    // program of another interface, whose maps are its own.
    let (key, segment) = unsafe {
        *asked = Asked { key, segment };
        (
            &(*asked).key,
            core::ptr::read_volatile(&raw const (*asked).segment),
        )
    };
    let Some(seen) = SHUNTED.get_ptr_mut(key) else {
        return false;
    };
    // SAFETY: the helper reads a clock and takes no argument; the value is valid while the program runs, and two CPUs
    // that write it at once write nearly the same time.
    let quiet = unsafe {
        let now = bpf_ktime_get_coarse_ns();
        let quiet = now.saturating_sub(*seen);
        if quiet > REFRESH_NS {
            *seen = now;
        }
        quiet
    };
    let control = wire::control(bytes, segment).unwrap_or(0);
    if control & (flags::SYN | flags::ACK) == flags::SYN || quiet > patience {
        // Fails when another CPU was faster.
        let _ = SHUNTED.remove(key);
        return false;
    }
    true
}

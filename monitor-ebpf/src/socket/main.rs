//! BPF programs of packet sockets: a filter and a fanout program, a thin shell over monitor-common.
//!
//! `accept` selects the packets that enter the ring of a socket; `fanout` selects the socket of a flow's worker. They need
//! CAP_BPF alone, and are an object of their own for that reason.
#![no_std]
#![no_main]

#[macro_use]
#[path = "../config.rs"]
mod config;
#[path = "../increment.rs"]
mod increment;
mod packet;
#[path = "../shunt.rs"]
mod shunt;

use aya_ebpf::helpers::bpf_ktime_get_ns;
use aya_ebpf::macros::{map, socket_filter};
use aya_ebpf::maps::{HashMap, PerCpuArray};
use aya_ebpf::programs::SkBuffContext;
use monitor_common::LinkType;
use monitor_common::abi::{
    Count, MAX_INTERFACES, PacketCount, ShuntKey, interface, option, tagged,
};
use monitor_common::steer::{Ends, Everything, Skip, classify, worker};

use config::MapFilter;
use packet::Filtered;

#[map]
static PACKET_COUNTERS: PerCpuArray<u64> =
    PerCpuArray::with_max_entries(PacketCount::ALL.len() as u32, 0);

/// Interfaces of a socket that is bound to all interfaces.
#[map]
static INTERFACES: HashMap<u32, u32> = HashMap::with_max_entries(MAX_INTERFACES, 0);

/// Return value of `accept` for the whole packet.
const WHOLE: i64 = 0xffff_ffff;
/// Return value of `accept` for no packet.
const NOTHING: i64 = 0;

/// Accepts a wanted packet into the ring.
#[socket_filter]
pub fn accept(ctx: SkBuffContext) -> i64 {
    let skb = Filtered::new(&ctx);
    let Some(start) = start(&skb) else {
        return NOTHING;
    };
    let (count, verdict) = match classify(&skb, start, &MapFilter) {
        Ok(ends) if is_shunted(&skb, &ends) => (PacketCount::Shunted, NOTHING),
        Ok(Ends::Flow { .. } | Ends::Tunnel { .. }) => (PacketCount::Accepted, WHOLE),
        Ok(Ends::Fragment { .. }) => (PacketCount::Fragments, WHOLE),
        Err(skip) => (skipped(skip), NOTHING),
    };
    increment::increment(&PACKET_COUNTERS, count.index());
    verdict
}

/// Returns the worker of a packet. The filter does not matter here: it decides afterwards, on the selected socket.
#[socket_filter]
pub fn fanout(ctx: SkBuffContext) -> i64 {
    let skb = Filtered::new(&ctx);
    let Some(start) = start(&skb) else {
        return 0;
    };
    let skb = skb.before_filter(start == LinkType::Ethernet);
    match classify(&skb, start, &Everything) {
        Ok(ends) => worker(ends.hash(config::seed()), config::workers()).into(),
        Err(_) => 0,
    }
}

/// Returns the first header of a packet; `None` if its interface, or this direction of it, is not captured.
#[inline(always)]
fn start(skb: &Filtered<'_>) -> Option<LinkType> {
    if !config::is_on(option::ALL_INTERFACES) {
        return Some(config::start());
    }
    let bits = interface_bits(skb.interface())?;
    if bits & interface::IGNORE_OUTGOING != 0 && skb.is_outgoing() {
        return None;
    }
    Some(if bits & interface::STARTS_AT_IP != 0 {
        LinkType::Ip
    } else {
        LinkType::Ethernet
    })
}

#[expect(unsafe_code, reason = "map values are read through pointers")]
#[inline(always)]
fn interface_bits(index: u32) -> Option<u32> {
    // SAFETY: the value is a single word, which is copied at once.
    unsafe { INTERFACES.get(index).copied() }
}

/// Monotonic clock, nanoseconds. The coarse one, which is faster, needs Linux 5.11.
#[expect(unsafe_code, reason = "a helper that aya has no safe form of")]
#[inline(always)]
fn clock() -> u64 {
    // SAFETY: the helper reads a clock and takes no argument.
    unsafe { bpf_ktime_get_ns() }
}

/// Returns whether the flow is shunted. The key has the hidden VLAN tag, which the daemon restores.
#[inline(always)]
fn is_shunted(skb: &Filtered<'_>, ends: &Ends) -> bool {
    let Ends::Flow {
        src,
        dst,
        link,
        segment,
    } = *ends
    else {
        return false;
    };
    let Some(timeout) = shunt::timeout() else {
        return false;
    };
    let link = skb.hidden_id().map_or(link, |id| tagged(link, id));
    let key = ShuntKey::new(src, dst, link);
    shunt::contains(skb, segment, key, timeout, clock)
}

#[inline(always)]
fn skipped(skip: Skip) -> PacketCount {
    match skip {
        Skip::NotIp => PacketCount::NotIp,
        Skip::NotTcp => PacketCount::NotTcp,
        Skip::Network => PacketCount::FilteredNetwork,
        Skip::Port => PacketCount::FilteredPort,
        Skip::Malformed => PacketCount::Malformed,
        Skip::TooDeep => PacketCount::TooDeep,
    }
}

/// Required by the compiler. No code that can panic is compiled into a program: the verifier refuses the loop.
#[panic_handler]
fn panic(_: &core::panic::PanicInfo<'_>) -> ! {
    loop {}
}

#[expect(
    unsafe_code,
    reason = "the kernel reads the license from a section of this name"
)]
#[unsafe(link_section = "license")]
#[unsafe(no_mangle)]
static LICENSE: [u8; 4] = *b"GPL\0";

//! XDP program `steer`.
#![expect(unsafe_code, reason = "a helper that aya has no safe form of")]

use aya_ebpf::bindings::xdp_action;
use aya_ebpf::helpers::generated::bpf_ktime_get_coarse_ns;
use aya_ebpf::macros::{map, xdp};
use aya_ebpf::maps::XskMap;
use aya_ebpf::programs::XdpContext;
use aya_log_ebpf::warn;
use monitor_common::abi::{MAX_WORKERS, ShuntKey, SteerCount, option, socket_index};
use monitor_common::steer::{Ends, Skip, decide};

use crate::config::{self, MapFilter};
use crate::count::{self, Message};
use crate::packet::Frame;
use crate::shunt;

/// Sockets by queue and worker; the loader sets the size.
#[map]
static SOCKETS: XskMap = XskMap::with_max_entries(MAX_WORKERS, 0);

/// Redirects a packet into the socket of its worker.
#[xdp(frags)]
pub fn steer(ctx: XdpContext) -> u32 {
    match decide(
        &Frame(&ctx),
        config::start(),
        &MapFilter,
        config::seed(),
        config::workers(),
    ) {
        Ok((ends, _)) if is_shunted(&ctx, &ends) => {
            count::steer(SteerCount::Shunted);
            rest()
        }
        Ok((ends, worker)) => redirect(&ctx, ends, worker),
        Err(skip) => {
            count::steer(skipped(skip));
            rest()
        }
    }
}

#[inline(always)]
fn is_shunted(ctx: &XdpContext, ends: &Ends) -> bool {
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
    shunt::contains(
        &Frame(ctx),
        segment,
        ShuntKey::new(src, dst, link),
        timeout,
        coarse_clock,
    )
}

#[inline(always)]
fn redirect(ctx: &XdpContext, ends: Ends, worker: u32) -> u32 {
    let queue = ctx.rx_queue_index();
    let Ok(action) = SOCKETS.redirect(socket_index(queue, worker), 0) else {
        count::steer(SteerCount::NoSocket);
        if count::may_log(Message::NoSocket) {
            warn!(
                ctx,
                "no socket for worker {} on queue {} of interface {}",
                worker,
                queue,
                ctx.ingress_ifindex()
            );
        }
        return rest();
    };
    count::steer(match ends {
        Ends::Flow { .. } | Ends::Tunnel { .. } => SteerCount::Redirected,
        Ends::Fragment { .. } => SteerCount::Fragments,
    });
    action
}

/// Returns the action for packets that are not redirected.
#[inline(always)]
fn rest() -> u32 {
    if config::is_on(option::DROP_REST) {
        xdp_action::XDP_DROP
    } else {
        xdp_action::XDP_PASS
    }
}

#[inline(always)]
fn skipped(skip: Skip) -> SteerCount {
    match skip {
        Skip::NotIp => SteerCount::NotIp,
        Skip::NotTcp => SteerCount::NotTcp,
        Skip::Network => SteerCount::FilteredNetwork,
        Skip::Port => SteerCount::FilteredPort,
        Skip::Malformed => SteerCount::Malformed,
        Skip::TooDeep => SteerCount::TooDeep,
    }
}

/// Monotonic clock with the resolution of a tick, nanoseconds.
#[inline(always)]
pub fn coarse_clock() -> u64 {
    // SAFETY: the helper reads a clock and takes no argument.
    unsafe { bpf_ktime_get_coarse_ns() }
}

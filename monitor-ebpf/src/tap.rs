//! TC programs `tap` and `retag`.
#![expect(unsafe_code, reason = "helpers that aya has no safe form of")]

use aya_ebpf::bindings::{BPF_F_INGRESS, TC_ACT_SHOT, TC_ACT_UNSPEC};
use aya_ebpf::helpers::{bpf_redirect, bpf_skb_vlan_push};
use aya_ebpf::macros::classifier;
use aya_ebpf::programs::TcContext;
use aya_log_ebpf::warn;
use monitor_common::abi::{ShuntKey, TapCount, option, tagged, untagged};
use monitor_common::steer::{Ends, Skip, classify};

use crate::config::{self, MapFilter};
use crate::count::{self, Message};
use crate::packet::Skb;
use crate::shunt;
use crate::steer::coarse_clock;

/// Clones a wanted packet into the monitor device. The packet itself always continues to the next program.
#[classifier]
pub fn tap(ctx: TcContext) -> i32 {
    match classify(&Skb(&ctx), config::start(), &MapFilter) {
        Ok(ends) if is_shunted(&ctx, &ends) => count::tap(TapCount::Shunted),
        Ok(ends) => clone(&ctx, ends),
        Err(skip) => count::tap(skipped(skip)),
    }
    TC_ACT_UNSPEC
}

/// Returns whether the flow is shunted. The key has the tags that the daemon sees in the clone: those in the bytes, with
/// the hidden tag if it is restored, and none where the clone loses its Ethernet header.
#[inline(always)]
fn is_shunted(ctx: &TcContext, ends: &Ends) -> bool {
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
    let skb = Skb(ctx);
    let link = if !config::is_on(option::RESTORE_VLAN) {
        untagged(link)
    } else if let Some(id) = skb.hidden_id() {
        tagged(link, id)
    } else {
        link
    };
    shunt::contains(
        &skb,
        segment,
        ShuntKey::new(src, dst, link),
        timeout,
        coarse_clock,
    )
}

#[inline(always)]
fn clone(ctx: &TcContext, ends: Ends) {
    let mut device = monitor();
    if Skb(ctx).hidden_tag().is_some() {
        if config::is_on(option::RESTORE_VLAN) {
            device = relay();
        } else {
            count::tap(TapCount::VlanHidden);
        }
    }
    let count = match (ctx.clone_redirect(device, u64::from(BPF_F_INGRESS)), ends) {
        (Ok(()), Ends::Flow { .. } | Ends::Tunnel { .. }) => TapCount::Cloned,
        (Ok(()), Ends::Fragment { .. }) => TapCount::Fragments,
        (Err(error), _) => failed(ctx, error),
    };
    count::tap(count);
}

/// Counts a failed clone. A negative error is the helper's; a positive one is NET_RX_DROP, from the device.
#[inline(always)]
fn failed(ctx: &TcContext, error: i64) -> TapCount {
    let may_log = count::may_log(Message::CloneFailed);
    if error < 0 {
        if may_log {
            warn!(
                ctx,
                "cannot clone a packet into the monitor device: error {}; the packet is not captured",
                error
            );
        }
        TapCount::CloneFailed
    } else {
        if may_log {
            warn!(
                ctx,
                "the monitor device refused a packet: its backlog is full; raise it with \
                 `sysctl -w net.core.netdev_max_backlog=10000`"
            );
        }
        TapCount::Refused
    }
}

/// Runs on the relay's ingress: moves the VLAN tag that the kernel keeps beside a clone into its bytes, where `steer` and
/// the daemon parse it, and redirects the clone into the monitor device.
///
/// It changes the clone alone: pushing makes the kernel copy the headers, which are shared with the packet of the host.
/// In `tap` the tag would have to be pushed onto the host's own packet and removed again. The monitor device cannot be
/// its own relay: on its ingress XDP runs before TC, and generic XDP skips packets redirected from a device's egress.
#[classifier]
pub fn retag(ctx: TcContext) -> i32 {
    let skb = Skb(&ctx);
    let Some(protocol) = skb.hidden_tag() else {
        // Not a clone of `tap`.
        return TC_ACT_SHOT;
    };
    // Pushing a second tag moves the first into the bytes; the second stays beside them, where it is ignored.
    // SAFETY: the context is the one the program was called with.
    let failed = unsafe { bpf_skb_vlan_push(skb.raw(), protocol, 0) };
    if failed != 0 {
        count::tap(TapCount::RetagFailed);
        if count::may_log(Message::RetagFailed) {
            warn!(
                &ctx,
                "cannot put the VLAN tag of a packet back into its bytes: {}", failed
            );
        }
        return TC_ACT_SHOT;
    }
    count::tap(TapCount::Retagged);
    // SAFETY: the helper takes an interface index and flags; it only records the destination of the packet.
    unsafe { bpf_redirect(monitor(), u64::from(BPF_F_INGRESS)) as i32 }
}

#[inline(always)]
fn skipped(skip: Skip) -> TapCount {
    match skip {
        Skip::NotIp => TapCount::NotIp,
        Skip::NotTcp => TapCount::NotTcp,
        Skip::Network => TapCount::FilteredNetwork,
        Skip::Port => TapCount::FilteredPort,
        Skip::Malformed => TapCount::Malformed,
        Skip::TooDeep => TapCount::TooDeep,
    }
}

/// Returns the interface index of the monitor device.
#[inline(always)]
fn monitor() -> u32 {
    setting!(monitor)
}

/// Returns the interface index of the relay.
#[inline(always)]
fn relay() -> u32 {
    setting!(relay)
}

#![expect(unsafe_code, reason = "helpers that aya has no safe form of")]

use aya_ebpf::bindings::{BPF_F_INGRESS, TC_ACT_SHOT, TC_ACT_UNSPEC};
use aya_ebpf::helpers::{bpf_redirect, bpf_skb_vlan_push};
use aya_ebpf::macros::classifier;
use aya_ebpf::programs::TcContext;
use aya_log_ebpf::warn;
use monitor_common::abi::{ShuntKey, TapCount, option, tagged, untagged};
use monitor_common::steer::{Ends, Skip, classify};

use crate::config::{self, Wanted};
use crate::count::{self, Message};
use crate::packet::Skb;
use crate::shunt;

/// Clones a wanted packet into the monitor device. Whatever happens, the packet itself goes on to the next program and
/// then on its way.
#[classifier]
pub fn tap(ctx: TcContext) -> i32 {
    match classify(&Skb(&ctx), config::start(), &Wanted) {
        Ok(ends) if is_shunted(&ctx, &ends) => count::tap(TapCount::Shunted),
        Ok(ends) => clone(&ctx, ends),
        Err(skip) => count::tap(skipped(skip)),
    }
    TC_ACT_UNSPEC
}

/// Asks for the flow by the tags that the daemon sees: those in a clone's bytes, the hidden one among them if it is put
/// back there, and none at all where the clone loses its Ethernet header.
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
    let Some(patience) = shunt::patience() else {
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
    shunt::takes(&skb, segment, ShuntKey::new(src, dst, link), patience)
}

#[inline(always)]
fn clone(ctx: &TcContext, ends: Ends) {
    let mut device = config::monitor();
    if Skb(ctx).hidden_tag().is_some() {
        if config::is_on(option::RESTORE_VLAN) {
            device = config::relay();
        } else {
            count::tap(TapCount::VlanHidden);
        }
    }
    let count = match (ctx.clone_redirect(device, u64::from(BPF_F_INGRESS)), ends) {
        (Ok(()), Ends::Flow { .. }) => TapCount::Cloned,
        (Ok(()), Ends::Fragment { .. }) => TapCount::Fragments,
        (Err(error), _) => failed(ctx, error),
    };
    count::tap(count);
}

/// A negative error is the helper's; a positive one is NET_RX_DROP, from the device.
#[inline(always)]
fn failed(ctx: &TcContext, error: i64) -> TapCount {
    if count::may_say(Message::CloneFailed) {
        warn!(
            ctx,
            "cannot clone a packet into the monitor device {}: {}",
            config::monitor(),
            error
        );
    }
    if error < 0 {
        TapCount::CloneFailed
    } else {
        TapCount::Refused
    }
}

/// On the relay's ingress: puts the VLAN tag that the kernel keeps beside a clone into its bytes, where `steer` and the
/// daemon look for it, and sends the clone on into the monitor device.
///
/// It works on the clone alone: pushing makes the kernel copy the headers first, since they are shared with the
/// packet of the host. Doing this in `tap` would mean to push onto the host's own packet and to rely on taking the tag
/// off again. The monitor device cannot be its own relay: on its ingress XDP comes before TC, and a packet that was
/// turned round at a device's egress is marked as redirected, which makes generic XDP leave it out.
#[classifier]
pub fn retag(ctx: TcContext) -> i32 {
    let skb = Skb(&ctx);
    let Some(protocol) = skb.hidden_tag() else {
        // Not a clone of ours.
        return TC_ACT_SHOT;
    };
    // Pushing a second tag moves the first into the bytes; the second stays beside them and is not seen any more.
    // SAFETY: the context is the one the program was called with.
    let failed = unsafe { bpf_skb_vlan_push(skb.raw(), protocol, 0) };
    if failed != 0 {
        count::tap(TapCount::RetagFailed);
        if count::may_say(Message::RetagFailed) {
            warn!(
                &ctx,
                "cannot put the VLAN tag of a packet back into its bytes: {}", failed
            );
        }
        return TC_ACT_SHOT;
    }
    count::tap(TapCount::Retagged);
    // SAFETY: the helper takes an interface index and flags; it only notes where the packet goes.
    unsafe { bpf_redirect(config::monitor(), u64::from(BPF_F_INGRESS)) as i32 }
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

//! Bytes and metadata of a packet in a socket filter, for the parsers of monitor-common.
#![expect(
    unsafe_code,
    reason = "context fields and packet bytes are reached through pointers that the verifier checks"
)]

use core::mem::MaybeUninit;

use aya_ebpf::bindings::__sk_buff;
use aya_ebpf::bindings::bpf_hdr_start_off::BPF_HDR_START_MAC;
use aya_ebpf::helpers::generated::{bpf_skb_load_bytes, bpf_skb_load_bytes_relative};
use aya_ebpf::programs::SkBuffContext;
use monitor_common::wire::Bytes;

/// Type of packets that an interface sends (linux/if_packet.h).
const PACKET_OUTGOING: u32 = 4;
/// Bytes of an Ethernet header without tags.
const ETHERNET: usize = 14;

/// Packet of a socket filter. These programs have no direct access to the bytes.
#[derive(Clone, Copy)]
pub struct Filtered<'a> {
    ctx: &'a SkBuffContext,
    /// Bytes of the link-layer header that lie before the start of the packet as the kernel sees it.
    before: usize,
}

impl<'a> Filtered<'a> {
    /// Takes the packet of a filter, which starts with its link-layer header.
    #[inline(always)]
    pub fn new(ctx: &'a SkBuffContext) -> Self {
        Self { ctx, before: 0 }
    }

    /// Returns the same packet in a fanout program. There, a received packet starts behind its Ethernet header.
    #[inline(always)]
    pub fn before_filter(self, ethernet: bool) -> Self {
        let before = if ethernet && !self.is_outgoing() {
            ETHERNET
        } else {
            0
        };
        Self { before, ..self }
    }

    /// Returns the id of the VLAN tag that the kernel keeps beside the bytes, if there is one.
    #[inline(always)]
    pub fn hidden_id(&self) -> Option<u16> {
        let skb = self.raw();
        // SAFETY: the context is the one the program was called with.
        unsafe { ((*skb).vlan_present != 0).then(|| (*skb).vlan_tci as u16 & 0xfff) }
    }

    #[inline(always)]
    pub fn interface(&self) -> u32 {
        // SAFETY: the context is the one the program was called with.
        unsafe { (*self.raw()).ifindex }
    }

    #[inline(always)]
    pub fn is_outgoing(&self) -> bool {
        // SAFETY: the context is the one the program was called with.
        unsafe { (*self.raw()).pkt_type == PACKET_OUTGOING }
    }

    #[inline(always)]
    fn raw(&self) -> *mut __sk_buff {
        self.ctx.skb.skb
    }
}

impl Bytes for Filtered<'_> {
    #[inline(always)]
    fn len(&self) -> usize {
        self.before + self.ctx.len() as usize
    }

    #[inline(always)]
    fn array<const N: usize>(&self, off: usize) -> Option<[u8; N]> {
        // Not zeroed: that becomes a call to memset, and its pointer arithmetic needs CAP_PERFMON.
        let mut bytes = MaybeUninit::<[u8; N]>::uninit();
        let to = bytes.as_mut_ptr().cast();
        let skb = self.raw().cast();
        // SAFETY: the context is the one the program was called with, and `bytes` has room for N bytes. The helpers
        // write all of them, even when they fail.
        unsafe {
            let failed = if off >= self.before {
                bpf_skb_load_bytes(skb, (off - self.before) as u32, to, N as u32)
            } else {
                bpf_skb_load_bytes_relative(skb, off as u32, to, N as u32, BPF_HDR_START_MAC)
            };
            (failed == 0).then(|| bytes.assume_init())
        }
    }
}

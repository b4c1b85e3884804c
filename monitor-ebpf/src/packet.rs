//! Bytes of a packet in the kernel, for the parsers of monitor-common.
//!
//! A header is read directly from the linear part, where it nearly always is, or else by a helper that reads the
//! fragments. Neither changes the packet's layout, as pulling data into the linear part would.
#![expect(
    unsafe_code,
    reason = "packet memory is reached through pointers that the verifier checks"
)]

use aya_ebpf::bindings::__sk_buff;
use aya_ebpf::helpers::{bpf_skb_load_bytes, bpf_xdp_get_buff_len, bpf_xdp_load_bytes};
use aya_ebpf::programs::{TcContext, XdpContext};
use monitor_common::wire::Bytes;

/// Largest offset of a header: more than three tags and the longest extension headers that are parsed. The verifier
/// requires a bound of each offset before it is added to a packet pointer.
const FURTHEST: usize = 0x7fff;

/// Packet of an XDP program.
pub struct Frame<'a>(pub &'a XdpContext);

impl Bytes for Frame<'_> {
    #[inline(always)]
    fn len(&self) -> usize {
        // SAFETY: the context is the one the program was called with.
        unsafe { bpf_xdp_get_buff_len(self.0.ctx) as usize }
    }

    #[inline(always)]
    fn array<const N: usize>(&self, off: usize) -> Option<[u8; N]> {
        linear(self.0.data(), self.0.data_end(), off).or_else(|| {
            let mut bytes = [0; N];
            // SAFETY: the context is the one the program was called with, and `bytes` has room for N bytes.
            let failed = unsafe {
                bpf_xdp_load_bytes(self.0.ctx, off as u32, bytes.as_mut_ptr().cast(), N as u32)
            };
            (failed == 0).then_some(bytes)
        })
    }
}

/// Packet of a TC program.
pub struct Skb<'a>(pub &'a TcContext);

impl Skb<'_> {
    /// Returns the protocol, in network order, of the VLAN tag that the kernel keeps beside the bytes, if there is one.
    #[inline(always)]
    pub fn hidden_tag(&self) -> Option<u16> {
        let skb = self.raw();
        // SAFETY: the context is the one the program was called with.
        unsafe { ((*skb).vlan_present != 0).then(|| (*skb).vlan_proto as u16) }
    }

    /// Returns the id of that tag.
    #[inline(always)]
    pub fn hidden_id(&self) -> Option<u16> {
        let skb = self.raw();
        // SAFETY: the context is the one the program was called with.
        unsafe { ((*skb).vlan_present != 0).then(|| (*skb).vlan_tci as u16 & 0xfff) }
    }

    #[inline(always)]
    pub fn raw(&self) -> *mut __sk_buff {
        self.0.skb.skb
    }
}

impl Bytes for Skb<'_> {
    #[inline(always)]
    fn len(&self) -> usize {
        self.0.len() as usize
    }

    #[inline(always)]
    fn array<const N: usize>(&self, off: usize) -> Option<[u8; N]> {
        linear(self.0.data(), self.0.data_end(), off).or_else(|| {
            let mut bytes = [0; N];
            // SAFETY: the context is the one the program was called with, and `bytes` has room for N bytes.
            let failed = unsafe {
                bpf_skb_load_bytes(
                    self.raw().cast(),
                    off as u32,
                    bytes.as_mut_ptr().cast(),
                    N as u32,
                )
            };
            (failed == 0).then_some(bytes)
        })
    }
}

/// Returns `N` bytes at `off` of the memory from `data` to `end`.
#[inline(always)]
fn linear<const N: usize>(data: usize, end: usize, off: usize) -> Option<[u8; N]> {
    if off > FURTHEST {
        return None;
    }
    let start = data + off;
    // For a single byte the compiler would test `start >= end`, from which the verifier learns nothing when `off` is 0.
    // The helper reads a byte that is the last one.
    if start + N.max(2) > end {
        return None;
    }
    // SAFETY: `data..end` is packet memory and contains `start..start + N`; an array of bytes needs no alignment.
    Some(unsafe { *(start as *const [u8; N]) })
}

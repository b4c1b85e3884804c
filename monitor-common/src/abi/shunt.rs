//! Keys of shunted flows, and the link field that holds VLAN tags and IP version.

use crate::wire::{Address, Vlans};

/// Most flows that are shunted at once on one interface. An entry takes its memory when it is made; the empty table
/// takes 256 KiB.
pub const MAX_SHUNTS: u32 = 16384;

/// Names a flow in the map of those that are shunted: the same for both of its directions.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[repr(C)]
pub struct ShuntKey {
    /// The address of the lower end, as [`Address::words`]: ends are in order of address, then port.
    pub low: [u64; 2],
    /// The address of the higher end.
    pub high: [u64; 2],
    /// The lower end's port in the upper half, the higher end's in the lower.
    pub ports: u32,
    /// See [`link`].
    pub link: u32,
}

impl ShuntKey {
    /// The flow between two ends.
    #[inline(always)]
    pub fn new(a: (Address, u16), b: (Address, u16), link: u32) -> Self {
        Self::between((a.0.words(), a.1), (b.0.words(), b.1), link)
    }

    /// Creates the key from addresses in words.
    #[inline(always)]
    pub fn between(a: ((u64, u64), u16), b: ((u64, u64), u16), link: u32) -> Self {
        let (low, high) = if a <= b { (a, b) } else { (b, a) };
        Self {
            low: low.0.into(),
            high: high.0.into(),
            ports: u32::from(low.1) << 16 | u32::from(high.1),
            link,
        }
    }
}

const ID_BITS: u32 = 12;
const COUNT_SHIFT: u32 = 24;
const COUNT_MASK: u32 = 3 << COUNT_SHIFT;
const IDS_MASK: u32 = (1 << (2 * ID_BITS)) - 1;
/// An IPv4-mapped address in an IPv6 header is not the IPv4 address.
const VERSION_6: u32 = 1 << 31;

/// The packet came through tunnels: their number takes the place of the tags.
const TUNNELED: u32 = 1 << 30;

/// VLAN tags and IP version in one number: outer | inner << 12 | how many << 24 | version 6 << 31.
#[inline(always)]
pub const fn link(vlans: &Vlans, version: u8) -> u32 {
    let tags = vlans.ids[0] as u32
        | (vlans.ids[1] as u32) << ID_BITS
        | (vlans.count as u32) << COUNT_SHIFT;
    if version == 6 { tags | VERSION_6 } else { tags }
}

/// Returns whether a [`link`] is of IPv6.
#[inline(always)]
pub const fn is_v6(link: u32) -> bool {
    link & VERSION_6 != 0
}

/// The ids in a [`link`], outermost first.
pub fn tags(link: u32) -> impl Iterator<Item = u16> {
    (0..((link & COUNT_MASK) >> COUNT_SHIFT).min(2))
        .map(move |tag| (link >> (ID_BITS * tag)) as u16 & 0xfff)
}

/// A [`link`] with one more tag around the others; of three, the outer two remain.
#[inline(always)]
pub const fn tagged(link: u32, id: u16) -> u32 {
    let ids = (id as u32 & 0xfff) | (link << ID_BITS & IDS_MASK);
    let count = if link & COUNT_MASK == 0 { 1 } else { 2 };
    link & VERSION_6 | ids | count << COUNT_SHIFT
}

/// A [`link`] without tags.
#[inline(always)]
pub const fn untagged(link: u32) -> u32 {
    link & VERSION_6
}

/// A [`link`] of a packet in a tunnel: the number of the tunnel, of at most 24 bits, in place of the tags.
pub const fn tunneled(link: u32, number: u32) -> u32 {
    link & VERSION_6 | TUNNELED | number & IDS_MASK
}

/// The number of the tunnel in a [`link`].
pub const fn tunnel(link: u32) -> Option<u32> {
    if link & TUNNELED == 0 {
        None
    } else {
        Some(link & IDS_MASK)
    }
}

#[cfg(feature = "user")]
#[expect(
    unsafe_code,
    reason = "aya asks for the promise that the bytes of the value are plain data"
)]
// SAFETY: repr(C), made of integers only, without padding (4 × 8 + 2 × 4 bytes).
unsafe impl aya::Pod for ShuntKey {}

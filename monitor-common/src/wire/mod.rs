//! Header readers over any source of bytes by offset: a slice in user space, the packet of an XDP or TC
//! context in the kernel.
//!
//! Every reader takes the offset at which its header starts and gives back offsets into the same bytes, so that
//! nothing is copied but the headers themselves and the verifier sees only bounded additions.

mod carrier;
mod ethernet;
mod ip;
mod tcp;
mod tunnel;

pub use carrier::{Carried, ETHERTYPE_PPP, carried, llc, ppp, pppoe};
pub use ethernet::{ETHERTYPE_IPV4, ETHERTYPE_IPV6, Ethernet, Vlans, ethernet};
pub use ip::{
    Address, Datagram, Fragment, MAX_EXTENSION_HEADERS, PROTOCOL_TCP, ip, is_extension_header,
};
pub use tcp::{Tcp, control, flags, ports, tcp, tcp_cut};
pub use tunnel::{ETHERTYPE_FRAME, TunnelHeader, is_tunnel, may_be_tunnel, tunnel};

/// Bytes that are read by offset.
pub trait Bytes {
    /// Returns the number of bytes.
    fn len(&self) -> usize;

    /// The `N` bytes at `off`, or `None` when not all of them are there.
    fn array<const N: usize>(&self, off: usize) -> Option<[u8; N]>;

    /// Returns whether there are none.
    #[inline(always)]
    fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

impl Bytes for [u8] {
    #[inline(always)]
    fn len(&self) -> usize {
        <[u8]>::len(self)
    }

    #[inline(always)]
    fn array<const N: usize>(&self, off: usize) -> Option<[u8; N]> {
        self.get(off..)?.first_chunk().copied()
    }
}

impl<B: Bytes + ?Sized> Bytes for &B {
    #[inline(always)]
    fn len(&self) -> usize {
        (**self).len()
    }

    #[inline(always)]
    fn array<const N: usize>(&self, off: usize) -> Option<[u8; N]> {
        (**self).array(off)
    }
}

/// Why a header could not be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Error {
    /// The bytes end inside the header.
    Truncated,
    /// Neither IPv4 nor IPv6 where an IP header should be.
    NotIp,
    /// A length field contradicts its header.
    Malformed,
    /// More than three VLAN tags.
    TooManyTags,
    /// More IPv6 extension headers than [`MAX_EXTENSION_HEADERS`].
    TooManyExtensions,
}

impl core::error::Error for Error {}

impl core::fmt::Display for Error {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str(match self {
            Self::Truncated => "the packet ends inside a header",
            Self::NotIp => "neither IPv4 nor IPv6",
            Self::Malformed => "a header contradicts its own length",
            Self::TooManyTags => "more than three VLAN tags",
            Self::TooManyExtensions => "too many IPv6 extension headers",
        })
    }
}

/// A big-endian 16-bit field of a header that has been read whole.
#[inline(always)]
const fn be16(high: u8, low: u8) -> u16 {
    u16::from_be_bytes([high, low])
}

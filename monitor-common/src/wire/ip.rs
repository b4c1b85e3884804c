//! IPv4 and IPv6 headers with their options, extension headers and fragments.

use core::fmt;
use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::{Bytes, Error, be16};

/// The protocol number of TCP.
pub const PROTOCOL_TCP: u8 = 6;

/// Most IPv6 extension headers; a packet with more is refused. Real packets carry one or two; the verifier accepts the loop
/// because of the bound.
pub const MAX_EXTENSION_HEADERS: usize = 8;

const IPV4_HEADER_LEN: usize = 20;
const IPV6_HEADER_LEN: usize = 40;

const EXT_HOP_BY_HOP: u8 = 0;
const EXT_ROUTING: u8 = 43;
const EXT_FRAGMENT: u8 = 44;
const EXT_AUTHENTICATION: u8 = 51;
const EXT_DESTINATION: u8 = 60;
const EXT_MOBILITY: u8 = 135;
const EXT_HOST_IDENTITY: u8 = 139;
const EXT_SHIM6: u8 = 140;

/// An IP address of 128 bits as two numbers, the first the more significant; IPv4 in its mapped form, `::ffff:a.b.c.d`
/// (RFC 4291, 2.5.5.2). Numbers, since it is compared and hashed with each packet.
#[derive(Copy, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Address {
    high: u64,
    low: u64,
}

impl Address {
    /// The mapped form of an IPv4 address.
    #[inline(always)]
    pub const fn v4(octets: [u8; 4]) -> Self {
        Self {
            high: 0,
            low: 0xffff << 32 | u32::from_be_bytes(octets) as u64,
        }
    }

    /// The address with these 16 bytes, in network order.
    #[inline(always)]
    pub const fn v6(octets: [u8; 16]) -> Self {
        let [a, b, c, d, e, f, g, h, i, j, k, l, m, n, o, p] = octets;
        Self {
            high: u64::from_be_bytes([a, b, c, d, e, f, g, h]),
            low: u64::from_be_bytes([i, j, k, l, m, n, o, p]),
        }
    }

    /// Its 16 bytes in network order.
    #[inline(always)]
    pub const fn octets(&self) -> [u8; 16] {
        let [a, b, c, d, e, f, g, h] = self.high.to_be_bytes();
        let [i, j, k, l, m, n, o, p] = self.low.to_be_bytes();
        [a, b, c, d, e, f, g, h, i, j, k, l, m, n, o, p]
    }

    /// Returns whether it is an IPv4 address.
    #[inline(always)]
    pub const fn is_v4(&self) -> bool {
        self.high == 0 && self.low >> 32 == 0xffff
    }

    /// Both halves as numbers, the first the more significant.
    #[inline(always)]
    pub const fn words(&self) -> (u64, u64) {
        (self.high, self.low)
    }
}

impl From<(u64, u64)> for Address {
    /// From both halves, the first the more significant.
    #[inline(always)]
    fn from((high, low): (u64, u64)) -> Self {
        Self { high, low }
    }
}

impl From<IpAddr> for Address {
    fn from(address: IpAddr) -> Self {
        match address {
            IpAddr::V4(v4) => Self::v4(v4.octets()),
            IpAddr::V6(v6) => Self::v6(v6.octets()),
        }
    }
}

impl From<Address> for IpAddr {
    fn from(address: Address) -> Self {
        if address.is_v4() {
            let [.., a, b, c, d] = address.octets();
            Self::V4(Ipv4Addr::new(a, b, c, d))
        } else {
            Self::V6(Ipv6Addr::from(address.octets()))
        }
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        IpAddr::from(*self).fmt(f)
    }
}

impl fmt::Debug for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// Which part of a datagram a fragment carries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fragment {
    /// The identification: 16 bits in IPv4, 32 in IPv6.
    pub id: u32,
    /// Offset of its payload in the datagram's, in bytes.
    pub offset: u16,
    /// More fragments follow.
    pub more: bool,
}

/// An IP header with its options or extension headers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Datagram {
    /// 4 or 6.
    pub version: u8,
    /// Source.
    pub src: Address,
    /// Destination.
    pub dst: Address,
    /// Protocol of the payload: an upper-layer protocol, except in an IPv6 fragment, where it is the first header of the
    /// fragmentable part and may be one more extension header.
    pub protocol: u8,
    /// Offset of the IP header.
    pub header: usize,
    /// Offset of the payload; in an IPv6 fragment the offset behind the fragment header.
    pub payload: usize,
    /// Offset behind the payload by the header's length field; beyond the packet when the capture was cut.
    /// A length of 0 (GSO, TSO and BIG TCP, whose packets are too long for the field) means to the end.
    pub end: usize,
    /// `None` for a whole datagram, also for an IPv6 datagram in a single fragment (RFC 6946).
    pub fragment: Option<Fragment>,
}

/// Reads the IPv4 or IPv6 header at `at` with its options or extension headers (RFC 791, RFC 8200).
///
/// Header checksums are not verified: the network did, or offloading has not filled them in yet.
#[inline(always)]
pub fn ip<B: Bytes + ?Sized>(bytes: &B, at: usize) -> Result<Datagram, Error> {
    let [first] = bytes.array(at).ok_or(Error::Truncated)?;
    match first >> 4 {
        4 => ipv4(bytes, at),
        6 => ipv6(bytes, at),
        _ => Err(Error::NotIp),
    }
}

/// Returns whether `protocol` is an IPv6 extension header that [`ip`] skips.
#[inline(always)]
pub const fn is_extension_header(protocol: u8) -> bool {
    matches!(
        protocol,
        EXT_HOP_BY_HOP
            | EXT_ROUTING
            | EXT_FRAGMENT
            | EXT_AUTHENTICATION
            | EXT_DESTINATION
            | EXT_MOBILITY
            | EXT_HOST_IDENTITY
            | EXT_SHIM6
    )
}

#[inline(always)]
fn ipv4<B: Bytes + ?Sized>(bytes: &B, at: usize) -> Result<Datagram, Error> {
    let h: [u8; IPV4_HEADER_LEN] = bytes.array(at).ok_or(Error::Truncated)?;
    let header_len = usize::from(h[0] & 0x0f) * 4;
    let total = usize::from(be16(h[2], h[3]));
    if header_len < IPV4_HEADER_LEN || (total != 0 && total < header_len) {
        return Err(Error::Malformed);
    }
    let payload = at + header_len;
    let end = if total == 0 { bytes.len() } else { at + total };
    if end < payload {
        return Err(Error::Truncated);
    }
    let flags = be16(h[6], h[7]);
    let (more, offset) = (flags & 0x2000 != 0, (flags & 0x1fff) * 8);
    Ok(Datagram {
        version: 4,
        src: Address::v4([h[12], h[13], h[14], h[15]]),
        dst: Address::v4([h[16], h[17], h[18], h[19]]),
        protocol: h[9],
        header: at,
        payload,
        end,
        fragment: (more || offset != 0).then_some(Fragment {
            id: u32::from(be16(h[4], h[5])),
            offset,
            more,
        }),
    })
}

#[inline(always)]
fn ipv6<B: Bytes + ?Sized>(bytes: &B, at: usize) -> Result<Datagram, Error> {
    let h: [u8; IPV6_HEADER_LEN] = bytes.array(at).ok_or(Error::Truncated)?;
    let [.., a, b, c, d, e, f, g, i, j, k, l, m, n, o, p, q] = h;
    let length = usize::from(be16(h[4], h[5]));
    let end = if length == 0 {
        bytes.len()
    } else {
        at + IPV6_HEADER_LEN + length
    };
    let (protocol, payload, fragment) = extensions(bytes, h[6], at + IPV6_HEADER_LEN)?;
    if end < payload {
        return Err(Error::Malformed);
    }
    Ok(Datagram {
        version: 6,
        src: Address::v6([
            h[8], h[9], h[10], h[11], h[12], h[13], h[14], h[15], h[16], h[17], h[18], h[19],
            h[20], h[21], h[22], h[23],
        ]),
        dst: Address::v6([a, b, c, d, e, f, g, i, j, k, l, m, n, o, p, q]),
        protocol,
        header: at,
        payload,
        end,
        fragment,
    })
}

/// Walks the extension headers from the one at `at`: the first header that is none, its offset, and the fragment.
#[inline(always)]
fn extensions<B: Bytes + ?Sized>(
    bytes: &B,
    mut protocol: u8,
    mut at: usize,
) -> Result<(u8, usize, Option<Fragment>), Error> {
    for _ in 0..MAX_EXTENSION_HEADERS {
        if !is_extension_header(protocol) {
            return Ok((protocol, at, None));
        }
        let [next, length] = bytes.array(at).ok_or(Error::Truncated)?;
        let extension = protocol;
        protocol = next;
        at += match extension {
            EXT_FRAGMENT => {
                let fragment = fragment(bytes, at)?;
                if fragment.more || fragment.offset != 0 {
                    return Ok((protocol, at + 8, Some(fragment)));
                }
                8
            }
            // In units of 4 bytes, less 2 of them (RFC 4302, 2.2); all others in 8 bytes, less 1.
            EXT_AUTHENTICATION => (usize::from(length) + 2) * 4,
            _ => (usize::from(length) + 1) * 8,
        };
    }
    if is_extension_header(protocol) {
        Err(Error::TooManyExtensions)
    } else {
        Ok((protocol, at, None))
    }
}

/// The fragment header at `at` (RFC 8200, 4.5).
#[inline(always)]
fn fragment<B: Bytes + ?Sized>(bytes: &B, at: usize) -> Result<Fragment, Error> {
    let [_, _, high, low, a, b, c, d] = bytes.array(at).ok_or(Error::Truncated)?;
    let field = be16(high, low);
    Ok(Fragment {
        id: u32::from_be_bytes([a, b, c, d]),
        offset: field & !7,
        more: field & 1 != 0,
    })
}

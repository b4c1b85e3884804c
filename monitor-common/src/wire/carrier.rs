//! Headers between a link layer and IP: VLAN tags, LLC/SNAP, PPP, PPPoE and MPLS. Only capture files have them parsed: the
//! BPF programs pass such frames by.

use super::ethernet::{TAG_LEN, is_tag, tag};
use super::{Bytes, ETHERTYPE_IPV4, ETHERTYPE_IPV6, Error, Vlans, be16};

/// EtherTypes below this are lengths of IEEE 802.3, and LLC follows. Linux cooked captures have protocol 4 there.
const LEAST_ETHERTYPE: u16 = 0x0600;
/// PPP; in PPPoE without an EtherType of its own.
pub const ETHERTYPE_PPP: u16 = 0x880b;
const ETHERTYPE_MPLS: u16 = 0x8847;
const ETHERTYPE_MPLS_MULTICAST: u16 = 0x8848;
const ETHERTYPE_PPPOE_SESSION: u16 = 0x8864;

/// Most headers in front of IP. Each of them is at least two bytes long, so that a walk also ends without the limit.
const MAX_HEADERS: usize = 8;
/// Most labels of an MPLS stack.
const MAX_LABELS: usize = 16;
/// Most VLAN tags, as in an Ethernet frame.
const MAX_TAGS: u8 = 3;

/// Position of an IP header behind other headers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Carried {
    /// VLAN tags: those given, and those found.
    pub vlans: Vlans,
    /// IP version that the last header announces; `None` behind MPLS, which announces none.
    pub version: Option<u8>,
    /// Offset of the IP header.
    pub payload: usize,
}

/// Follows the headers from the one with an EtherType at `at` to IP. `vlans`: tags in front of it.
pub fn carried<B: Bytes + ?Sized>(
    bytes: &B,
    mut ethertype: u16,
    mut at: usize,
    mut vlans: Vlans,
) -> Result<Carried, Error> {
    let found = |vlans, version, payload| {
        Ok(Carried {
            vlans,
            version,
            payload,
        })
    };
    let mut tags = vlans.count;
    for _ in 0..MAX_HEADERS {
        match ethertype {
            ETHERTYPE_IPV4 => return found(vlans, Some(4), at),
            ETHERTYPE_IPV6 => return found(vlans, Some(6), at),
            ETHERTYPE_MPLS | ETHERTYPE_MPLS_MULTICAST => {
                return found(vlans, None, labels(bytes, at)?);
            }
            ETHERTYPE_PPPOE_SESSION => {
                (ethertype, at) = (ETHERTYPE_PPP, pppoe(bytes, at)?);
            }
            ETHERTYPE_PPP => (ethertype, at) = ppp(bytes, at)?,
            _ if is_tag(ethertype) => {
                if tags == MAX_TAGS {
                    return Err(Error::TooManyTags);
                }
                tags += 1;
                let id;
                (id, ethertype) = tag(bytes, at)?;
                at += TAG_LEN;
                if let Some(free) = vlans.ids.get_mut(usize::from(vlans.count)) {
                    *free = id;
                    vlans.count += 1;
                }
            }
            0..LEAST_ETHERTYPE => (ethertype, at) = llc(bytes, at)?,
            _ => return Err(Error::NotIp),
        }
    }
    Err(Error::NotIp)
}

/// Reads a PPP header with or without its address and control fields (RFC 1662), and the protocol field, which may be
/// compressed to one byte (RFC 1661, 6.5). Returns the EtherType of its payload, and the payload's offset.
pub fn ppp<B: Bytes + ?Sized>(bytes: &B, mut at: usize) -> Result<(u16, usize), Error> {
    const IPV4: u16 = 0x21;
    const IPV6: u16 = 0x57;
    const MPLS: u16 = 0x281;
    const MPLS_MULTICAST: u16 = 0x283;
    if bytes.array(at) == Some([0xff, 0x03]) {
        at += 2;
    }
    let [first, second] = bytes.array(at).ok_or(Error::Truncated)?;
    // The first byte of a whole protocol field is even.
    let (protocol, at) = if first & 1 == 1 {
        (u16::from(first), at + 1)
    } else {
        (be16(first, second), at + 2)
    };
    match protocol {
        IPV4 => Ok((ETHERTYPE_IPV4, at)),
        IPV6 => Ok((ETHERTYPE_IPV6, at)),
        MPLS => Ok((ETHERTYPE_MPLS, at)),
        MPLS_MULTICAST => Ok((ETHERTYPE_MPLS_MULTICAST, at)),
        _ => Err(Error::NotIp),
    }
}

/// Reads the PPPoE header of a session (RFC 2516, 4). Returns the offset of the PPP header.
pub fn pppoe<B: Bytes + ?Sized>(bytes: &B, at: usize) -> Result<usize, Error> {
    const VERSION_AND_TYPE: u8 = 0x11;
    const SESSION_DATA: u8 = 0;
    match bytes.array::<6>(at).ok_or(Error::Truncated)? {
        [VERSION_AND_TYPE, SESSION_DATA, ..] => Ok(at + 6),
        _ => Err(Error::NotIp),
    }
}

/// Reads an LLC header, with SNAP or of IP itself (RFC 1042). Returns the EtherType of its payload, and the payload's
/// offset.
pub fn llc<B: Bytes + ?Sized>(bytes: &B, at: usize) -> Result<(u16, usize), Error> {
    const UNNUMBERED: u8 = 3;
    const SNAP: u8 = 0xaa;
    const IP: u8 = 6;
    match bytes.array(at).ok_or(Error::Truncated)? {
        [IP, IP, UNNUMBERED] => return Ok((ETHERTYPE_IPV4, at + 3)),
        [SNAP, SNAP, UNNUMBERED] => {}
        _ => return Err(Error::NotIp),
    }
    match bytes.array(at + 3).ok_or(Error::Truncated)? {
        // Ethernet types in both encapsulations, that of RFC 1042 and that of bridges (IEEE 802.1H).
        [0, 0, 0 | 0xf8, a, b] if be16(a, b) >= LEAST_ETHERTYPE => Ok((be16(a, b), at + 8)),
        _ => Err(Error::NotIp),
    }
}

/// Skips a stack of MPLS labels (RFC 3032). Returns the offset behind it, if the version field there is that of IP.
fn labels<B: Bytes + ?Sized>(bytes: &B, mut at: usize) -> Result<usize, Error> {
    const BOTTOM_OF_STACK: u8 = 1;
    for _ in 0..MAX_LABELS {
        let [_, _, flags, _] = bytes.array(at).ok_or(Error::Truncated)?;
        at += 4;
        if flags & BOTTOM_OF_STACK != 0 {
            let [first] = bytes.array(at).ok_or(Error::Truncated)?;
            // Others are pseudowires (RFC 4385).
            return if matches!(first >> 4, 4 | 6) {
                Ok(at)
            } else {
                Err(Error::NotIp)
            };
        }
    }
    Err(Error::NotIp)
}

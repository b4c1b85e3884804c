//! Ethernet headers with VLAN tags.

use super::{Bytes, Error, be16};

/// IPv4 in Ethernet (RFC 894).
pub const ETHERTYPE_IPV4: u16 = 0x0800;
/// IPv6 in Ethernet (RFC 2464).
pub const ETHERTYPE_IPV6: u16 = 0x86dd;

const ETHERTYPE_VLAN: u16 = 0x8100;
const ETHERTYPE_QINQ: u16 = 0x88a8;
/// The outer tag of QinQ equipment from before IEEE 802.1ad.
const ETHERTYPE_OLD_QINQ: u16 = 0x9100;

const TYPE_OFFSET: usize = 12;
pub(super) const TAG_LEN: usize = 4;
const VLAN_ID_MASK: u16 = 0x0fff;

/// The VLAN tags of a frame. Untagged: the default.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Vlans {
    /// The 12-bit ids, outermost first; 0 from `count` on.
    pub ids: [u16; 2],
    /// Number of tags: 0, 1 or 2.
    pub count: u8,
}

impl Vlans {
    /// Returns the tags that name a VLAN. Id 0 is a priority tag and names none (IEEE 802.1Q, 9.6). The BPF programs don't
    /// ask for it: it would multiply the paths that the verifier walks.
    #[must_use]
    pub fn without_priority(&self) -> Self {
        let mut named = Self::default();
        for id in &self.ids[..usize::from(self.count.min(2))] {
            if *id != 0 {
                named.ids[usize::from(named.count)] = *id;
                named.count += 1;
            }
        }
        named
    }
}

/// An Ethernet II header with its tags.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ethernet {
    /// The type behind the last tag. Below 0x0600 it is an IEEE 802.3 length, and the frame carries no IP.
    pub ethertype: u16,
    /// Its tags.
    pub vlans: Vlans,
    /// Offset of the payload.
    pub payload: usize,
}

/// Reads the Ethernet header at offset 0 with up to three 802.1Q or 802.1ad tags; a fourth is an error. Of three, the
/// outer two are returned.
#[inline(always)]
pub fn ethernet<B: Bytes + ?Sized>(bytes: &B) -> Result<Ethernet, Error> {
    let mut ethertype = u16::from_be_bytes(bytes.array(TYPE_OFFSET).ok_or(Error::Truncated)?);
    let mut vlans = Vlans::default();
    let mut payload = TYPE_OFFSET + 2;
    if is_tag(ethertype) {
        (vlans.ids[0], ethertype) = tag(bytes, payload)?;
        vlans.count = 1;
        payload += TAG_LEN;
        if is_tag(ethertype) {
            (vlans.ids[1], ethertype) = tag(bytes, payload)?;
            vlans.count = 2;
            payload += TAG_LEN;
            if is_tag(ethertype) {
                (_, ethertype) = tag(bytes, payload)?;
                payload += TAG_LEN;
                if is_tag(ethertype) {
                    return Err(Error::TooManyTags);
                }
            }
        }
    }
    Ok(Ethernet {
        ethertype,
        vlans,
        payload,
    })
}

/// Returns the id of the tag with its control field at `at`, and the type behind it.
#[inline(always)]
pub(super) fn tag<B: Bytes + ?Sized>(bytes: &B, at: usize) -> Result<(u16, u16), Error> {
    let [a, b, c, d] = bytes.array(at).ok_or(Error::Truncated)?;
    Ok((be16(a, b) & VLAN_ID_MASK, be16(c, d)))
}

#[inline(always)]
pub(super) const fn is_tag(ethertype: u16) -> bool {
    matches!(
        ethertype,
        ETHERTYPE_VLAN | ETHERTYPE_QINQ | ETHERTYPE_OLD_QINQ
    )
}

//! Tunnel headers: the packet that a datagram carries.

use super::{Bytes, Datagram, ETHERTYPE_IPV4, ETHERTYPE_IPV6, Error, be16};
use crate::types::{TunnelKind, TunnelKinds};

/// EtherType of an Ethernet frame inside another packet (transparent Ethernet bridging).
pub const ETHERTYPE_FRAME: u16 = 0x6558;
const ETHERTYPE_ERSPAN_II: u16 = 0x88be;
const ETHERTYPE_ERSPAN_III: u16 = 0x22eb;

const PROTOCOL_IPV4: u8 = 4;
const PROTOCOL_UDP: u8 = 17;
const PROTOCOL_IPV6: u8 = 41;
const PROTOCOL_GRE: u8 = 47;

/// Destination port of Geneve.
const PORT_GENEVE: u16 = 6081;
/// Destination ports of VXLAN: that of RFC 7348, and the default of Linux.
const PORT_VXLAN: u16 = 4789;
const PORT_VXLAN_LINUX: u16 = 8472;

const UDP_HEADER_LEN: usize = 8;

/// Header of a tunnel, behind an IP header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TunnelHeader {
    /// Its kind.
    pub kind: TunnelKind,
    /// GRE key, VNI or ERSPAN session, if there is one.
    pub id: Option<u32>,
    /// EtherType of the inner packet: IPv4, IPv6, or [`ETHERTYPE_FRAME`].
    pub ethertype: u16,
    /// Offset of the inner packet.
    pub payload: usize,
}

/// Returns whether a datagram with this protocol may be a tunnel of these kinds.
#[inline(always)]
pub const fn may_be_tunnel(protocol: u8, kinds: TunnelKinds) -> bool {
    match protocol {
        PROTOCOL_IPV4 | PROTOCOL_IPV6 => kinds.contains(TunnelKind::Ipip),
        PROTOCOL_GRE => kinds.contains(TunnelKind::Gre) || kinds.contains(TunnelKind::Erspan),
        PROTOCOL_UDP => kinds.contains(TunnelKind::Vxlan) || kinds.contains(TunnelKind::Geneve),
        _ => false,
    }
}

/// Returns whether a whole datagram may be a tunnel of these kinds, by its protocol and the UDP destination port at
/// `payload`: all that steering needs.
#[inline(always)]
pub fn is_tunnel<B: Bytes + ?Sized>(
    bytes: &B,
    protocol: u8,
    payload: usize,
    kinds: TunnelKinds,
) -> bool {
    if !may_be_tunnel(protocol, kinds) {
        return false;
    }
    if protocol != PROTOCOL_UDP {
        return true;
    }
    match bytes.array(payload) {
        Some([_, _, a, b]) => kind_of_port(be16(a, b)).is_some_and(|kind| kinds.contains(kind)),
        None => false,
    }
}

#[inline(always)]
const fn kind_of_port(port: u16) -> Option<TunnelKind> {
    match port {
        PORT_VXLAN | PORT_VXLAN_LINUX => Some(TunnelKind::Vxlan),
        PORT_GENEVE => Some(TunnelKind::Geneve),
        _ => None,
    }
}

/// Reads the header of a tunnel of these kinds in a whole datagram; `None` if it is none, or carries neither IP nor
/// Ethernet.
pub fn tunnel<B: Bytes + ?Sized>(
    bytes: &B,
    datagram: &Datagram,
    kinds: TunnelKinds,
) -> Result<Option<TunnelHeader>, Error> {
    if !is_tunnel(bytes, datagram.protocol, datagram.payload, kinds) {
        return Ok(None);
    }
    let at = datagram.payload;
    let header = match datagram.protocol {
        PROTOCOL_IPV4 => Some(ipip(ETHERTYPE_IPV4, at)),
        PROTOCOL_IPV6 => Some(ipip(ETHERTYPE_IPV6, at)),
        PROTOCOL_GRE => gre(bytes, at)?,
        _ => udp(bytes, at)?,
    };
    Ok(header.filter(|header| {
        let inner = header.ethertype;
        kinds.contains(header.kind)
            && matches!(inner, ETHERTYPE_IPV4 | ETHERTYPE_IPV6 | ETHERTYPE_FRAME)
    }))
}

const fn ipip(ethertype: u16, payload: usize) -> TunnelHeader {
    TunnelHeader {
        kind: TunnelKind::Ipip,
        id: None,
        ethertype,
        payload,
    }
}

/// Reads a GRE header of version 0. Source routes (RFC 1701) were never used.
fn gre<B: Bytes + ?Sized>(bytes: &B, at: usize) -> Result<Option<TunnelHeader>, Error> {
    const CHECKSUM: u8 = 0x80;
    const ROUTING: u8 = 0x40;
    const KEY: u8 = 0x20;
    const SEQUENCE: u8 = 0x10;
    const VERSION: u8 = 0x07;
    let [flags, version, a, b] = bytes.array(at).ok_or(Error::Truncated)?;
    if version & VERSION != 0 || flags & ROUTING != 0 {
        return Ok(None);
    }
    let mut payload = at + 4;
    if flags & CHECKSUM != 0 {
        payload += 4;
    }
    let mut id = None;
    if flags & KEY != 0 {
        id = Some(u32::from_be_bytes(
            bytes.array(payload).ok_or(Error::Truncated)?,
        ));
        payload += 4;
    }
    let has_sequence = flags & SEQUENCE != 0;
    if has_sequence {
        payload += 4;
    }
    match be16(a, b) {
        ETHERTYPE_ERSPAN_II if has_sequence => erspan(bytes, payload, 1),
        ETHERTYPE_ERSPAN_III => erspan(bytes, payload, 2),
        // Type I has neither a sequence number nor a header.
        ETHERTYPE_ERSPAN_II => Ok(Some(TunnelHeader {
            kind: TunnelKind::Erspan,
            id: None,
            ethertype: ETHERTYPE_FRAME,
            payload,
        })),
        ethertype => Ok(Some(TunnelHeader {
            kind: TunnelKind::Gre,
            id,
            ethertype,
            payload,
        })),
    }
}

/// Reads an ERSPAN header of type II (version 1) or III (version 2).
fn erspan<B: Bytes + ?Sized>(
    bytes: &B,
    at: usize,
    version: u8,
) -> Result<Option<TunnelHeader>, Error> {
    const SESSION: u16 = 0x03ff;
    const HAS_SUBHEADER: u8 = 1;
    let [first, _, a, b] = bytes.array(at).ok_or(Error::Truncated)?;
    if first >> 4 != version {
        return Ok(None);
    }
    let len = if version == 1 {
        8
    } else {
        let [flags] = bytes.array(at + 11).ok_or(Error::Truncated)?;
        if flags & HAS_SUBHEADER == 0 { 12 } else { 20 }
    };
    Ok(Some(TunnelHeader {
        kind: TunnelKind::Erspan,
        id: Some(u32::from(be16(a, b) & SESSION)),
        ethertype: ETHERTYPE_FRAME,
        payload: at + len,
    }))
}

/// Reads a VXLAN or Geneve header behind UDP.
fn udp<B: Bytes + ?Sized>(bytes: &B, at: usize) -> Result<Option<TunnelHeader>, Error> {
    const VXLAN_HAS_VNI: u8 = 0x08;
    const GENEVE_VERSION: u8 = 0xc0;
    const GENEVE_OPTIONS: u8 = 0x3f;
    const GENEVE_CONTROL: u8 = 0x80;
    let [_, _, a, b] = bytes.array(at).ok_or(Error::Truncated)?;
    let at = at + UDP_HEADER_LEN;
    let h: [u8; 8] = bytes.array(at).ok_or(Error::Truncated)?;
    let id = Some(u32::from_be_bytes([0, h[4], h[5], h[6]]));
    Ok(match kind_of_port(be16(a, b)) {
        Some(TunnelKind::Vxlan) if h[0] & VXLAN_HAS_VNI != 0 => Some(TunnelHeader {
            kind: TunnelKind::Vxlan,
            id,
            ethertype: ETHERTYPE_FRAME,
            payload: at + 8,
        }),
        Some(TunnelKind::Geneve) if h[0] & GENEVE_VERSION == 0 && h[1] & GENEVE_CONTROL == 0 => {
            Some(TunnelHeader {
                kind: TunnelKind::Geneve,
                id,
                ethertype: be16(h[2], h[3]),
                payload: at + 8 + usize::from(h[0] & GENEVE_OPTIONS) * 4,
            })
        }
        _ => None,
    })
}

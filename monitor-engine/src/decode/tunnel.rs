//! Tunnels: from the datagram that carries a packet to that packet.

use monitor_common::types::TunnelKinds;
use monitor_common::wire::{
    self, Datagram, ETHERTYPE_FRAME, ETHERTYPE_IPV4, ETHERTYPE_IPV6, Error, TunnelHeader, Vlans,
};

use super::network::ends_with_frame;
use crate::Packet;
use crate::tunnels::{MAX_DEPTH, Path};

/// Innermost packet of a frame.
pub struct Inner {
    pub vlans: Vlans,
    /// Offsets are those in the frame.
    pub datagram: Datagram,
    /// Tunnels around it.
    pub path: Path,
    /// Offsets of the IP headers of the datagrams that carry it, outermost first.
    pub carriers: [Option<usize>; MAX_DEPTH],
}

/// Follows tunnels of some kinds to the innermost packet that is IP; `None` if there is no tunnel. `link`: link field for
/// tags and an IP version.
pub fn inner(
    packet: &Packet<'_>,
    vlans: &Vlans,
    datagram: &Datagram,
    kinds: TunnelKinds,
    link: impl Fn(&Vlans, u8) -> u32,
) -> Result<Option<Inner>, Error> {
    let mut found = Inner {
        vlans: *vlans,
        datagram: *datagram,
        path: Path::default(),
        carriers: [None; MAX_DEPTH],
    };
    for depth in 0..MAX_DEPTH {
        let carrier = found.datagram;
        // A fragment is reassembled first.
        if carrier.fragment.is_some() {
            break;
        }
        let Some(header) = wire::tunnel(packet.data, &carrier, kinds)? else {
            break;
        };
        let Some((vlans, datagram)) = carried(packet.data, &header, &carrier)? else {
            break;
        };
        let outer = link(&found.vlans, carrier.version);
        found
            .path
            .enter(header.kind, header.id, outer, [carrier.src, carrier.dst]);
        found.carriers[depth] = Some(carrier.header);
        (found.vlans, found.datagram) = (vlans, datagram);
    }
    Ok(found.carriers[0].is_some().then_some(found))
}

/// Decodes the tags and the IP header behind a tunnel header; `None` if it is another protocol.
fn carried(
    data: &[u8],
    header: &TunnelHeader,
    carrier: &Datagram,
) -> Result<Option<(Vlans, Datagram)>, Error> {
    let (vlans, version, at) = match header.ethertype {
        ETHERTYPE_FRAME => {
            let frame = data.get(header.payload..).ok_or(Error::Truncated)?;
            let ethernet = wire::ethernet(frame)?;
            let version = match ethernet.ethertype {
                ETHERTYPE_IPV4 => 4,
                ETHERTYPE_IPV6 => 6,
                _ => return Ok(None),
            };
            (ethernet.vlans, version, header.payload + ethernet.payload)
        }
        ETHERTYPE_IPV4 => (Vlans::default(), 4, header.payload),
        _ => (Vlans::default(), 6, header.payload),
    };
    let mut datagram = wire::ip(data, at)?;
    if datagram.version != version {
        return Ok(None);
    }
    if ends_with_frame(data, &datagram) {
        datagram.end = carrier.end;
    }
    // Behind the carrier's end there is padding, or nothing.
    if datagram.end > carrier.end || datagram.payload > datagram.end {
        return Err(Error::Malformed);
    }
    Ok(Some((vlans, datagram)))
}

//! Headers in front of TCP: link layer, VLAN tags and IP.

use monitor_common::wire::{
    self, Datagram, ETHERTYPE_IPV4, ETHERTYPE_IPV6, Error, Ethernet, PROTOCOL_TCP, Vlans,
};

use crate::{LinkType, Packet};

/// Fast path: decodes the IP header of a frame of the most frequent kind. That is Ethernet without tags, IPv4 without
/// options, a whole datagram with TCP.
///
/// The result equals that of [`datagram`]. With these few bytes known, the rest compiles to less: decoding takes 314
/// instructions instead of 452.
#[inline(always)]
pub(super) fn fast_path(packet: &Packet<'_>) -> Option<Datagram> {
    /// The headers of Ethernet, IPv4 and TCP, without options.
    const HEADERS: usize = 14 + 20 + 20;
    /// Version 4, five words.
    const VERSION_AND_LENGTH: u8 = 0x45;
    let head: &[u8; HEADERS] = packet.data.first_chunk()?;
    let [.., a, b, first, _, c, d, _, _, e, f, _, protocol, _, _] = *head.first_chunk::<26>()?;
    let word = |high, low| u16::from_be_bytes([high, low]);
    let matches = packet.link == LinkType::Ethernet
        && word(a, b) == ETHERTYPE_IPV4
        && first == VERSION_AND_LENGTH
        && word(c, d) != 0
        && word(e, f) & 0x3fff == 0
        && protocol == PROTOCOL_TCP;
    if matches {
        wire::ip(head.as_slice(), 14).ok()
    } else {
        None
    }
}

/// Decodes the tags and the IP header of a frame.
#[inline(always)]
pub(super) fn datagram(packet: &Packet<'_>) -> Result<(Vlans, Datagram), Error> {
    let (vlans, version, at) = network(packet)?;
    let mut datagram = wire::ip(packet.data, at)?;
    // The link layer and the IP header disagree on the version.
    if version.is_some_and(|version| version != datagram.version) {
        return Err(Error::NotIp);
    }
    if (packet.cut > 0 || !packet.more.is_empty()) && ends_with_frame(packet.data, &datagram) {
        datagram.end += packet.len() - packet.data.len() + packet.cut as usize;
    }
    Ok((vlans, datagram))
}

/// Decodes the link layer: tags, the IP version that it announces, and the offset of the IP header.
#[inline(always)]
fn network(packet: &Packet<'_>) -> Result<(Vlans, Option<u8>, usize), Error> {
    match packet.link {
        LinkType::Ethernet => {
            let Ethernet {
                ethertype,
                vlans,
                payload,
            } = wire::ethernet(packet.data)?;
            match ethertype {
                ETHERTYPE_IPV4 => Ok((vlans, Some(4), payload)),
                ETHERTYPE_IPV6 => Ok((vlans, Some(6), payload)),
                _ => carried(packet.data, ethertype, payload, vlans),
            }
        }
        LinkType::Ip => Ok((Vlans::default(), None, 0)),
        LinkType::Null => Ok((Vlans::default(), None, 4)),
        LinkType::LinuxSll => cooked(packet.data, 14, 16),
        LinkType::LinuxSll2 => cooked(packet.data, 0, 20),
    }
}

/// Returns whether the length field is 0: then the datagram ends where the frame on the wire ends (GSO, BIG TCP).
pub(super) fn ends_with_frame(data: &[u8], datagram: &Datagram) -> bool {
    let field = datagram.header + if datagram.version == 4 { 2 } else { 4 };
    data.get(field..field + 2) == Some(&[0, 0])
}

/// Decodes a Linux cooked header of `header` bytes with its protocol at `protocol`.
fn cooked(
    data: &[u8],
    protocol: usize,
    header: usize,
) -> Result<(Vlans, Option<u8>, usize), Error> {
    let bytes = data
        .get(protocol..)
        .and_then(|rest| rest.first_chunk())
        .ok_or(Error::Truncated)?;
    carried(data, u16::from_be_bytes(*bytes), header, Vlans::default())
}

/// Follows the headers between the link layer and IP. Only capture files have frames with them: steering passes others by.
#[cold]
#[inline(never)]
fn carried(
    data: &[u8],
    ethertype: u16,
    at: usize,
    vlans: Vlans,
) -> Result<(Vlans, Option<u8>, usize), Error> {
    let found = wire::carried(data, ethertype, at, vlans)?;
    Ok((found.vlans, found.version, found.payload))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::Checksum;

    proptest! {
        /// Frames of the fast path, with some bytes of their headers replaced.
        #[test]
        fn the_fast_path_equals_the_general_one(
            total in 0..80_u16,
            len in 50..80_usize,
            hits in prop::collection::vec((12..40_usize, any::<u8>()), 0..3),
        ) {
            let mut frame = [0; 80];
            frame[12..16].copy_from_slice(&[0x08, 0x00, 0x45, 0x00]);
            frame[16..18].copy_from_slice(&total.to_be_bytes());
            frame[20..24].copy_from_slice(&[0x40, 0x00, 64, PROTOCOL_TCP]);
            for (at, byte) in hits {
                frame[at] = byte;
            }
            let packet = Packet {
                time: 0,
                interface: 0,
                link: LinkType::Ethernet,
                data: &frame[..len],
                more: &[],
                cut: 0,
                checksum: Checksum::Unknown,
            };
            if let Some(found) = fast_path(&packet) {
                prop_assert_eq!(datagram(&packet), Ok((Vlans::default(), found)));
            }
        }
    }

    #[test]
    fn the_most_frequent_frame_takes_the_fast_path() {
        let mut frame = [0; 54];
        frame[12..18].copy_from_slice(&[0x08, 0x00, 0x45, 0x00, 0, 40]);
        frame[23] = PROTOCOL_TCP;
        let packet = |data| Packet {
            time: 0,
            interface: 0,
            link: LinkType::Ethernet,
            data,
            more: &[],
            cut: 0,
            checksum: Checksum::Unknown,
        };
        assert!(fast_path(&packet(&frame)).is_some());
        assert!(fast_path(&packet(&frame[..53])).is_none());
        assert!(
            fast_path(&Packet {
                link: LinkType::Ip,
                ..packet(&frame)
            })
            .is_none()
        );
    }
}

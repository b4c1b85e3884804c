//! Decoding of frames into TCP segments and IP fragments.

pub mod checksum;
mod options;

use monitor_common::abi;
use monitor_common::wire::{
    self, Datagram, ETHERTYPE_IPV4, ETHERTYPE_IPV6, Error, PROTOCOL_TCP, Tcp, Vlans,
};

pub use self::options::SynOptions;
use crate::flow::FlowKey;
use crate::payload::Payload;
use crate::{Checksum, Counters, FlowConfig, LinkType, Packet, VerifyChecksums};

/// TCP segment of a flow.
#[derive(Clone, Copy, Debug, Default)]
pub struct Segment<'a> {
    pub time: u64,
    /// Number of the interface where it was captured; 0: unknown.
    pub interface: u16,
    pub key: FlowKey,
    pub hash: u64,
    pub tcp: Tcp,
    /// Options of a SYN.
    pub options: SynOptions,
    /// Value of the timestamps option (TSval; RFC 7323, 3).
    pub timestamp: Option<u32>,
    /// Payload, as far as captured.
    pub payload: Payload<'a>,
    /// Payload bytes on the wire.
    pub wire_len: usize,
}

/// A fragment of an IP datagram that may carry TCP.
#[derive(Clone, Copy, Debug)]
pub struct Fragment<'a> {
    pub packet: Packet<'a>,
    pub vlans: Vlans,
    pub datagram: Datagram,
    /// Fragment offset and flags.
    pub fragment: wire::Fragment,
}

/// Kind of a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Frame {
    /// A TCP segment.
    Segment,
    /// A fragment, to be reassembled first: [`Decoder::fragment`] reads it.
    Fragment,
    /// Neither; counted.
    Nothing,
}

/// Decoder settings.
#[derive(Clone, Copy, Debug)]
pub struct Decoder {
    /// Key of the flow hash.
    pub seed: [u64; 2],
    /// Drop segments with a wrong checksum.
    pub verify_checksums: VerifyChecksums,
    pub flow: FlowConfig,
}

impl Decoder {
    /// Decodes one frame and counts it. A segment is written in place: moving it afterwards would cost as much as decoding.
    #[inline]
    pub fn frame<'a>(
        &self,
        packet: &Packet<'a>,
        counters: &Counters,
        segment: &mut Segment<'a>,
    ) -> Frame {
        match self.read(packet, counters, segment) {
            Ok(frame) => frame,
            Err(error) => {
                match error {
                    Error::NotIp => &counters.not_ip,
                    _ => &counters.malformed,
                }
                .add(1);
                Frame::Nothing
            }
        }
    }

    /// Decodes the fragment of a frame for which [`Decoder::frame`] returned [`Frame::Fragment`].
    pub fn fragment<'a>(packet: &Packet<'a>) -> Option<Fragment<'a>> {
        let (vlans, datagram) = datagram(packet).ok()?;
        Some(Fragment {
            packet: *packet,
            vlans,
            datagram,
            fragment: datagram.fragment?,
        })
    }

    #[inline(always)]
    fn read<'a>(
        &self,
        packet: &Packet<'a>,
        counters: &Counters,
        segment: &mut Segment<'a>,
    ) -> Result<Frame, Error> {
        match fast_path(packet) {
            Some(datagram) => self.segment(packet, &Vlans::default(), &datagram, counters, segment),
            None => self.read_any(packet, counters, segment),
        }
    }

    #[inline(never)]
    fn read_any<'a>(
        &self,
        packet: &Packet<'a>,
        counters: &Counters,
        segment: &mut Segment<'a>,
    ) -> Result<Frame, Error> {
        let (vlans, datagram) = datagram(packet)?;
        if datagram.fragment.is_some() {
            counters.fragments.add(1);
            return Ok(Frame::Fragment);
        }
        // After the fragments: one of IPv6 shows its protocol only when it is reassembled.
        if datagram.protocol != PROTOCOL_TCP {
            counters.not_tcp.add(1);
            return Ok(Frame::Nothing);
        }
        self.segment(packet, &vlans, &datagram, counters, segment)
    }

    /// Returns the tags that tell flows apart, and the IP version.
    #[inline(always)]
    fn link(&self, vlans: &Vlans, version: u8) -> u32 {
        if vlans.count == 0 {
            abi::link(vlans, version)
        } else if self.flow.ignore_vlan {
            abi::link(&Vlans::default(), version)
        } else {
            abi::link(&vlans.without_priority(), version)
        }
    }

    /// Returns whether a packet's checksums must be verified. A checksum that is not filled in yet is wrong by design, and the
    /// segment is good.
    #[inline(always)]
    fn must_verify(&self, packet: &Packet<'_>, counters: &Counters) -> bool {
        match (self.verify_checksums, packet.checksum) {
            (VerifyChecksums::Never, _) | (_, Checksum::Valid | Checksum::Unfinished) => false,
            (VerifyChecksums::Always, _) | (_, Checksum::Verify) => true,
            (VerifyChecksums::Reported, Checksum::Unknown) => {
                counters.checksum_unknown.add(1);
                false
            }
        }
    }

    #[inline(always)]
    fn segment<'a>(
        &self,
        packet: &Packet<'a>,
        vlans: &Vlans,
        datagram: &Datagram,
        counters: &Counters,
        segment: &mut Segment<'a>,
    ) -> Result<Frame, Error> {
        let tcp = match wire::tcp(packet.data, datagram.payload) {
            // The capture ends within the options: the segment still takes its place in the stream.
            Err(Error::Truncated) if packet.more.is_empty() => {
                wire::tcp_cut(packet.data, datagram.payload)?
            }
            tcp => tcp?,
        };
        // By the IP header, not by the frame: Ethernet pads short frames, and a capture cuts long ones.
        let wire_len = datagram
            .end
            .checked_sub(tcp.payload)
            .ok_or(Error::Malformed)?;
        let payload = Payload::new(
            packet.data.get(tcp.payload..).unwrap_or_default(),
            packet.more,
            wire_len,
        );
        if payload.len() < wire_len || tcp.payload > packet.data.len() {
            counters.truncated.add(1);
        } else if self.must_verify(packet, counters) && !checksum::good(packet, datagram) {
            counters.bad_checksum.add(1);
            return Ok(Frame::Nothing);
        }
        segment.time = packet.time;
        segment.key = FlowKey {
            src: datagram.src,
            dst: datagram.dst,
            sport: tcp.src,
            dport: tcp.dst,
            link: self.link(vlans, datagram.version),
            zone: if self.flow.separate_interfaces {
                packet.interface
            } else {
                0
            },
        };
        segment.interface = packet.interface;
        segment.hash = segment.key.hash(self.seed);
        segment.tcp = tcp;
        let options = packet.data.get(tcp.options..tcp.payload);
        segment.timestamp = options.and_then(options::timestamp);
        // The other options of a segment are only read in a SYN, where they are agreed on.
        segment.options = if tcp.flags & wire::flags::SYN != 0 {
            options.map(SynOptions::read).unwrap_or_default()
        } else {
            SynOptions::default()
        };
        segment.payload = payload;
        segment.wire_len = wire_len;
        Ok(Frame::Segment)
    }
}

/// Fast path: decodes the IP header of a frame of the most frequent kind. That is Ethernet without tags, IPv4 without
/// options, a whole datagram with TCP.
///
/// The result equals that of [`datagram`]. With these few bytes known, the rest compiles to less: decoding takes 314
/// instructions instead of 452.
#[inline(always)]
fn fast_path(packet: &Packet<'_>) -> Option<Datagram> {
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
fn datagram(packet: &Packet<'_>) -> Result<(Vlans, Datagram), Error> {
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
            let ethernet = wire::ethernet(packet.data)?;
            Ok((
                ethernet.vlans,
                Some(version(ethernet.ethertype)?),
                ethernet.payload,
            ))
        }
        LinkType::Ip => Ok((Vlans::default(), None, 0)),
        LinkType::Null => Ok((Vlans::default(), None, 4)),
        LinkType::LinuxSll => cooked(packet.data, 14, 16),
        LinkType::LinuxSll2 => cooked(packet.data, 0, 20),
    }
}

/// Returns whether the length field is 0: then the datagram ends where the frame on the wire ends (GSO, BIG TCP).
fn ends_with_frame(data: &[u8], datagram: &Datagram) -> bool {
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
    Ok((
        Vlans::default(),
        Some(version(u16::from_be_bytes(*bytes))?),
        header,
    ))
}

#[inline(always)]
fn version(ethertype: u16) -> Result<u8, Error> {
    match ethertype {
        ETHERTYPE_IPV4 => Ok(4),
        ETHERTYPE_IPV6 => Ok(6),
        _ => Err(Error::NotIp),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

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
                more: &[], cut: 0,
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

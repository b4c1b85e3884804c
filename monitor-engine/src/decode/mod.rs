//! Decoding of frames into TCP segments and IP fragments.

pub mod checksum;
mod network;
mod options;

use monitor_common::abi;
use monitor_common::wire::{self, Datagram, Error, PROTOCOL_TCP, Tcp, Vlans};

use self::network::{datagram, fast_path};
pub use self::options::SynOptions;
use crate::flow::FlowKey;
use crate::payload::Payload;
use crate::{Checksum, Counters, FlowConfig, Packet, VerifyChecksums};

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

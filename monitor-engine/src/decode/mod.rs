//! Decoding of frames into TCP segments and IP fragments.

pub mod checksum;
mod network;
mod options;
mod tunnel;

use monitor_common::abi;
use monitor_common::wire::{self, Datagram, Error, PROTOCOL_TCP, Tcp, Vlans};

use self::network::{datagram, fast_path};
pub use self::options::SynOptions;
use self::tunnel::Inner;
use crate::flow::FlowKey;
use crate::payload::Payload;
use crate::tunnels::{MAX_DEPTH, Tunnels};
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
    /// Highest block of a selective acknowledgment (RFC 2018, 3).
    pub sacked: Option<[u32; 2]>,
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
    /// Link field with the number of the tunnel that it came through; 0: none.
    pub tunnel: u32,
    /// Offsets of the IP headers of the datagrams that carry it.
    pub carriers: [Option<usize>; MAX_DEPTH],
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

/// Decoder: its settings, and the tunnels that it knows.
#[derive(Debug)]
pub struct Decoder {
    /// Key of the flow hash.
    pub seed: [u64; 2],
    /// Drop segments with a wrong checksum.
    pub verify_checksums: VerifyChecksums,
    pub flow: FlowConfig,
    pub tunnels: Tunnels,
}

impl Decoder {
    /// Decodes one frame and counts it. A segment is written in place: moving it afterwards would cost as much as decoding.
    #[inline]
    pub fn frame<'a>(
        &mut self,
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
    pub fn fragment<'a>(
        &mut self,
        packet: &Packet<'a>,
        counters: &Counters,
    ) -> Option<Fragment<'a>> {
        let (vlans, datagram) = datagram(packet).ok()?;
        if let Some(fragment) = datagram.fragment {
            return Some(Fragment {
                packet: *packet,
                vlans,
                datagram,
                fragment,
                tunnel: 0,
                carriers: [None; MAX_DEPTH],
            });
        }
        let inner = self.inner(packet, &vlans, &datagram).ok()??;
        let Some(tunnel) = self.tunnel_link(&inner) else {
            counters.tunnels_full.add(1);
            return None;
        };
        Some(Fragment {
            packet: *packet,
            vlans: inner.vlans,
            datagram: inner.datagram,
            fragment: inner.datagram.fragment?,
            tunnel,
            carriers: inner.carriers,
        })
    }

    #[inline(always)]
    fn read<'a>(
        &mut self,
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
        &mut self,
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
            if self.may_carry(datagram.protocol) {
                return self.tunneled(packet, &vlans, &datagram, counters, segment);
            }
            counters.not_tcp.add(1);
            return Ok(Frame::Nothing);
        }
        self.segment(packet, &vlans, &datagram, counters, segment)
    }

    /// Decodes the packet inside a datagram that may be a tunnel.
    #[cold]
    #[inline(never)]
    fn tunneled<'a>(
        &mut self,
        packet: &Packet<'a>,
        vlans: &Vlans,
        datagram: &Datagram,
        counters: &Counters,
        segment: &mut Segment<'a>,
    ) -> Result<Frame, Error> {
        let Some(inner) = self.inner(packet, vlans, datagram)? else {
            counters.not_tcp.add(1);
            return Ok(Frame::Nothing);
        };
        counters.tunneled.add(1);
        if inner.datagram.fragment.is_some() {
            counters.fragments.add(1);
            return Ok(Frame::Fragment);
        }
        if inner.datagram.protocol != PROTOCOL_TCP {
            counters.not_tcp.add(1);
            return Ok(Frame::Nothing);
        }
        let frame = self.segment(packet, &inner.vlans, &inner.datagram, counters, segment)?;
        if frame != Frame::Segment {
            return Ok(frame);
        }
        let Some(link) = self.tunnel_link(&inner) else {
            counters.tunnels_full.add(1);
            return Ok(Frame::Nothing);
        };
        segment.key.link = link;
        // Equal addresses in many tunnels would make one long chain of the flow table. The upper half selects the worker.
        segment.hash ^= u64::from(link.wrapping_mul(0x9e37_79b1));
        Ok(Frame::Segment)
    }

    fn inner(
        &self,
        packet: &Packet<'_>,
        vlans: &Vlans,
        datagram: &Datagram,
    ) -> Result<Option<Inner>, Error> {
        let link = |vlans: &Vlans, version| self.link(vlans, version);
        tunnel::inner(packet, vlans, datagram, self.tunnels.kinds(), link)
    }

    /// Returns the link field with the number of the tunnels around a packet; `None` if there are too many tunnels.
    fn tunnel_link(&mut self, inner: &Inner) -> Option<u32> {
        let link = self.link(&inner.vlans, inner.datagram.version);
        let mut path = inner.path;
        path.set_link(link);
        Some(abi::tunneled(link, self.tunnels.number(&path)?))
    }

    /// Returns whether datagrams with a protocol may carry tunnels that are followed.
    #[inline]
    pub fn may_carry(&self, protocol: u8) -> bool {
        wire::may_be_tunnel(protocol, self.tunnels.kinds())
    }

    /// Returns whether [`Decoder::free_tunnels`] must be called.
    #[inline(always)]
    pub fn lacks_tunnels(&self, now: u64) -> bool {
        self.tunnels.must_search(now)
    }

    /// Frees all numbers of tunnels except those in use.
    pub fn free_tunnels(&mut self, now: u64, in_use: impl Iterator<Item = u32>) {
        self.tunnels.retain(now, in_use);
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
        segment.sacked = options.and_then(options::sacked);
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

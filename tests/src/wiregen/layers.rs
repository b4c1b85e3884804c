//! The headers in front of a segment.

use std::net::{IpAddr, SocketAddr};

use super::{End, Flow, Segment};

const ETHERTYPE_IPV4: u16 = 0x0800;
const ETHERTYPE_IPV6: u16 = 0x86dd;
const TCP: u8 = 6;
const FRAGMENT: u8 = 44;

/// Link layer in front of the IP header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LinkLayer {
    /// Ethernet II.
    Ethernet,
    /// Nothing.
    Raw,
    /// Linux cooked capture.
    Sll,
    /// Linux cooked capture v2.
    Sll2,
    /// BSD null: the address family in the byte order of the machine, here little.
    Null,
    /// OpenBSD loop: the address family in network order.
    Loop,
}

impl LinkLayer {
    /// Its LINKTYPE_ number in files.
    #[must_use]
    pub fn link_type(self) -> u16 {
        match self {
            Self::Ethernet => 1,
            Self::Raw => 101,
            Self::Sll => 113,
            Self::Sll2 => 276,
            Self::Null => 0,
            Self::Loop => 108,
        }
    }
}

/// The headers that segments are wrapped in.
#[derive(Clone, Debug)]
pub struct Layers {
    /// The outermost header.
    pub link: LinkLayer,
    /// Tag protocol (0x8100, 0x88a8) and VLAN id, outermost first; Ethernet only.
    pub tags: Vec<(u16, u16)>,
    /// Bytes of IPv4 options; a multiple of 4, up to 40.
    pub ip_options: usize,
    /// IPv6 extension headers: 0 hop-by-hop, 43 routing, 60 destination options; 8 bytes each.
    pub extensions: Vec<u8>,
    /// Split IP payloads into pieces of this size; a multiple of 8.
    pub fragment: Option<usize>,
    /// Pad Ethernet frames to the minimum of 60 bytes, as the wire does.
    pub padding: bool,
    /// Write checksums that are wrong.
    pub bad_checksums: bool,
}

impl Layers {
    /// Plain Ethernet.
    #[must_use]
    pub fn ethernet() -> Self {
        Self::on(LinkLayer::Ethernet)
    }

    /// Nothing special, on some link layer.
    #[must_use]
    pub fn on(link: LinkLayer) -> Self {
        Self {
            link,
            tags: Vec::new(),
            ip_options: 0,
            extensions: Vec::new(),
            fragment: None,
            padding: link == LinkLayer::Ethernet,
            bad_checksums: false,
        }
    }

    /// The frames of a segment: one, or more where it is fragmented.
    #[must_use]
    pub fn frames(&self, flow: &Flow, segment: &Segment) -> Vec<Vec<u8>> {
        let (src, dst) = match segment.from {
            End::Client => (flow.client, flow.server),
            End::Server => (flow.server, flow.client),
        };
        let tcp = self.tcp(src, dst, segment);
        // Fragments of one datagram share this; it differs between datagrams.
        let id = segment.seq ^ (segment.time / 1000) as u32;
        let pieces: Vec<&[u8]> = match self.fragment {
            Some(size) if tcp.len() > size => tcp.chunks(size).collect(),
            _ => vec![&tcp],
        };
        let last = pieces.len() - 1;
        let mut offset = 0;
        let mut frames = Vec::with_capacity(pieces.len());
        for (index, piece) in pieces.into_iter().enumerate() {
            let fragment = (last > 0).then_some((id, offset as u16, index < last));
            frames.push(self.frame(src.ip(), dst.ip(), segment.from, fragment, piece));
            offset += piece.len();
        }
        frames
    }

    fn frame(
        &self,
        src: IpAddr,
        dst: IpAddr,
        from: End,
        fragment: Option<(u32, u16, bool)>,
        payload: &[u8],
    ) -> Vec<u8> {
        let (ethertype, packet) = match (src, dst) {
            (IpAddr::V4(src), IpAddr::V4(dst)) => (
                ETHERTYPE_IPV4,
                self.ipv4(src.octets(), dst.octets(), fragment, payload),
            ),
            (IpAddr::V6(src), IpAddr::V6(dst)) => (
                ETHERTYPE_IPV6,
                self.ipv6(src.octets(), dst.octets(), fragment, payload),
            ),
            _ => panic!("{src} and {dst} are of different families"),
        };
        let mut frame = self.link_header(from, ethertype);
        frame.extend(packet);
        if self.padding && frame.len() < 60 {
            // Not zeros: padding taken for data must show.
            frame.resize(60, 0xee);
        }
        frame
    }

    fn link_header(&self, from: End, ethertype: u16) -> Vec<u8> {
        let family = if ethertype == ETHERTYPE_IPV4 {
            2_u32
        } else {
            30
        };
        match self.link {
            LinkLayer::Ethernet => {
                let (to, of) = if from == End::Client { (2, 1) } else { (1, 2) };
                let mut header = vec![2, 0, 0, 0, 0, to, 2, 0, 0, 0, 0, of];
                for (protocol, id) in &self.tags {
                    header.extend(protocol.to_be_bytes());
                    header.extend(id.to_be_bytes());
                }
                header.extend(ethertype.to_be_bytes());
                header
            }
            LinkLayer::Raw => Vec::new(),
            LinkLayer::Sll => {
                let mut header = vec![0, 0, 0, 1, 0, 6, 2, 0, 0, 0, 0, 1, 0, 0];
                header.extend(ethertype.to_be_bytes());
                header
            }
            LinkLayer::Sll2 => {
                let mut header = ethertype.to_be_bytes().to_vec();
                header.extend([0, 0, 0, 0, 0, 1, 0, 1, 0, 6, 2, 0, 0, 0, 0, 1, 0, 0]);
                header
            }
            LinkLayer::Null => family.to_le_bytes().to_vec(),
            LinkLayer::Loop => family.to_be_bytes().to_vec(),
        }
    }

    fn ipv4(
        &self,
        src: [u8; 4],
        dst: [u8; 4],
        fragment: Option<(u32, u16, bool)>,
        payload: &[u8],
    ) -> Vec<u8> {
        let header = 20 + self.ip_options;
        let (id, offset, more) = fragment.unwrap_or((0, 0, false));
        let mut packet = vec![0x40 | (header / 4) as u8, 0];
        packet.extend(((header + payload.len()) as u16).to_be_bytes());
        packet.extend((id as u16).to_be_bytes());
        let dont = if fragment.is_none() { 0x4000 } else { 0 };
        packet.extend(((offset / 8) | if more { 0x2000 } else { dont }).to_be_bytes());
        packet.extend([64, TCP, 0, 0]);
        packet.extend(src);
        packet.extend(dst);
        packet.resize(header, 1);
        let sum = checksum(&[&packet]) ^ u16::from(self.bad_checksums);
        packet[10..12].copy_from_slice(&sum.to_be_bytes());
        packet.extend(payload);
        packet
    }

    fn ipv6(
        &self,
        src: [u8; 16],
        dst: [u8; 16],
        fragment: Option<(u32, u16, bool)>,
        payload: &[u8],
    ) -> Vec<u8> {
        let mut kinds = self.extensions.clone();
        kinds.extend(fragment.map(|_| FRAGMENT));
        kinds.push(TCP);
        let mut headers = Vec::new();
        for next in &kinds[1..=self.extensions.len().min(kinds.len() - 1)] {
            // One unit of 8 bytes, filled with a PadN option.
            headers.extend([*next, 0, 1, 4, 0, 0, 0, 0]);
        }
        if let Some((id, offset, more)) = fragment {
            headers.extend([TCP, 0]);
            headers.extend((offset | u16::from(more)).to_be_bytes());
            headers.extend(id.to_be_bytes());
        }
        let mut packet = vec![0x60, 0, 0, 0];
        packet.extend(((headers.len() + payload.len()) as u16).to_be_bytes());
        packet.extend([kinds[0], 64]);
        packet.extend(src);
        packet.extend(dst);
        packet.extend(headers);
        packet.extend(payload);
        packet
    }

    fn tcp(&self, src: SocketAddr, dst: SocketAddr, segment: &Segment) -> Vec<u8> {
        let options = segment.options.len().next_multiple_of(4);
        let mut tcp = Vec::with_capacity(20 + options + segment.payload.len());
        tcp.extend(src.port().to_be_bytes());
        tcp.extend(dst.port().to_be_bytes());
        tcp.extend(segment.seq.to_be_bytes());
        tcp.extend(segment.ack.to_be_bytes());
        tcp.extend([(((20 + options) / 4) << 4) as u8, segment.flags]);
        tcp.extend(segment.window.to_be_bytes());
        tcp.extend([0, 0]);
        tcp.extend(segment.urgent.to_be_bytes());
        tcp.extend(&segment.options);
        tcp.resize(20 + options, 1);
        tcp.extend(&segment.payload);
        let sum = checksum(&[&pseudo_header(src.ip(), dst.ip(), tcp.len()), &tcp])
            ^ u16::from(self.bad_checksums);
        tcp[16..18].copy_from_slice(&sum.to_be_bytes());
        tcp
    }
}

fn pseudo_header(src: IpAddr, dst: IpAddr, len: usize) -> Vec<u8> {
    let mut header = Vec::new();
    for address in [src, dst] {
        match address {
            IpAddr::V4(v4) => header.extend(v4.octets()),
            IpAddr::V6(v6) => header.extend(v6.octets()),
        }
    }
    header.extend((len as u32).to_be_bytes());
    header.extend([0, 0, 0, TCP]);
    header
}

/// The Internet checksum (RFC 1071); every part but the last has an even length.
fn checksum(parts: &[&[u8]]) -> u16 {
    let mut sum = 0_u64;
    for part in parts {
        for pair in part.chunks(2) {
            sum += u64::from(u16::from_be_bytes([pair[0], *pair.get(1).unwrap_or(&0)]));
        }
    }
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    !(sum as u16)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_checksum_of_a_header_with_its_checksum_is_zero() {
        let mut flow = Flow::new("10.0.0.1:1", "10.0.0.2:2");
        flow.segment(End::Client, 0x10, b"odd");
        let frame = Layers::on(LinkLayer::Raw)
            .frames(&flow, &flow.segments[0])
            .remove(0);
        assert_eq!(checksum(&[&frame[..20]]), 0);
        let tcp = &frame[20..];
        assert_eq!(
            checksum(&[
                &pseudo_header(flow.client.ip(), flow.server.ip(), tcp.len()),
                tcp
            ]),
            0
        );
    }

    #[test]
    fn fragments_cover_the_datagram() {
        let mut flow = Flow::new("[2001:db8::1]:1", "[2001:db8::2]:2");
        flow.segment(End::Client, 0x10, &[7; 1000]);
        let layers = Layers {
            fragment: Some(400),
            extensions: vec![0, 60],
            ..Layers::on(LinkLayer::Raw)
        };
        let frames = layers.frames(&flow, &flow.segments[0]);
        // 1020 bytes in three; each with the IPv6 header, two extension headers and the fragment header.
        let lengths: Vec<usize> = frames.iter().map(|frame| frame.len() - 40 - 24).collect();
        assert_eq!(lengths, [400, 400, 220]);
        assert_eq!(
            (frames[0][6], frames[0][40], frames[0][48], frames[0][56]),
            (0, 60, 44, 6)
        );
    }
}

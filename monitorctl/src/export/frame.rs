//! Encoder of packets: an IPv4 or IPv6 header, a TCP header, and Ethernet with VLAN tags if wanted. Pure.

use std::net::{IpAddr, SocketAddr};

use monitor_client::Side;

/// Longest payload of a segment that fits any packet: 65535 less the headers of IPv4 and TCP.
pub const LONGEST: u64 = 65_495;

/// TCP flags.
pub mod flags {
    pub const FIN: u8 = 1;
    pub const SYN: u8 = 2;
    pub const RST: u8 = 4;
    pub const PSH: u8 = 8;
    pub const ACK: u8 = 16;
}

const ETHERTYPE_IPV4: u16 = 0x0800;
const ETHERTYPE_IPV6: u16 = 0x86dd;
const ETHERTYPE_VLAN: u16 = 0x8100;
/// Tag in front of another tag (802.1ad).
const ETHERTYPE_OUTER_VLAN: u16 = 0x88a8;
const TCP: u8 = 6;
const HOPS: u8 = 64;
const IPV4_HEADER: usize = 20;
const TCP_HEADER: usize = 20;
const DONT_FRAGMENT: u16 = 0x4000;

/// Segment of a conversation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Segment<'a> {
    /// End that sends it.
    pub from: Side,
    pub seq: u32,
    pub ack: u32,
    /// See [`flags`].
    pub flags: u8,
    /// Options, a multiple of 4 bytes.
    pub options: &'a [u8],
    pub payload: &'a [u8],
}

/// Headers that the segments of one connection have in common.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Envelope {
    pub client: SocketAddr,
    pub server: SocketAddr,
    /// VLAN ids, outermost first; only with Ethernet.
    pub vlan: Vec<u16>,
    /// True: Ethernet frames, with addresses made up from the ends' names. False: packets without a link layer.
    pub ethernet: bool,
}

impl Envelope {
    /// Encodes a segment into `packet`, which is cleared first. `ident` is the identification of an IPv4 packet.
    pub fn encode(&self, segment: &Segment<'_>, ident: u16, packet: &mut Vec<u8>) {
        packet.clear();
        let (src, dst) = match segment.from {
            Side::Client => (self.client, self.server),
            Side::Server => (self.server, self.client),
        };
        if self.ethernet {
            self.ethernet(segment.from, src.ip(), packet);
        }
        let length = TCP_HEADER + segment.options.len() + segment.payload.len();
        let pseudo = match (src.ip(), dst.ip()) {
            (IpAddr::V4(src), IpAddr::V4(dst)) => {
                ipv4(src.octets(), dst.octets(), length, ident, packet);
                Sum::default().add(&src.octets()).add(&dst.octets())
            }
            (src, dst) => {
                let (src, dst) = (octets(src), octets(dst));
                ipv6(src, dst, length, packet);
                Sum::default().add(&src).add(&dst)
            }
        };
        let start = packet.len();
        put(packet, src.port());
        put(packet, dst.port());
        packet.extend(segment.seq.to_be_bytes());
        packet.extend(segment.ack.to_be_bytes());
        packet.push(((TCP_HEADER + segment.options.len()) as u8 / 4) << 4);
        packet.push(segment.flags);
        // With the largest scale no window is ever full.
        put(packet, u16::MAX);
        packet.extend([0; 4]);
        packet.extend(segment.options);
        packet.extend(segment.payload);
        let sum = pseudo
            .add(&[0, TCP])
            .add(&(length as u32).to_be_bytes())
            .add(&packet[start..]);
        packet[start + 16..start + 18].copy_from_slice(&sum.checksum());
    }

    /// Appends an Ethernet header. The real addresses are unknown: these are locally administered ones.
    fn ethernet(&self, from: Side, src: IpAddr, packet: &mut Vec<u8>) {
        let address = |end: Side| [2, 0, 0, 0, 0, end.index() as u8 + 1];
        packet.extend(address(from.peer()));
        packet.extend(address(from));
        for (index, id) in self.vlan.iter().enumerate() {
            let is_last = index + 1 == self.vlan.len();
            let tag = if is_last {
                ETHERTYPE_VLAN
            } else {
                ETHERTYPE_OUTER_VLAN
            };
            put(packet, tag);
            put(packet, *id);
        }
        let kind = if src.is_ipv4() {
            ETHERTYPE_IPV4
        } else {
            ETHERTYPE_IPV6
        };
        put(packet, kind);
    }
}

fn ipv4(src: [u8; 4], dst: [u8; 4], length: usize, ident: u16, packet: &mut Vec<u8>) {
    let start = packet.len();
    packet.extend([0x45, 0]);
    put(packet, (IPV4_HEADER + length) as u16);
    put(packet, ident);
    put(packet, DONT_FRAGMENT);
    packet.extend([HOPS, TCP, 0, 0]);
    packet.extend(src);
    packet.extend(dst);
    let checksum = Sum::default().add(&packet[start..]).checksum();
    packet[start + 10..start + 12].copy_from_slice(&checksum);
}

fn ipv6(src: [u8; 16], dst: [u8; 16], length: usize, packet: &mut Vec<u8>) {
    packet.extend([0x60, 0, 0, 0]);
    put(packet, length as u16);
    packet.extend([TCP, HOPS]);
    packet.extend(src);
    packet.extend(dst);
}

/// Returns an address in its IPv6 form.
fn octets(address: IpAddr) -> [u8; 16] {
    match address {
        IpAddr::V4(address) => address.to_ipv6_mapped().octets(),
        IpAddr::V6(address) => address.octets(),
    }
}

fn put(packet: &mut Vec<u8>, number: u16) {
    packet.extend(number.to_be_bytes());
}

/// Internet checksum (RFC 1071). Every part but the last has an even length.
#[derive(Clone, Copy, Default)]
struct Sum(u64);

impl Sum {
    fn add(mut self, bytes: &[u8]) -> Self {
        let (pairs, rest) = bytes.as_chunks::<2>();
        self.0 += pairs
            .iter()
            .map(|pair| u64::from(u16::from_be_bytes(*pair)))
            .sum::<u64>();
        if let [last] = rest {
            self.0 += u64::from(*last) << 8;
        }
        self
    }

    fn checksum(self) -> [u8; 2] {
        let mut sum = self.0;
        while sum > u64::from(u16::MAX) {
            sum = (sum & u64::from(u16::MAX)) + (sum >> 16);
        }
        (!(sum as u16)).to_be_bytes()
    }
}

#[cfg(test)]
mod tests {
    use super::flags::{ACK, PSH};
    use super::*;

    fn envelope(client: &str, server: &str) -> Envelope {
        Envelope {
            client: client.parse().unwrap(),
            server: server.parse().unwrap(),
            vlan: Vec::new(),
            ethernet: false,
        }
    }

    const SEGMENT: Segment<'static> = Segment {
        from: Side::Server,
        seq: 0x0102_0304,
        ack: 0x0506_0708,
        flags: PSH | ACK,
        options: &[2, 4, 5, 0xb4],
        payload: b"odd",
    };

    #[test]
    fn checksums_are_correct() {
        let mut packet = Vec::new();
        envelope("10.0.0.1:1234", "10.0.0.2:80").encode(&SEGMENT, 9, &mut packet);
        assert_eq!(packet.len(), 20 + 24 + 3);
        assert_eq!(Sum::default().add(&packet[..20]).checksum(), [0, 0]);
        assert_eq!(&packet[12..20], [10, 0, 0, 2, 10, 0, 0, 1]);
        let pseudo = Sum::default().add(&packet[12..20]).add(&[0, 6, 0, 27]);
        assert_eq!(pseudo.add(&packet[20..]).checksum(), [0, 0]);

        envelope("[2001:db8::1]:1234", "[2001:db8::2]:80").encode(&SEGMENT, 9, &mut packet);
        assert_eq!(packet.len(), 40 + 24 + 3);
        assert_eq!((packet[0], packet[6]), (0x60, 6));
        let pseudo = Sum::default().add(&packet[8..40]).add(&[0, 6, 0, 27]);
        assert_eq!(pseudo.add(&packet[40..]).checksum(), [0, 0]);
    }

    #[test]
    fn tags_are_in_the_ethernet_header_outermost_first() {
        let mut packet = Vec::new();
        let tagged = Envelope {
            vlan: vec![100, 7],
            ethernet: true,
            ..envelope("10.0.0.1:1234", "10.0.0.2:80")
        };
        tagged.encode(&SEGMENT, 0, &mut packet);
        assert_eq!(&packet[..12], [2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2]);
        let tags = [0x88, 0xa8, 0, 100, 0x81, 0, 0, 7, 8, 0, 0x45];
        assert_eq!(&packet[12..23], tags);
    }
}

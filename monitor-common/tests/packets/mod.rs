//! Packets built from a description, and strategies for descriptions. The readers must return the description.
#![allow(
    dead_code,
    reason = "each test that includes this module uses its own part of it"
)]

use proptest::prelude::*;

/// A packet to build.
#[derive(Clone, Debug)]
pub struct Spec {
    /// Tag type and control field, outermost first.
    pub tags: Vec<(u16, u16)>,
    pub network: Network,
    pub fragment: Option<(u32, u16, bool)>,
    pub protocol: u8,
    /// Ports of a TCP header. The rest of the header is derived from them.
    pub ports: (u16, u16),
    pub tcp_options: Vec<u8>,
    pub data: Vec<u8>,
    /// Ethernet padding behind the IP datagram.
    pub padding: usize,
}

#[derive(Clone, Debug)]
pub enum Network {
    /// Addresses, options.
    V4([u8; 4], [u8; 4], Vec<u8>),
    /// Addresses, extension headers (type and length in bytes) before a fragment header, if any.
    V6([u8; 16], [u8; 16], Vec<(u8, u8)>),
}

impl Spec {
    /// The frame with its Ethernet header, and the offsets of its IP header and of its IP payload.
    pub fn frame(&self) -> (Vec<u8>, usize, usize) {
        let mut frame = vec![0x02, 0, 0, 0, 0, 1, 0x02, 0, 0, 0, 0, 2];
        for (kind, control) in &self.tags {
            frame.extend(kind.to_be_bytes());
            frame.extend(control.to_be_bytes());
        }
        frame.extend(match self.network {
            Network::V4(..) => [0x08, 0x00],
            Network::V6(..) => [0x86, 0xdd],
        });
        let header = frame.len();
        let (packet, payload) = self.packet();
        frame.extend(packet);
        frame.extend(std::iter::repeat_n(0xee, self.padding));
        (frame, header, header + payload)
    }

    /// The IP packet, and the offset of its payload.
    pub fn packet(&self) -> (Vec<u8>, usize) {
        let segment = self.segment();
        match &self.network {
            Network::V4(src, dst, options) => self.v4(src, dst, options, &segment),
            Network::V6(src, dst, extensions) => self.v6(src, dst, extensions, &segment),
        }
    }

    fn segment(&self) -> Vec<u8> {
        let mut segment = Vec::new();
        segment.extend(self.ports.0.to_be_bytes());
        segment.extend(self.ports.1.to_be_bytes());
        segment.extend(0x0102_0304_u32.to_be_bytes());
        segment.extend(0x0506_0708_u32.to_be_bytes());
        segment.push(u8::try_from(5 + self.tcp_options.len() / 4).expect("options fit") << 4);
        segment.extend([0x18, 0x20, 0x00, 0xab, 0xcd, 0x00, 0x07]);
        segment.extend(&self.tcp_options);
        segment.extend(&self.data);
        segment
    }

    fn v4(&self, src: &[u8; 4], dst: &[u8; 4], options: &[u8], segment: &[u8]) -> (Vec<u8>, usize) {
        let header = 20 + options.len();
        let (id, offset, more) = self.fragment.unwrap_or((7, 0, false));
        let mut packet = vec![0x40 | u8::try_from(header / 4).expect("options fit"), 0];
        packet.extend(
            u16::try_from(header + segment.len())
                .expect("fits")
                .to_be_bytes(),
        );
        packet.extend(u16::try_from(id & 0xffff).expect("masked").to_be_bytes());
        packet.extend(((offset / 8) | if more { 0x2000 } else { 0 }).to_be_bytes());
        packet.extend([64, self.protocol, 0, 0]);
        packet.extend(src);
        packet.extend(dst);
        packet.extend(options);
        packet.extend(segment);
        (packet, header)
    }

    fn v6(
        &self,
        src: &[u8; 16],
        dst: &[u8; 16],
        extensions: &[(u8, u8)],
        segment: &[u8],
    ) -> (Vec<u8>, usize) {
        let mut headers = Vec::new();
        let mut kinds: Vec<u8> = extensions.iter().map(|(kind, _)| *kind).collect();
        kinds.extend(self.fragment.map(|_| 44));
        kinds.push(self.protocol);
        for (index, &(kind, units)) in extensions.iter().enumerate() {
            let len = if kind == 51 {
                (usize::from(units) + 2) * 4
            } else {
                (usize::from(units) + 1) * 8
            };
            headers.extend([kinds[index + 1], units]);
            headers.extend(std::iter::repeat_n(0x11, len - 2));
        }
        if let Some((id, offset, more)) = self.fragment {
            headers.extend([self.protocol, 0]);
            headers.extend((offset | u16::from(more)).to_be_bytes());
            headers.extend(id.to_be_bytes());
        }
        let mut packet = vec![0x60, 0, 0, 0];
        packet.extend(
            u16::try_from(headers.len() + segment.len())
                .expect("fits")
                .to_be_bytes(),
        );
        packet.extend([kinds[0], 64]);
        packet.extend(src);
        packet.extend(dst);
        let payload = packet.len() + headers.len();
        packet.extend(headers);
        packet.extend(segment);
        (packet, payload)
    }
}

/// Any packet that is well-formed, TCP or not.
pub fn spec() -> impl Strategy<Value = Spec> {
    let tag = (
        prop::sample::select(vec![0x8100_u16, 0x88a8, 0x9100]),
        any::<u16>(),
    );
    let fragment = prop::option::weighted(
        0.2,
        (
            any::<u32>(),
            (0_u16..8191).prop_map(|o| o * 8),
            any::<bool>(),
        ),
    );
    let protocol = prop_oneof![8 => Just(6_u8), 1 => Just(17), 1 => Just(58)];
    (
        prop::collection::vec(tag, 0..=2),
        network(),
        fragment,
        protocol,
        (port(), port()),
        words(10),
        prop::collection::vec(any::<u8>(), 0..64),
        0_usize..20,
    )
        .prop_map(
            |(tags, network, fragment, protocol, ports, tcp_options, data, padding)| Spec {
                tags,
                network,
                fragment,
                protocol,
                ports,
                tcp_options,
                data,
                padding,
            },
        )
}

/// Ports of a small set, so that a filter hits some, and any other.
fn port() -> impl Strategy<Value = u16> {
    prop_oneof![
        prop::sample::select(vec![80_u16, 443, 8080, 22]),
        any::<u16>()
    ]
}

fn network() -> impl Strategy<Value = Network> {
    let extension = (
        prop::sample::select(vec![0_u8, 43, 51, 60, 135, 139, 140]),
        0_u8..40,
    );
    prop_oneof![
        (v4(), v4(), words(10)).prop_map(|(src, dst, options)| Network::V4(src, dst, options)),
        (v6(), v6(), prop::collection::vec(extension, 0..=4))
            .prop_map(|(src, dst, ext)| Network::V6(src, dst, ext)),
    ]
}

fn v4() -> impl Strategy<Value = [u8; 4]> {
    prop_oneof![
        any::<[u8; 4]>(),
        any::<[u8; 2]>().prop_map(|[c, d]| [10, 1, c, d])
    ]
}

fn v6() -> impl Strategy<Value = [u8; 16]> {
    prop_oneof![
        any::<[u8; 16]>(),
        any::<u8>().prop_map(|last| [
            0x20, 0x01, 0x0d, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, last
        ]),
    ]
}

/// Up to `most` 32-bit words of anything.
fn words(most: usize) -> impl Strategy<Value = Vec<u8>> {
    (0..=most).prop_flat_map(|count| prop::collection::vec(any::<u8>(), count * 4))
}

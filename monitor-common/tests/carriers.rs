//! Headers between link layer and IP: chains of them lead to the IP packet, and any bytes are survived.
#![allow(missing_docs, reason = "tests")]

use monitor_common::wire::{self, Error, Vlans};
use proptest::prelude::*;

/// A header to write in front of the payload.
#[derive(Clone, Copy, Debug)]
enum Header {
    Tag(u16),
    Snap,
    Pppoe,
    Ppp { compressed: bool, control: bool },
}

impl Header {
    /// Returns the EtherType that announces the header; for the first of a chain.
    fn ethertype(self, len: usize) -> u16 {
        match self {
            Self::Tag(_) => 0x8100,
            Self::Snap => len as u16,
            Self::Pppoe => 0x8864,
            Self::Ppp { .. } => 0x880b,
        }
    }

    /// Puts the header in front of a payload with an EtherType; `None` if it cannot carry it.
    fn carry(self, ethertype: u16, payload: &[u8]) -> Option<Vec<u8>> {
        let mut bytes = match self {
            Self::Tag(id) => [(0x6000 | id).to_be_bytes(), ethertype.to_be_bytes()].concat(),
            Self::Snap if ethertype < 0x600 => return None,
            Self::Snap => [&[0xaa, 0xaa, 3, 0, 0, 0], &ethertype.to_be_bytes()[..]].concat(),
            Self::Pppoe => {
                let protocol = ppp(ethertype)?;
                let len = (payload.len() as u16 + 2).to_be_bytes();
                [&[0x11, 0, 0, 7][..], &len, &protocol.to_be_bytes()].concat()
            }
            Self::Ppp {
                compressed,
                control,
            } => {
                let protocol = ppp(ethertype)?;
                let mut bytes = if control { vec![0xff, 3] } else { vec![] };
                if compressed && protocol < 0x100 {
                    bytes.push(protocol as u8);
                } else {
                    bytes.extend(protocol.to_be_bytes());
                }
                bytes
            }
        };
        bytes.extend(payload);
        Some(bytes)
    }
}

fn ppp(ethertype: u16) -> Option<u16> {
    match ethertype {
        0x0800 => Some(0x21),
        0x86dd => Some(0x57),
        0x8847 => Some(0x281),
        _ => None,
    }
}

fn header() -> impl Strategy<Value = Header> {
    prop_oneof![
        (1_u16..4095).prop_map(Header::Tag),
        Just(Header::Snap),
        Just(Header::Pppoe),
        any::<(bool, bool)>().prop_map(|(compressed, control)| Header::Ppp {
            compressed,
            control
        }),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn chains_of_headers_lead_to_ip(
        headers in prop::collection::vec(header(), 0..6),
        labels in 0_usize..4,
        version in prop_oneof![Just(4_u8), Just(6)],
        start in 0_usize..20,
    ) {
        let ip = [version << 4; 40];
        let (mut bytes, mut ethertype) = (ip.to_vec(), if version == 4 { 0x0800 } else { 0x86dd });
        if labels > 0 {
            for label in 0..labels {
                let bottom = u8::from(label == 0);
                bytes.splice(0..0, [0, 1, 0x20 | bottom, 64]);
            }
            ethertype = 0x8847;
        }
        let mut tags = Vec::new();
        for header in headers {
            let Some(next) = header.carry(ethertype, &bytes) else { continue };
            if let Header::Tag(id) = header {
                if tags.len() == 3 {
                    continue;
                }
                tags.insert(0, id);
            }
            ethertype = header.ethertype(bytes.len());
            bytes = next;
        }
        bytes.splice(0..0, vec![0xee; start]);
        let found = wire::carried(bytes.as_slice(), ethertype, start, Vlans::default());
        let found = found.map_err(|error| TestCaseError::fail(format!("{error}")))?;
        prop_assert_eq!(&bytes[found.payload..], &ip[..]);
        prop_assert_eq!(found.version, (labels == 0).then_some(version));
        tags.truncate(2);
        prop_assert_eq!(&found.vlans.ids[..usize::from(found.vlans.count)], &tags[..]);
    }

    #[test]
    fn anything_is_survived(
        bytes in prop::collection::vec(any::<u8>(), 0..200),
        ethertype in prop_oneof![Just(0x8100_u16), Just(0x8847), Just(0x8864), Just(0x880b), Just(4), any::<u16>()],
        at in 0_usize..220,
    ) {
        let bytes = bytes.as_slice();
        if let Ok(found) = wire::carried(bytes, ethertype, at, Vlans::default()) {
            prop_assert!(found.payload >= at && found.payload <= at.max(bytes.len()) && found.vlans.count <= 2);
        }
    }
}

#[test]
fn other_protocols_are_refused() {
    let carried = |ethertype, bytes: &[u8]| wire::carried(bytes, ethertype, 0, Vlans::default());
    // ARP, a PPPoE discovery, LCP, spanning tree, a pseudowire, and tags without end.
    assert_eq!(carried(0x0806, &[0; 40]), Err(Error::NotIp));
    assert_eq!(
        carried(0x8864, &[0x11, 9, 0, 0, 0, 2, 0, 0x21]),
        Err(Error::NotIp)
    );
    assert_eq!(
        carried(0x880b, &[0xff, 3, 0xc0, 0x21, 0, 0]),
        Err(Error::NotIp)
    );
    assert_eq!(carried(38, &[0x42, 0x42, 3, 0, 0]), Err(Error::NotIp));
    assert_eq!(
        carried(0x8847, &[0, 1, 1, 64, 0, 0, 0, 0]),
        Err(Error::NotIp)
    );
    assert_eq!(
        carried(0x8100, &[0x81, 0].repeat(20)),
        Err(Error::TooManyTags)
    );
    assert_eq!(carried(0x8847, &[0, 1, 0, 64]), Err(Error::Truncated));
}

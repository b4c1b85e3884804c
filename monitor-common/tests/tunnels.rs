//! Tunnel headers and the steering of their packets: any bytes are survived, and both directions meet.
#![allow(missing_docs, clippy::unwrap_used, reason = "tests")]

mod packets;

use monitor_common::steer::{Ends, Filter, Skip, decide};
use monitor_common::wire::{self, Address};
use monitor_common::{LinkType, TunnelKind, TunnelKinds};
use packets::{Network, Spec, spec};
use proptest::prelude::*;

struct Tunnels(TunnelKinds);

impl Filter for Tunnels {
    fn port(&self, _: u16) -> bool {
        false
    }

    fn network(&self, _: &Address) -> bool {
        false
    }

    fn tunnels(&self) -> TunnelKinds {
        self.0
    }
}

/// Protocol and UDP destination port of each kind.
const CARRIERS: [(TunnelKind, u8, u16); 7] = [
    (TunnelKind::Ipip, 4, 0),
    (TunnelKind::Ipip, 41, 0),
    (TunnelKind::Gre, 47, 0),
    (TunnelKind::Erspan, 47, 0),
    (TunnelKind::Vxlan, 17, 4789),
    (TunnelKind::Vxlan, 17, 8472),
    (TunnelKind::Geneve, 17, 6081),
];

/// Swaps the ends of a packet.
fn back(spec: &Spec) -> Spec {
    let network = match spec.network.clone() {
        Network::V4(a, b, options) => Network::V4(b, a, options),
        Network::V6(a, b, extensions) => Network::V6(b, a, extensions),
    };
    Spec {
        network,
        ..spec.clone()
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1000))]

    #[test]
    fn both_directions_and_all_fragments_of_a_tunnel_meet_in_one_worker(
        spec in spec(),
        at in 0..CARRIERS.len(),
        source in 1024_u16..,
        seed: [u64; 2],
        fragment: bool,
    ) {
        let (kind, protocol, port) = CARRIERS[at];
        let spec = Spec {
            protocol,
            ports: (source, port),
            fragment: fragment.then_some((5, 64, true)),
            ..spec
        };
        let only = Tunnels(TunnelKinds::default().with(kind));
        let decide = |spec: &Spec, filter| decide(spec.frame().0.as_slice(), LinkType::Ethernet, filter, seed, 7);
        let there = decide(&spec, &only).unwrap();
        let whole = Spec { fragment: None, ..back(&spec) };
        prop_assert_eq!(there.1, decide(&whole, &only).unwrap().1);
        let is_tunnel = |ends| matches!(ends, Ends::Tunnel { .. });
        prop_assert_eq!(is_tunnel(there.0), !fragment);
        prop_assert!(is_tunnel(decide(&whole, &only).unwrap().0));
        let none = Tunnels(TunnelKinds::default());
        prop_assert_eq!(decide(&spec, &none), Err(Skip::NotTcp));
        if protocol == 17 {
            let other = Spec { ports: (port, source.saturating_mul(2) | 1), ..whole };
            prop_assert_eq!(decide(&other, &only).map(|found| found.1), Err(Skip::NotTcp));
        }
    }

    #[test]
    fn anything_is_survived(
        bytes in prop::collection::vec(any::<u8>(), 0..120),
        at in 0..CARRIERS.len(),
        start in 0_usize..20,
    ) {
        let (kind, protocol, port) = CARRIERS[at];
        let mut packet = vec![0x45, 0, 0, 0, 0, 0, 0, 0, 64, protocol, 0, 0, 10, 0, 0, 1, 10, 0, 0, 2];
        packet.extend(&bytes);
        if protocol == 17 && bytes.len() >= 4 {
            packet[22..24].copy_from_slice(&port.to_be_bytes());
        }
        packet.splice(0..0, vec![0; start]);
        let datagram = wire::ip(packet.as_slice(), start).unwrap();
        for kinds in [TunnelKinds::ALL, TunnelKinds::default().with(kind), TunnelKinds::default()] {
            if let Ok(Some(header)) = wire::tunnel(packet.as_slice(), &datagram, kinds) {
                prop_assert!(kinds.contains(header.kind));
                prop_assert!(header.payload >= datagram.payload && header.payload <= packet.len() + 252);
            }
        }
    }
}

#[test]
fn kinds_have_names_and_bits() {
    for kind in TunnelKind::ALL {
        let set = TunnelKinds::default().with(kind);
        assert_eq!(TunnelKinds::from_bits(set.bits()), set);
        assert_eq!(set.iter().collect::<Vec<_>>(), [kind]);
        assert!(!kind.name().is_empty());
    }
    assert_eq!(TunnelKinds::ALL.iter().count(), TunnelKind::ALL.len());
    assert_eq!(TunnelKinds::from_bits(0xff), TunnelKinds::ALL);
}

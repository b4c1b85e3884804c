//! Steering keeps a flow together, spreads flows evenly, and filters as configured.
#![allow(missing_docs, clippy::unwrap_used, reason = "tests")]

mod packets;

use std::collections::HashSet;
use std::hash::Hasher;
use std::net::IpAddr;

use monitor_common::LinkType;
use monitor_common::abi::{self, ShuntKey};
use monitor_common::steer::{
    Ends, Everything, Filter, Skip, address_hash, classify, decide, flow_hash, worker,
};
use monitor_common::wire::{Address, Vlans};
use packets::{Network, Spec, spec};
use proptest::prelude::*;
use siphasher::sip::SipHasher13;

/// SipHash-1-3 as others wrote it, over the same words.
fn reference(seed: [u64; 2], words: &[u64]) -> u64 {
    let mut hasher = SipHasher13::new_with_keys(seed[0], seed[1]);
    for word in words {
        hasher.write(&word.to_le_bytes());
    }
    hasher.finish()
}

fn address() -> impl Strategy<Value = Address> {
    prop_oneof![
        any::<[u8; 4]>().prop_map(Address::v4),
        any::<[u8; 16]>().prop_map(Address::v6)
    ]
}

/// A filter as people think of it: lists.
struct Lists {
    ports: Vec<u16>,
    networks: Vec<Address>,
}

impl Filter for Lists {
    fn port(&self, port: u16) -> bool {
        self.ports.is_empty() || self.ports.contains(&port)
    }

    fn network(&self, address: &Address) -> bool {
        self.networks.is_empty() || self.networks.contains(address)
    }
}

proptest! {
    #[test]
    fn hashes_are_siphash_of_the_ordered_ends(
        seed in any::<[u64; 2]>(), a in address(), b in address(), ports in any::<(u16, u16)>(),
    ) {
        let mut ends = [(a, ports.0), (b, ports.1)];
        ends.sort();
        let [(low, low_port), (high, high_port)] = ends;
        let pair = u64::from(low_port) << 16 | u64::from(high_port);
        let (low, high) = (low.words(), high.words());
        let addresses = if a.is_v4() && b.is_v4() {
            vec![low.1 << 32 | high.1 & 0xffff_ffff]
        } else {
            vec![low.0, low.1, high.0, high.1]
        };
        let whole: Vec<u64> = addresses.iter().copied().chain([pair]).collect();
        prop_assert_eq!(flow_hash(seed, (a, ports.0), (b, ports.1)), reference(seed, &whole));

        let mut only = [a, b];
        only.sort();
        let (low, high) = (only[0].words(), only[1].words());
        let addresses = if a.is_v4() && b.is_v4() {
            vec![low.1 << 32 | high.1 & 0xffff_ffff]
        } else {
            vec![low.0, low.1, high.0, high.1]
        };
        prop_assert_eq!(address_hash(seed, a, b), reference(seed, &addresses));
    }

    #[test]
    fn both_directions_reach_the_same_worker(
        seed in any::<[u64; 2]>(), a in address(), b in address(), ports in any::<(u16, u16)>(), workers in 1_u32..=64,
    ) {
        let (there, back) = (flow_hash(seed, (a, ports.0), (b, ports.1)), flow_hash(seed, (b, ports.1), (a, ports.0)));
        prop_assert_eq!(there, back);
        prop_assert_eq!(address_hash(seed, a, b), address_hash(seed, b, a));
        prop_assert!(worker(there, workers) < workers);
    }

    #[test]
    fn the_verdict_is_that_of_the_generated_packet(spec in spec(), filter_ports in any::<bool>(), filter_networks in any::<bool>()) {
        let (src, dst) = match spec.network {
            Network::V4(src, dst, _) => (Address::v4(src), Address::v4(dst)),
            Network::V6(src, dst, _) => (Address::v6(src), Address::v6(dst)),
        };
        let filter = Lists {
            ports: if filter_ports { vec![80, 443] } else { vec![] },
            networks: if filter_networks { vec![dst] } else { vec![] },
        };
        let is_fragment = spec.fragment.is_some_and(|(_, offset, more)| more || offset != 0);
        let is_tcp = spec.protocol == 6;
        let expected = if !is_tcp {
            Err(Skip::NotTcp)
        } else if is_fragment {
            Ok(Ends::Fragment { src, dst })
        } else if filter.port(spec.ports.0) || filter.port(spec.ports.1) {
            Ok(Ends::Flow { src: (src, spec.ports.0), dst: (dst, spec.ports.1), link: 0, segment: 0 })
        } else {
            Err(Skip::Port)
        };
        let version_6 = matches!(spec.network, Network::V6(..));
        let ids: Vec<u16> = spec.tags.iter().map(|(_, control)| control & 0x0fff).collect();
        let (frame, _, payload) = spec.frame();
        let told = classify(frame.as_slice(), LinkType::Ethernet, &filter);
        if let Ok(Ends::Flow { link, segment, .. }) = told {
            prop_assert_eq!((abi::is_v6(link), abi::tags(link).collect::<Vec<_>>()), (version_6, ids));
            prop_assert_eq!(segment, payload);
        }
        prop_assert_eq!(told.map(place_less), expected);
        let (packet, payload) = spec.packet();
        let told = classify(packet.as_slice(), LinkType::Ip, &filter);
        if let Ok(Ends::Flow { link, segment, .. }) = told {
            prop_assert_eq!((abi::is_v6(link), abi::tags(link).count(), segment), (version_6, 0, payload));
        }
        prop_assert_eq!(told.map(place_less), expected);

        let decided = decide(frame.as_slice(), LinkType::Ethernet, &filter, [1, 2], 7);
        let decided = decided.map(|(ends, worker)| (place_less(ends), worker));
        prop_assert_eq!(decided, expected.map(|ends| (ends, worker(ends.hash([1, 2]), 7))));
    }

    #[test]
    fn a_shunted_flow_has_one_name_for_both_directions_and_no_other_flow_has_it(
        a in address(), b in address(), ports in any::<(u16, u16)>(), links in any::<(u32, u32)>(), c in address(),
    ) {
        let name = |from, to, link| ShuntKey::new(from, to, link);
        let there = name((a, ports.0), (b, ports.1), links.0);
        prop_assert_eq!(there, name((b, ports.1), (a, ports.0), links.0));
        prop_assert_eq!(there == name((a, ports.0), (b, ports.1), links.1), links.0 == links.1);
        prop_assert_eq!(there == name((a, ports.1), (b, ports.0), links.0), ports.0 == ports.1 || a == b);
        prop_assert_eq!(there == name((a, ports.0), (c, ports.1), links.0), b == c);
    }

    /// The tag that the kernel keeps beside the bytes is put around those in them.
    #[test]
    fn a_hidden_tag_counts_as_one_in_the_bytes(spec in spec(), hidden in any::<u16>()) {
        prop_assume!(spec.fragment.is_none() && spec.protocol == 6);
        let link = |spec: &Spec| match classify(spec.frame().0.as_slice(), LinkType::Ethernet, &Everything) {
            Ok(Ends::Flow { link, .. }) => link,
            other => panic!("{other:?}"),
        };
        let bare = link(&spec);
        let mut whole = spec.clone();
        whole.tags.insert(0, (0x8100, hidden));
        prop_assert_eq!(abi::tagged(bare, hidden & 0xfff), link(&whole));
        prop_assert_eq!(abi::untagged(bare), abi::link(&Vlans::default(), if abi::is_v6(bare) { 6 } else { 4 }));
    }

    #[test]
    fn anything_is_survived(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        for start in [LinkType::Ethernet, LinkType::Ip] {
            let _ = classify(bytes.as_slice(), start, &Everything);
        }
    }
}

/// Returns the ends alone, without the fields of lower layers.
fn place_less(ends: Ends) -> Ends {
    match ends {
        Ends::Flow { src, dst, .. } => Ends::Flow {
            src,
            dst,
            link: 0,
            segment: 0,
        },
        pair @ (Ends::Fragment { .. } | Ends::Tunnel { .. }) => pair,
    }
}

fn plain(network: Network) -> Spec {
    Spec {
        tags: vec![],
        network,
        fragment: None,
        protocol: 6,
        ports: (1234, 80),
        tcp_options: vec![],
        data: vec![],
        padding: 0,
    }
}

#[test]
fn neither_end_in_the_networks_is_skipped() {
    let spec = plain(Network::V4([10, 0, 0, 1], [10, 0, 0, 2], vec![]));
    let only = |last: u8| Lists {
        ports: vec![],
        networks: vec![Address::v4([10, 0, 0, last])],
    };
    let (frame, ..) = spec.frame();
    let verdict = |last| classify(frame.as_slice(), LinkType::Ethernet, &only(last)).map(|_| ());
    assert_eq!(
        (verdict(1), verdict(2), verdict(3)),
        (Ok(()), Ok(()), Err(Skip::Network))
    );
}

#[test]
fn packets_that_are_not_ip_or_too_deep_are_skipped_with_a_reason() {
    let spec = plain(Network::V4([10, 0, 0, 1], [10, 0, 0, 2], vec![]));
    let (mut frame, ..) = spec.frame();
    let skip = |frame: &[u8]| classify(frame, LinkType::Ethernet, &Everything).unwrap_err();
    assert_eq!(skip(&frame[..13]), Skip::Malformed);
    assert_eq!(skip(&frame[..36]), Skip::Malformed);
    // ARP; IPv4 said to be IPv6.
    frame[12..14].copy_from_slice(&[0x08, 0x06]);
    assert_eq!(skip(&frame), Skip::NotIp);
    frame[12..14].copy_from_slice(&[0x86, 0xdd]);
    frame.resize(80, 0);
    assert_eq!(skip(&frame), Skip::NotIp);
    let deep = plain(Network::V6([1; 16], [2; 16], vec![(60, 0); 9]));
    assert_eq!(skip(&deep.frame().0), Skip::TooDeep);
}

#[test]
fn a_fragment_of_an_extension_header_may_be_tcp() {
    let network = Network::V6([1; 16], [2; 16], vec![]);
    let spec = Spec {
        fragment: Some((1, 0, true)),
        protocol: 60,
        ..plain(network)
    };
    let verdict = classify(spec.frame().0.as_slice(), LinkType::Ethernet, &Everything);
    assert_eq!(
        verdict,
        Ok(Ends::Fragment {
            src: Address::v6([1; 16]),
            dst: Address::v6([2; 16])
        })
    );
}

/// A client, a server, many source ports: the hardest case for a weak hash, the commonest on a real server.
#[test]
fn flows_spread_evenly_over_the_workers() {
    let (client, server) = (Address::v4([10, 0, 0, 1]), Address::v4([10, 0, 0, 2]));
    for workers in [1_u32, 2, 3, 8, 64] {
        let mut counts = vec![0_u32; workers as usize];
        let flows = 60_000_u16;
        for port in 0..flows {
            counts[worker(flow_hash([3, 4], (client, port), (server, 443)), workers) as usize] += 1;
        }
        let mean = f64::from(flows) / f64::from(workers);
        // Six standard deviations of a binomial distribution.
        let slack = 6.0 * mean.sqrt();
        for count in counts {
            assert!(
                (f64::from(count) - mean).abs() <= slack,
                "{count} flows, {mean} expected, of {workers} workers"
            );
        }
    }
}

#[test]
fn the_seed_and_every_part_of_the_key_change_the_hash() {
    let parse = |text: &str| Address::from(text.parse::<IpAddr>().unwrap());
    let hashes: HashSet<u64> = [
        flow_hash([1, 2], (parse("10.0.0.1"), 1), (parse("10.0.0.2"), 2)),
        flow_hash([1, 3], (parse("10.0.0.1"), 1), (parse("10.0.0.2"), 2)),
        flow_hash([0, 2], (parse("10.0.0.1"), 1), (parse("10.0.0.2"), 2)),
        flow_hash([1, 2], (parse("10.0.0.1"), 2), (parse("10.0.0.2"), 1)),
        flow_hash([1, 2], (parse("10.0.0.1"), 1), (parse("10.0.0.2"), 3)),
        flow_hash([1, 2], (parse("10.0.0.1"), 1), (parse("10.0.0.3"), 2)),
        flow_hash([1, 2], (parse("fd00::1"), 1), (parse("fd00::2"), 2)),
        flow_hash([1, 2], (parse("fd01::1"), 1), (parse("fd00::2"), 2)),
        address_hash([1, 2], parse("10.0.0.1"), parse("10.0.0.2")),
        address_hash([1, 2], parse("fd00::1"), parse("fd00::2")),
    ]
    .into();
    assert_eq!(hashes.len(), 10);
    assert_eq!(worker(u64::MAX, 0), 0);
}

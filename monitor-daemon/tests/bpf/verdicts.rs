//! Verdicts of the BPF programs, compared with those of the same functions in user space.

use std::collections::BTreeMap;
use std::os::fd::AsFd;

use monitor_common::abi::{Count, SteerCount, TapCount};
use monitor_common::steer::{Ends, Skip, classify, decide};
use monitor_common::{LinkType, Prefix, TunnelKinds};
use monitor_daemon::capture::bpf::{
    CaptureFilter, Hook, Steer, SteerSettings, Tap, TapSettings, XdpMode,
};
use proptest::strategy::{Strategy, ValueTree};
use proptest::test_runner::TestRunner;

use crate::netns::{eventually, index, monitor, nonzero, send, value, veth, within, xdp_socket};
use crate::packets::{Network, Spec, spec};

const SEED: [u64; 2] = [0x0123_4567_89ab_cdef, 0xfedc_ba98_7654_3210];
const WORKERS: u32 = 3;
const XDP_DROP: u32 = 1;
const XDP_PASS: u32 = 2;
const XDP_REDIRECT: u32 = 4;
const TC_ACT_UNSPEC: i32 = -1;
/// Shortest packet that BPF_PROG_TEST_RUN and packet sockets accept.
const SHORTEST: usize = 14;

/// Returns well-formed, damaged and truncated packets.
fn corpus(start: LinkType, count: usize) -> Vec<Vec<u8>> {
    let mut runner = TestRunner::deterministic();
    let mut packets = Vec::new();
    for round in 0..count {
        let mut spec = spec().new_tree(&mut runner).unwrap().current();
        if round % 16 == 15 {
            too_deep(&mut spec, start);
        }
        let mut packet = match start {
            LinkType::Ethernet => spec.frame().0,
            _ => spec.packet().0,
        };
        match round % 4 {
            0 => {
                // Random bytes near the headers.
                for _ in 0..3 {
                    let (at, value) = (0_usize..100, 0_u8..)
                        .new_tree(&mut runner)
                        .unwrap()
                        .current();
                    let at = at % packet.len();
                    packet[at] = value;
                }
            }
            1 => packet.truncate(
                (0..packet.len())
                    .new_tree(&mut runner)
                    .unwrap()
                    .current()
                    .max(SHORTEST),
            ),
            _ => {}
        }
        packets.push(packet);
    }
    packets
}

/// Returns the counter of `steer` that corresponds to the counter `name` of `tap`.
fn steer_name(name: &str) -> String {
    name.replace("tap_cloned", "xdp_redirected")
        .replace("tap_", "xdp_")
}

/// Adds more tags than are read or, without an Ethernet header, more extension headers.
fn too_deep(spec: &mut Spec, start: LinkType) {
    match start {
        LinkType::Ethernet => spec.tags = vec![(0x88a8, 1), (0x8100, 2), (0x8100, 3), (0x8100, 4)],
        _ => spec.network = Network::V6([1; 16], [2; 16], vec![(60, 0); 9]),
    }
}

/// Ports and networks of a filter.
type Lists = (&'static [u16], Vec<Prefix>);

fn filter() -> [Lists; 4] {
    let networks = ["10.1.0.0/17", "2001:db8::/123"]
        .map(|network| network.parse().unwrap())
        .to_vec();
    [
        (&[], vec![]),
        (&[80, 443, 8080], vec![]),
        (&[], networks.clone()),
        (&[22, 65535], networks),
    ]
}

fn steer_count(skip: Skip) -> SteerCount {
    match skip {
        Skip::NotIp => SteerCount::NotIp,
        Skip::NotTcp => SteerCount::NotTcp,
        Skip::Network => SteerCount::FilteredNetwork,
        Skip::Port => SteerCount::FilteredPort,
        Skip::Malformed => SteerCount::Malformed,
        Skip::TooDeep => SteerCount::TooDeep,
    }
}

fn tap_count(verdict: Result<Ends, Skip>) -> TapCount {
    match verdict {
        Ok(Ends::Flow { .. } | Ends::Tunnel { .. }) => TapCount::Cloned,
        Ok(Ends::Fragment { .. }) => TapCount::Fragments,
        Err(Skip::NotIp) => TapCount::NotIp,
        Err(Skip::NotTcp) => TapCount::NotTcp,
        Err(Skip::Network) => TapCount::FilteredNetwork,
        Err(Skip::Port) => TapCount::FilteredPort,
        Err(Skip::Malformed) => TapCount::Malformed,
        Err(Skip::TooDeep) => TapCount::TooDeep,
    }
}

#[test]
fn steer_decides_like_user_space() {
    within("steer_decides_like_user_space", || {
        let mut seen = BTreeMap::new();
        for start in [LinkType::Ethernet, LinkType::Ip] {
            for (number, (ports, networks)) in (0..).zip(&filter()) {
                // Every worker without a filter; one of them with each filter.
                let turns = if number == 0 {
                    0..WORKERS
                } else {
                    number - 1..number
                };
                for only in turns {
                    let filter = CaptureFilter {
                        ports,
                        networks,
                        tunnels: TunnelKinds::ALL,
                    };
                    for (name, count) in check_steer(start, filter, only) {
                        *seen.entry(name).or_insert(0) += count;
                    }
                }
            }
        }
        // Shunted flows have their own tests.
        assert_eq!(
            seen.len(),
            SteerCount::ALL.len() - 1,
            "the packets are not of all kinds: {seen:?}"
        );
    });
}

/// Checks the verdicts. Only one worker has a socket, so that a redirected packet belongs to it.
fn check_steer(start: LinkType, filter: CaptureFilter<'_>, only: u32) -> Vec<(&'static str, u64)> {
    let drop_rest = only == 1;
    let settings = SteerSettings {
        seed: SEED,
        workers: WORKERS,
        queues: 1,
        start,
        drop_rest,
        filter,
    };
    let mut steer = Steer::load(&settings).unwrap();
    let socket = xdp_socket();
    steer.set_socket(0, only, socket.as_fd()).unwrap();
    let rest = if drop_rest { XDP_DROP } else { XDP_PASS };
    let mut expected = BTreeMap::new();
    for packet in corpus(start, 300) {
        let verdict = decide(packet.as_slice(), start, &filter, SEED, WORKERS);
        let (action, count) = match verdict {
            Ok((Ends::Flow { .. } | Ends::Tunnel { .. }, worker)) if worker == only => {
                (XDP_REDIRECT, SteerCount::Redirected)
            }
            Ok((Ends::Fragment { .. }, worker)) if worker == only => {
                (XDP_REDIRECT, SteerCount::Fragments)
            }
            Ok(_) => (rest, SteerCount::NoSocket),
            Err(skip) => (rest, steer_count(skip)),
        };
        *expected.entry(count.name()).or_insert(0) += 1;
        assert_eq!(
            steer.dry_run(&packet, 1).unwrap().0,
            action,
            "{start:?} {filter:?} {verdict:?} {packet:02x?}"
        );
    }
    let counted = nonzero(&steer.counters().unwrap());
    assert_eq!(
        counted.iter().copied().collect::<BTreeMap<_, _>>(),
        expected,
        "{start:?} {filter:?}"
    );
    counted
}

#[test]
fn tap_decides_like_user_space_and_clones_accordingly() {
    within("tap_decides_like_user_space_and_clones_accordingly", || {
        for (start, mode) in [(LinkType::Ethernet, "tap"), (LinkType::Ip, "tun")] {
            for (number, (ports, networks)) in filter().iter().enumerate() {
                let device = format!("{mode}{number}");
                let index = monitor(&device, mode, 9000);
                check_tap(
                    start,
                    CaptureFilter {
                        ports,
                        networks,
                        tunnels: TunnelKinds::ALL,
                    },
                    &device,
                    index,
                );
            }
        }
    });
}

fn check_tap(start: LinkType, filter: CaptureFilter<'_>, device: &str, index: u32) {
    let everything = CaptureFilter {
        tunnels: TunnelKinds::ALL,
        ..CaptureFilter::default()
    };
    let settings = SteerSettings {
        seed: SEED,
        workers: 1,
        queues: 1,
        start,
        drop_rest: true,
        filter: everything,
    };
    let mut steer = Steer::load(&settings).unwrap();
    let socket = xdp_socket();
    steer.set_socket(0, 0, socket.as_fd()).unwrap();
    steer.attach(device, XdpMode::Generic).unwrap();
    // BPF_PROG_TEST_RUN passes Ethernet frames to a TC program: the clone into a TUN device loses that header.
    let tap = Tap::load(&TapSettings {
        monitor: index,
        start: LinkType::Ethernet,
        relay: None,
        filter,
    })
    .unwrap();
    // BPF_PROG_TEST_RUN refuses packets truncated within the IP header for a TC program.
    let frames: Vec<_> = corpus(LinkType::Ethernet, 300)
        .into_iter()
        .filter(|frame| frame.len() >= 14 + 40)
        .collect();
    let mut expected = BTreeMap::new();
    for frame in &frames {
        let count = tap_count(classify(frame.as_slice(), LinkType::Ethernet, &filter));
        *expected.entry(count.name()).or_insert(0) += 1;
        assert_eq!(tap.dry_run(frame, 1).unwrap().0, TC_ACT_UNSPEC);
    }
    let tapped = tap.counters().unwrap();
    assert_eq!(
        nonzero(&tapped).into_iter().collect::<BTreeMap<_, _>>(),
        expected,
        "{filter:?}"
    );
    let clones = value(&tapped, "tap_cloned") + value(&tapped, "tap_fragments");
    assert!(clones > 0, "nothing was cloned");
    eventually("every clone judged by steer", || {
        let steered = steer.counters().unwrap();
        steered.iter().map(|counter| counter.2).sum::<u64>() == clones
    });
    // A TUN device removes the Ethernet header, but no tags in the bytes: it is for interfaces without tags.
    let steerable = frames.iter().filter(|frame| {
        let cloned = classify(frame.as_slice(), LinkType::Ethernet, &filter).is_ok();
        cloned
            && (start == LinkType::Ethernet
                || classify(&frame[14..], LinkType::Ip, &everything).is_ok())
    });
    let steered = steer.counters().unwrap();
    assert_eq!(
        value(&steered, "xdp_redirected") + value(&steered, "xdp_fragments"),
        steerable.count() as u64
    );
}

/// The verifier stops after a million processed instructions; the number for a program differs between kernels.
#[test]
fn the_programs_are_far_below_the_verifiers_limit() {
    within("the_programs_are_far_below_the_verifiers_limit", || {
        let [nothing, .., both] = &filter();
        for (ports, networks) in [nothing, both] {
            for start in [LinkType::Ethernet, LinkType::Ip] {
                let filter = CaptureFilter {
                    ports,
                    networks,
                    tunnels: TunnelKinds::ALL,
                };
                let settings = SteerSettings {
                    seed: SEED,
                    workers: 64,
                    queues: 8,
                    start,
                    drop_rest: true,
                    filter,
                };
                let steer = Steer::load(&settings).unwrap();
                let tap = Tap::load(&TapSettings {
                    monitor: 1,
                    start,
                    relay: Some(2),
                    filter,
                })
                .unwrap();
                for (name, walked) in steer
                    .walked()
                    .unwrap()
                    .into_iter()
                    .chain(tap.walked().unwrap())
                {
                    assert!(
                        (1..200_000).contains(&walked),
                        "{name}: {walked} instructions walked, {filter:?}"
                    );
                }
            }
        }
    });
}

/// Sends packets over a veth pair: `steer` in the driver of the receiving end, `tap` on the sending one. The largest
/// reach `tap` with only their Ethernet header in the linear part.
#[test]
fn both_programs_return_the_same_verdict_for_packets_on_a_wire() {
    within(
        "both_programs_return_the_same_verdict_for_packets_on_a_wire",
        || {
            veth("one", "other");
            let device = monitor("monitor", "tap", 9000);
            let (ports, networks) = &filter()[1];
            let filter = CaptureFilter {
                ports,
                networks,
                tunnels: TunnelKinds::ALL,
            };
            let start = LinkType::Ethernet;
            let mut steer = Steer::load(&SteerSettings {
                seed: SEED,
                workers: 1,
                queues: 1,
                start,
                drop_rest: true,
                filter,
            })
            .unwrap();
            let socket = xdp_socket();
            steer.set_socket(0, 0, socket.as_fd()).unwrap();
            steer.attach("other", XdpMode::Native).unwrap();
            let mut tap = Tap::load(&TapSettings {
                monitor: device,
                start,
                relay: None,
                filter,
            })
            .unwrap();
            tap.attach("one", Hook::Egress).unwrap();
            assert_ne!(index("one"), index("other"));

            let mut frames = corpus(start, 400);
            for frame in frames.iter_mut().skip(200) {
                frame.resize(5000, 0x55);
            }
            let mut expected = BTreeMap::new();
            for frame in &frames {
                let count = tap_count(classify(frame.as_slice(), start, &filter));
                *expected.entry(count.name()).or_insert(0) += 1;
            }
            send("one", &frames);

            let tapped: BTreeMap<_, _> = nonzero(&tap.counters().unwrap()).into_iter().collect();
            assert_eq!(tapped, expected);
            let steered: BTreeMap<_, _> = expected
                .iter()
                .map(|(name, count)| (steer_name(name), *count))
                .collect();
            eventually("all packets judged by steer", || {
                let counters = nonzero(&steer.counters().unwrap());
                counters
                    .into_iter()
                    .map(|(name, count)| (name.to_owned(), count))
                    .collect::<BTreeMap<_, _>>()
                    == steered
            });
        },
    );
}

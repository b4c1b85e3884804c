//! Shunted flows: both programs skip them, until another connection begins or they were quiet for a time.

use std::os::fd::AsFd;
use std::thread;
use std::time::Duration;

use monitor_common::LinkType;
use monitor_common::abi::{MAX_SHUNTS, ShuntKey};
use monitor_common::steer::{Ends, Everything, classify};
use monitor_common::wire::flags::*;
use monitor_common::wire::{self, Address};
use monitor_daemon::capture::bpf::{
    BpfError, CaptureFilter, Hook, Steer, SteerSettings, Tap, TapSettings, XdpMode,
};

use crate::netns::{eventually, monitor, nonzero, send, value, veth, within, xdp_socket};
use crate::packets::{Network, Spec};

const XDP_DROP: u32 = 1;
const XDP_PASS: u32 = 2;
const XDP_REDIRECT: u32 = 4;
const LONG: Duration = Duration::from_secs(600);
/// Resolution of the programs' clock: ticks of up to 10 ms.
const SHORT: Duration = Duration::from_millis(20);

/// Timeout of shunted flows: half of it is more than a loaded machine needs between two calls.
const LATER: Duration = Duration::from_millis(1500);

const V4: Network = Network::V4([10, 0, 0, 1], [10, 0, 0, 2], vec![]);

/// Returns a segment with these control bits.
fn segment(network: &Network, ports: (u16, u16), tags: &[(u16, u16)], control: u8) -> Vec<u8> {
    let spec = Spec {
        tags: tags.to_vec(),
        network: network.clone(),
        fragment: None,
        protocol: 6,
        ports,
        tcp_options: vec![],
        data: vec![0x77; 40],
        padding: 0,
    };
    let (mut frame, _, tcp) = spec.frame();
    frame[tcp + 13] = control;
    frame
}

fn flow(frame: &[u8]) -> ShuntKey {
    match classify(frame, LinkType::Ethernet, &Everything).unwrap() {
        Ends::Flow { src, dst, link, .. } => ShuntKey::new(src, dst, link),
        Ends::Fragment { .. } | Ends::Tunnel { .. } => unreachable!("a whole segment"),
    }
}

fn steer(drop_rest: bool) -> (Steer, impl Sized) {
    let settings = SteerSettings {
        seed: [1, 2],
        workers: 1,
        queues: 1,
        start: LinkType::Ethernet,
        drop_rest,
        filter: CaptureFilter::default(),
    };
    let mut steer = Steer::load(&settings).unwrap();
    let socket = xdp_socket();
    steer.set_socket(0, 0, socket.as_fd()).unwrap();
    (steer, socket)
}

#[test]
fn steer_skips_a_shunted_flow_in_both_directions() {
    within("steer_skips_a_shunted_flow_in_both_directions", || {
        let v6 = Network::V6([1; 16], [2; 16], vec![(60, 1)]);
        for (drop_rest, rest) in [(false, XDP_PASS), (true, XDP_DROP)] {
            for (there, back) in [
                (V4, Network::V4([10, 0, 0, 2], [10, 0, 0, 1], vec![])),
                (v6.clone(), Network::V6([2; 16], [1; 16], vec![])),
            ] {
                for tags in [&[][..], &[(0x8100, 7)], &[(0x88a8, 100), (0x8100, 7)]] {
                    let (mut steer, _socket) = steer(drop_rest);
                    let data = segment(&there, (1234, 80), tags, PSH | ACK);
                    let answer = segment(&back, (80, 1234), tags, SYN | ACK);
                    let others = [
                        segment(&there, (1235, 80), tags, ACK),
                        segment(&there, (80, 1234), tags, ACK),
                        segment(&there, (1234, 80), &[(0x8100, 8)], ACK),
                    ];
                    assert_eq!(steer.dry_run(&data, 1).unwrap().0, XDP_REDIRECT);
                    steer.shunts().add(&flow(&data), LONG).unwrap();
                    for shunted in [&data, &answer] {
                        assert_eq!(
                            steer.dry_run(shunted, 1).unwrap().0,
                            rest,
                            "{there:?} {tags:?}"
                        );
                    }
                    for other in &others {
                        assert_eq!(
                            steer.dry_run(other, 1).unwrap().0,
                            XDP_REDIRECT,
                            "{there:?} {tags:?}"
                        );
                    }
                    let expected = [("xdp_redirected", 4), ("xdp_shunted", 2)];
                    assert_eq!(nonzero(&steer.counters().unwrap()), expected);
                }
            }
        }
    });
}

#[test]
fn a_new_connection_between_the_same_ends_is_captured() {
    within("a_new_connection_between_the_same_ends_is_captured", || {
        let (mut steer, _socket) = steer(false);
        let frame = |control| segment(&V4, (1234, 80), &[], control);
        steer.shunts().add(&flow(&frame(ACK)), LONG).unwrap();
        for (control, action) in [
            (ACK, XDP_PASS),
            (SYN | ACK, XDP_PASS),
            (FIN | ACK, XDP_PASS),
            (SYN | ECE | CWR, XDP_REDIRECT),
            (ACK, XDP_REDIRECT),
        ] {
            assert_eq!(
                steer.dry_run(&frame(control), 1).unwrap().0,
                action,
                "{control:#x}"
            );
        }
        assert_eq!(steer.shunts().sweep(LONG).unwrap(), 0);
    });
}

#[test]
fn a_shunted_flow_expires_after_the_timeout() {
    within("a_shunted_flow_expires_after_the_timeout", || {
        let (mut steer, _socket) = steer(false);
        let one = segment(&V4, (1234, 80), &[], ACK);
        let other = segment(&V4, (1235, 80), &[], ACK);
        steer.shunts().add(&flow(&one), SHORT).unwrap();
        thread::sleep(3 * SHORT);
        assert_eq!(steer.dry_run(&one, 1).unwrap().0, XDP_REDIRECT);
        // The same for a flow without packets.
        steer.shunts().add(&flow(&one), LONG).unwrap();
        thread::sleep(LATER);
        steer.shunts().add(&flow(&other), LONG).unwrap();
        assert_eq!(steer.shunts().sweep(LONG).unwrap(), 2);
        assert_eq!(steer.shunts().sweep(LATER / 2).unwrap(), 1);
        assert_eq!(steer.shunts().sweep(LONG).unwrap(), 1);
        assert_eq!(steer.dry_run(&one, 1).unwrap().0, XDP_REDIRECT);
        assert_eq!(steer.dry_run(&other, 1).unwrap().0, XDP_PASS);
        steer.shunts().remove(&flow(&other)).unwrap();
        steer.shunts().remove(&flow(&other)).unwrap();
        assert_eq!(steer.dry_run(&other, 1).unwrap().0, XDP_REDIRECT);
        assert_eq!(steer.shunts().sweep(LONG).unwrap(), 0);
        // The program stops searching the empty table, and searches again after an insertion.
        steer.shunts().add(&flow(&one), LONG).unwrap();
        assert_eq!(steer.dry_run(&one, 1).unwrap().0, XDP_PASS);
    });
}

#[test]
fn a_full_table_refuses_flows() {
    within("a_full_table_refuses_flows", || {
        let (mut steer, _socket) = steer(false);
        let server = (Address::v4([10, 0, 0, 2]), 80);
        let name = |n: u32| {
            let [_, a, b, c] = n.to_be_bytes();
            ShuntKey::new((Address::v4([10, a, b, c]), 1234), server, 0)
        };
        for n in 0..MAX_SHUNTS {
            steer.shunts().add(&name(n), LONG).unwrap();
        }
        assert!(matches!(
            steer.shunts().add(&name(MAX_SHUNTS), LONG),
            Err(BpfError::TooManyShunts)
        ));
        assert!(
            !steer.shunts().add(&name(7), LONG).unwrap(),
            "it is there already"
        );
        steer.shunts().remove(&name(7)).unwrap();
        steer.shunts().add(&name(MAX_SHUNTS), LONG).unwrap();
        assert_eq!(steer.shunts().sweep(LONG).unwrap(), MAX_SHUNTS as usize);
    });
}

/// A tag beside the packet belongs to the key of the flow only where the daemon sees it in the clone.
#[test]
fn tap_does_not_clone_a_shunted_flow() {
    within("tap_does_not_clone_a_shunted_flow", || {
        veth("one", "other");
        let device = monitor("monitor", "tap", 65521);
        let relay = monitor("relay", "tap", 65521);
        for (tags, with_relay) in [
            (&[][..], false),
            (&[], true),
            (&[(0x8100, 7)], false),
            (&[(0x8100, 7)], true),
            (&[(0x88a8, 100), (0x8100, 7)], true),
        ] {
            let settings = TapSettings {
                monitor: device,
                start: LinkType::Ethernet,
                relay: with_relay.then_some(relay),
                filter: CaptureFilter::default(),
            };
            let mut tap = Tap::load(&settings).unwrap();
            if with_relay {
                tap.attach_relay("relay").unwrap();
            }
            tap.attach("other", Hook::Ingress).unwrap();
            let frame = |control| segment(&V4, (1234, 80), tags, control);
            let seen_by_the_daemon = if with_relay {
                frame(ACK)
            } else {
                segment(&V4, (1234, 80), &[], ACK)
            };
            tap.shunts().add(&flow(&seen_by_the_daemon), LONG).unwrap();
            send(
                "one",
                &[
                    frame(ACK),
                    frame(SYN | ACK),
                    frame(ACK),
                    frame(SYN),
                    frame(ACK),
                ],
            );
            eventually("every packet judged", || {
                let counters = tap.counters().unwrap();
                let both = (
                    value(&counters, "tap_shunted"),
                    value(&counters, "tap_cloned"),
                );
                both.0 + both.1 == 5 && both == (3, 2)
            });
        }
    });
}

/// Prints the cost of a shunted packet, beside that of a redirected and of a filtered one.
#[test]
fn a_shunted_packet_is_passed_in_the_driver() {
    within("a_shunted_packet_is_passed_in_the_driver", || {
        veth("one", "other");
        let (mut steer, _socket) = steer(false);
        steer.attach("other", XdpMode::Native).unwrap();
        let frame = segment(&V4, (1234, 80), &[], ACK);
        let time = |steer: &Steer| steer.dry_run(&frame, 100_000).unwrap().1;
        let wanted = time(&steer);
        steer.shunts().add(&flow(&frame), LONG).unwrap();
        println!(
            "a wanted packet takes {wanted:?}, a shunted one {:?}",
            time(&steer)
        );
        let before = value(&steer.counters().unwrap(), "xdp_shunted");
        send("one", &vec![frame.clone(); 10]);
        eventually("shunted packets", || {
            value(&steer.counters().unwrap(), "xdp_shunted") == before + 10
        });
        assert_eq!(wire::control(frame.as_slice(), 34), Ok(ACK));
    });
}

//! Packet sockets: transfers over `lo`, VLAN tags, distribution to workers, interfaces, shunted flows, privileges.

use std::time::Duration;

use monitor_common::LinkType;
use monitor_common::abi::ShuntKey;
use monitor_common::steer::{Ends, Everything, classify, decide};
use monitor_daemon::capture::Settings;
use monitor_daemon::capture::netlink::{self, Interface};
use monitor_daemon::capture::packet::{Direction, PacketGroup, PacketSocket};
use monitor_daemon::capture::source::Source;
use monitor_daemon::config::Config;
use rustix::thread::{CapabilitySet, capabilities, set_capabilities};

use crate::devices::{Sent, pattern, transfer, without_offloads};
use crate::netns::{eventually, nonzero, run, send, value, veth, within};
use crate::packets::{Network, Spec};
use crate::vlan::segment;

const SEED: [u64; 2] = [1, 2];
const MEMORY: u64 = 64 << 20;

fn settings(workers: u16) -> Settings {
    Settings::new(&Config::default(), SEED, workers)
}

fn interface(name: &str) -> Interface {
    netlink::interface(name).unwrap().unwrap()
}

fn open(
    name: &str,
    direction: Direction,
    settings: &Settings,
) -> (PacketGroup, Vec<Vec<PacketSocket>>) {
    PacketGroup::open(&interface(name), direction, MEMORY, settings).unwrap()
}

/// Reads all sockets until `count` packets arrived; returns the frames by worker.
fn read(sockets: &mut [Vec<PacketSocket>], count: usize) -> Vec<Vec<Vec<u8>>> {
    let mut frames = vec![Vec::new(); sockets.len()];
    eventually("every packet delivered", || {
        for (frames, sockets) in frames.iter_mut().zip(sockets.iter_mut()) {
            for socket in sockets {
                socket.receive(0, &mut |packets| {
                    frames.extend(packets.iter().map(|packet| packet.data.to_vec()));
                });
            }
        }
        frames.iter().map(Vec::len).sum::<usize>() >= count
    });
    frames
}

fn transfer_over_lo(workers: u16) {
    let settings = settings(workers);
    let (group, mut sockets) = open("lo", Direction::Both, &settings);
    transfer();
    let counters = group.filter().unwrap().counters().unwrap();
    let accepted = value(&counters, "packet_accepted");
    assert_eq!(nonzero(&counters), [("packet_accepted", accepted)]);

    let mut sent = Sent::default();
    let mut read = 0;
    eventually("every packet delivered", || {
        for socket in sockets.iter_mut().flatten() {
            read += socket.receive(0, &mut |packets| {
                packets.iter().for_each(|packet| sent.take(packet));
            });
        }
        read as u64 == accepted
    });
    assert!(
        sent.bytes.iter().copied().eq(pattern()),
        "the bytes of the server"
    );
    assert_eq!(sent.longest, 65535, "segmentation offload stays whole");
}

#[test]
fn packets_of_lo_are_captured_once() {
    within("packets_of_lo_are_captured_once", || transfer_over_lo(1));
}

#[test]
fn packets_of_lo_are_captured_once_by_two_workers() {
    within("packets_of_lo_are_captured_once_by_two_workers", || {
        without_offloads();
        transfer_over_lo(2);
    });
}

#[test]
fn vlan_tags_are_restored_in_both_directions() {
    within("vlan_tags_are_restored_in_both_directions", || {
        veth("one", "other");
        let settings = settings(1);
        let (_sender, mut sent) = open("one", Direction::Both, &settings);
        let (_receiver, mut received) = open("other", Direction::Received, &settings);
        let frames = [
            segment(&[], 100),
            segment(&[(0x8100, 0x6064)], 100),
            segment(&[(0x88a8, 100), (0x8100, 200)], 6000),
        ];
        send("one", &frames);
        assert_eq!(read(&mut sent, frames.len()), [frames.to_vec()]);
        assert_eq!(read(&mut received, frames.len()), [frames.to_vec()]);
        // A mirror port does not report packets that this host sends.
        send("other", &[segment(&[], 10)]);
        assert_eq!(read(&mut sent, 1), [[segment(&[], 10)]]);
        assert!(read(&mut received, 0)[0].is_empty());
    });
}

fn flows(count: u8) -> Vec<Vec<u8>> {
    let frame = |number| {
        let spec = Spec {
            tags: vec![],
            network: Network::V4([10, 0, 0, number], [10, 0, 1, 1], vec![]),
            fragment: None,
            protocol: 6,
            ports: (1000 + u16::from(number), 80),
            tcp_options: vec![],
            data: vec![number; 20],
            padding: 0,
        };
        spec.frame().0
    };
    (0..count).map(frame).collect()
}

#[test]
fn each_flow_reaches_the_worker_of_its_hash() {
    within("each_flow_reaches_the_worker_of_its_hash", || {
        veth("one", "other");
        let settings = settings(3);
        let (_group, mut sockets) = open("other", Direction::Both, &settings);
        let frames = flows(100);
        send("one", &frames);
        let delivered = read(&mut sockets, frames.len());
        for (worker, delivered) in (0..).zip(delivered) {
            let expected: Vec<_> = frames
                .iter()
                .filter(|frame| {
                    let start = LinkType::Ethernet;
                    decide(frame.as_slice(), start, &Everything, SEED, 3)
                        .unwrap()
                        .1
                        == worker
                })
                .cloned()
                .collect();
            assert!(!expected.is_empty());
            assert!(
                delivered == expected,
                "worker {worker}: {} frames",
                delivered.len()
            );
        }
        // The order of the sockets in the group survives that the interface goes down.
        run("ip link set other down");
        run("ip link set other up");
        for socket in sockets.iter_mut().flatten() {
            socket.clear_error();
        }
        eventually("the carrier is back", || interface("other").up);
        send("one", &frames);
        let again = read(&mut sockets, frames.len());
        for (worker, delivered) in (0..).zip(again) {
            for frame in delivered {
                let start = LinkType::Ethernet;
                let (_, expected) = decide(frame.as_slice(), start, &Everything, SEED, 3).unwrap();
                assert_eq!(expected, worker);
            }
        }
    });
}

#[test]
fn sockets_on_all_interfaces_capture_those_that_were_added() {
    within(
        "sockets_on_all_interfaces_capture_those_that_were_added",
        || {
            veth("one", "other");
            veth("two", "more");
            let settings = settings(2);
            let (mut group, mut sockets) = PacketGroup::open_all(MEMORY, &settings).unwrap();
            group.add(&interface("other")).unwrap();
            let frames = flows(10);
            send("two", &flows(20));
            send("one", &frames);
            let delivered = read(&mut sockets, frames.len());
            assert_eq!(delivered.iter().map(Vec::len).sum::<usize>(), frames.len());

            group.remove(interface("other").index).unwrap();
            group.add(&interface("lo")).unwrap();
            send("one", &frames);
            transfer();
            let counters = group.filter().unwrap().counters().unwrap();
            let accepted = value(&counters, "packet_accepted") as usize - frames.len();
            let mut sent = Sent::default();
            let mut read = 0;
            eventually("every packet of lo delivered", || {
                for socket in sockets.iter_mut().flatten() {
                    read += socket.receive(0, &mut |packets| {
                        packets.iter().for_each(|packet| sent.take(packet));
                    });
                }
                read == accepted
            });
            assert!(sent.bytes.iter().copied().eq(pattern()));
        },
    );
}

#[test]
fn unwanted_and_shunted_flows_never_reach_the_ring() {
    within("unwanted_and_shunted_flows_never_reach_the_ring", || {
        veth("one", "other");
        let mut config = Config::default();
        config.filter.ports = vec![80];
        let settings = Settings::new(&config, SEED, 1);
        let (mut group, mut sockets) = open("other", Direction::Both, &settings);
        let wanted = segment(&[(0x8100, 5)], 100);
        let mut unwanted = wanted.clone();
        // The port behind addresses, tag, type and IP header.
        unwanted[12 + 4 + 2 + 20 + 3] = 81;
        send("one", &[unwanted.clone(), wanted.clone()]);
        assert_eq!(read(&mut sockets, 1), [[wanted.clone()]]);

        let Ok(Ends::Flow { src, dst, link, .. }) =
            classify(wanted.as_slice(), LinkType::Ethernet, &Everything)
        else {
            panic!("a segment");
        };
        let filter = group.filter_mut().unwrap();
        let key = ShuntKey::new(src, dst, link);
        filter.shunts().add(&key, Duration::from_secs(60)).unwrap();
        send("one", &[wanted.clone(), unwanted]);
        eventually("both packets judged", || {
            nonzero(&group.filter().unwrap().counters().unwrap())
                == [
                    ("packet_accepted", 1),
                    ("packet_shunted", 1),
                    ("packet_filtered_port", 2),
                ]
        });
        assert!(read(&mut sockets, 0)[0].is_empty());
    });
}

#[test]
fn cap_net_raw_and_cap_bpf_suffice() {
    within("cap_net_raw_and_cap_bpf_suffice", || {
        restrict(CapabilitySet::NET_RAW | CapabilitySet::BPF);
        transfer_over_lo(2);
    });
}

#[test]
fn with_cap_net_raw_alone_one_worker_reads_everything() {
    within("with_cap_net_raw_alone_one_worker_reads_everything", || {
        restrict(CapabilitySet::NET_RAW);
        let settings = settings(2);
        let (group, mut sockets) = open("lo", Direction::Both, &settings);
        assert!(group.filter().is_none());
        assert_eq!(sockets.iter().map(Vec::len).collect::<Vec<_>>(), [1, 0]);
        transfer();
        let mut sent = Sent::default();
        eventually("every byte delivered", || {
            for socket in sockets.iter_mut().flatten() {
                socket.receive(0, &mut |packets| {
                    packets.iter().for_each(|packet| sent.take(packet));
                });
            }
            sent.bytes.iter().copied().eq(pattern())
        });
    });
}

/// Reduces the effective capabilities of this thread.
fn restrict(keep: CapabilitySet) {
    let mut sets = capabilities(None).unwrap();
    sets.effective &= keep;
    set_capabilities(None, sets).unwrap();
}

//! VLAN tags that the kernel keeps beside the packet.

use monitor_common::LinkType;
use monitor_common::wire;
use monitor_daemon::capture::bpf::{CaptureFilter, Hook, Tap, TapSettings};

use crate::netns::{index, monitor, nonzero, receive, receive_as_stack, run, send, veth, within};
use crate::packets::{Network, Spec};

/// Returns a segment with `len` bytes of data and VLAN tags.
pub fn segment(tags: &[(u16, u16)], len: usize) -> Vec<u8> {
    let spec = Spec {
        tags: tags.to_vec(),
        network: Network::V4([10, 0, 0, 1], [10, 0, 0, 2], vec![]),
        fragment: None,
        protocol: 6,
        ports: (1234, 80),
        tcp_options: vec![],
        data: vec![0x77; len],
        padding: 0,
    };
    spec.frame().0
}

fn tap(relay: Option<u32>) -> Tap {
    let settings = TapSettings {
        monitor: index("monitor"),
        start: LinkType::Ethernet,
        relay,
        filter: CaptureFilter {
            ports: &[80],
            ..CaptureFilter::default()
        },
    };
    Tap::load(&settings).unwrap()
}

/// The kernel removes the outer tag of a received frame from its bytes before TC.
#[test]
fn a_hidden_tag_is_restored_in_the_clone_and_the_packet_is_unchanged() {
    within(
        "a_hidden_tag_is_restored_in_the_clone_and_the_packet_is_unchanged",
        || {
            for tags in [&[(0x8100, 0x6064)][..], &[(0x88a8, 100), (0x8100, 200)]] {
                // Only the Ethernet header of the second is in the linear part.
                for len in [100, 6000] {
                    check_restored(tags, len);
                }
            }
        },
    );
}

fn check_restored(tags: &[(u16, u16)], len: usize) {
    veth("one", "other");
    monitor("monitor", "tap", 65521);
    let relay = monitor("relay", "tap", 65521);
    let mut tap = tap(Some(relay));
    tap.attach_relay("relay").unwrap();
    tap.attach("other", Hook::Ingress).unwrap();

    let sent = segment(tags, len);
    let single = tags.len() == 1;
    let clones = receive("monitor", 1);
    let arrived = single.then(|| receive_as_stack("other", 1));
    send("one", std::slice::from_ref(&sent));
    if let Some(arrived) = arrived {
        assert_eq!(
            arrived.frames(),
            [segment(&[], len)],
            "the packet of the host"
        );
    }
    assert_eq!(clones.frames(), [sent.as_slice()], "the clone");
    let ethernet = wire::ethernet(sent.as_slice()).unwrap();
    assert_eq!(
        (ethernet.vlans.ids[0], usize::from(ethernet.vlans.count)),
        (100, tags.len())
    );
    assert_eq!(
        nonzero(&tap.counters().unwrap()),
        [("tap_cloned", 1), ("tap_vlan_restored", 1)]
    );

    drop(tap);
    run("ip link del monitor");
    run("ip link del relay");
    run("ip link del one");
}

#[test]
fn a_hidden_tag_that_cannot_be_restored_is_counted() {
    within("a_hidden_tag_that_cannot_be_restored_is_counted", || {
        veth("one", "other");
        monitor("monitor", "tap", 65521);
        let mut tap = tap(None);
        tap.attach("other", Hook::Ingress).unwrap();
        let clones = receive("monitor", 1);
        send("one", &[segment(&[(0x8100, 100)], 100)]);
        assert_eq!(
            clones.frames(),
            [segment(&[], 100)],
            "the clone, without its tag"
        );
        assert_eq!(
            nonzero(&tap.counters().unwrap()),
            [("tap_cloned", 1), ("tap_vlan_hidden", 1)]
        );
    });
}

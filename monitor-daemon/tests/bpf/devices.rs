//! What reaches a monitor device: segments of every size, from interfaces of every kind, through both kinds of device.

use std::{
    io::{self, Read, Write},
    net::{TcpListener, TcpStream},
    os::fd::AsFd,
    sync::{Arc, Mutex},
    thread,
};

use monitor_common::steer::Start;
use monitor_daemon::capture::bpf::{Hook, Rules, Steer, SteerSettings, Tap, TapSettings, XdpMode};

use crate::netns::{eventually, monitor, nonzero, run, value, within, xdp_socket};

const BYTES: usize = 20_000_000;

/// A transfer over `lo` with the monitor in the way: everything cloned, everything steered, nothing lost.
fn transfer_over_lo(device: &str, mtu: u32, start: Start) {
    let index = monitor("monitor", device, mtu);
    let rules = Rules::default();
    let mut steer =
        Steer::load(&SteerSettings { seed: [1, 2], workers: 1, queues: 1, start, drop_rest: true, rules })
            .unwrap();
    let socket = xdp_socket();
    steer.set_socket(0, 0, socket.as_fd()).unwrap();
    steer.attach("monitor", XdpMode::Generic).unwrap();
    let settings = TapSettings { monitor: index, start: Start::Ethernet, restore_vlan: false, rules };
    let mut tap = Tap::load(&settings).unwrap();
    tap.attach("lo", Hook::Ingress).unwrap();

    transfer();

    let tapped = tap.counters().unwrap();
    let cloned = value(&tapped, "tap_cloned");
    assert_eq!(nonzero(&tapped), [("tap_cloned", cloned)]);
    assert!(cloned > 300, "only {cloned} segments for {BYTES} bytes");
    eventually("every clone steered", || nonzero(&steer.counters().unwrap()) == [("xdp_redirected", cloned)]);
}

fn transfer() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    thread::scope(|scope| {
        scope.spawn(|| {
            let (mut peer, _) = listener.accept().unwrap();
            peer.write_all(&vec![7; BYTES]).unwrap();
        });
        let mut received = Vec::new();
        TcpStream::connect(address).unwrap().read_to_end(&mut received).unwrap();
        assert_eq!(received.len(), BYTES);
    });
}

/// One that is not GSO, of the longest that IP allows: no check of the monitor device's MTU may drop it.
fn without_offloads() {
    run("ethtool -K lo tso off gso off gro off");
}

#[test]
fn lo_through_tun() {
    within("lo_through_tun", || transfer_over_lo("tun", 65535, Start::Ip));
}

#[test]
fn lo_through_tun_without_offloads() {
    within("lo_through_tun_without_offloads", || {
        without_offloads();
        transfer_over_lo("tun", 65535, Start::Ip);
    });
}

#[test]
fn lo_through_tap() {
    within("lo_through_tap", || transfer_over_lo("tap", 65521, Start::Ethernet));
}

#[test]
fn lo_through_tap_without_offloads() {
    within("lo_through_tap_without_offloads", || {
        without_offloads();
        transfer_over_lo("tap", 65521, Start::Ethernet);
    });
}

/// As on kernels without TCX.
#[test]
fn clsact_filters_come_and_go() {
    within("clsact_filters_come_and_go", || {
        let settings = TapSettings {
            monitor: monitor("monitor", "tun", 65535),
            start: Start::Ethernet,
            restore_vlan: false,
            rules: Rules::default(),
        };
        for _ in 0..2 {
            let mut tap = Tap::load(&settings).unwrap();
            tap.attach_clsact("lo", Hook::Ingress).unwrap();
            assert!(run("tc filter show dev lo ingress").contains("tap"));
            transfer();
            let tapped = tap.counters().unwrap();
            let cloned = value(&tapped, "tap_cloned");
            assert_eq!(nonzero(&tapped), [("tap_cloned", cloned)]);
            assert!(cloned > 300, "only {cloned} segments for {BYTES} bytes");
            drop(tap);
            assert_eq!(run("tc filter show dev lo ingress"), "");
        }
    });
}

/// From a device that is gone nothing comes back but a count, and a line in the log now and then: the transfer itself
/// does not notice.
#[test]
fn a_monitor_device_that_is_gone_harms_nobody() {
    within("a_monitor_device_that_is_gone_harms_nobody", || {
        let index = monitor("monitor", "tun", 65535);
        let settings = TapSettings {
            monitor: index,
            start: Start::Ethernet,
            restore_vlan: false,
            rules: Rules::default(),
        };
        let mut tap = Tap::load(&settings).unwrap();
        tap.attach("lo", Hook::Ingress).unwrap();
        run("ip link del monitor");
        transfer();
        let tapped = tap.counters().unwrap();
        let failed = value(&tapped, "tap_clone_failed");
        assert_eq!(nonzero(&tapped), [("tap_clone_failed", failed)]);
        assert!(failed > 300, "only {failed} failures");

        let log = logged(|| tap.drain_log());
        let said = log.matches("cannot clone a packet into the monitor device").count();
        let cpus = thread::available_parallelism().unwrap().get();
        // Once in five seconds on each CPU; the transfer is shorter than ten.
        assert!(said >= 1 && said <= 2 * cpus, "{said} messages for {failed} failures:\n{log}");
        assert_eq!(logged(|| tap.drain_log()), "", "what was read is gone");
    });
}

/// What is logged in the meantime.
fn logged(action: impl FnOnce()) -> String {
    let log = Arc::new(Mutex::new(Vec::new()));
    let writer = Arc::clone(&log);
    let subscriber = tracing_subscriber::fmt().with_writer(move || Writer(Arc::clone(&writer))).finish();
    tracing::subscriber::with_default(subscriber, action);
    String::from_utf8(std::mem::take(&mut *log.lock().unwrap())).unwrap()
}

struct Writer(Arc<Mutex<Vec<u8>>>);

impl Write for Writer {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

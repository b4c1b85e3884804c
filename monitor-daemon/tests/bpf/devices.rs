//! Transfers over `lo` through both types of monitor device, with segments of every size.

use std::io::{self, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::thread;

use monitor_common::LinkType;
use monitor_common::wire::{self, flags};
use monitor_daemon::capture::Settings;
use monitor_daemon::capture::bpf::{CaptureFilter, Hook, Tap, TapSettings};
use monitor_daemon::capture::source::Source;
use monitor_daemon::capture::tap::MonitorDevice;
use monitor_daemon::config::Config;
use monitor_engine::Packet;

use crate::netns::{eventually, monitor, nonzero, run, value, within};

/// Number of packet buffers.
const FRAMES: u32 = 16384;
/// Bytes of a transfer: few enough for the socket's ring without a reader.
const BYTES: usize = 8_000_000;

/// Transfers over `lo` through a monitor device: every packet is cloned and redirected, every byte delivered.
fn transfer_over_lo(link_type: LinkType) {
    let settings = Settings::new(&Config::default(), [1, 2], 1);
    let (monitor, mut sockets) = MonitorDevice::create(link_type, FRAMES, &settings).unwrap();
    let tap = TapSettings {
        monitor: monitor.device.index,
        start: LinkType::Ethernet,
        relay: None,
        filter: CaptureFilter::default(),
    };
    let mut tap = Tap::load(&tap).unwrap();
    tap.attach("lo", Hook::Ingress).unwrap();
    transfer();

    let tapped = tap.counters().unwrap();
    let cloned = value(&tapped, "tap_cloned");
    assert_eq!(nonzero(&tapped), [("tap_cloned", cloned)]);
    eventually("every clone steered", || {
        nonzero(&monitor.steer.counters().unwrap()) == [("xdp_redirected", cloned)]
    });

    let mut sent = Sent::default();
    let mut read = 0;
    eventually("every clone delivered", || {
        read += sockets[0].receive(0, &mut |packets| {
            packets.iter().for_each(|packet| sent.take(packet));
        });
        read as u64 == cloned
    });
    assert!(
        sent.bytes.iter().copied().eq(pattern()),
        "the bytes of the server"
    );
    assert_eq!(sent.longest, 65535, "IP packets as long as they get");
    assert!(
        sent.pieces > 10,
        "a long packet lies in several frames, this one in {}",
        sent.pieces
    );
}

/// Bytes that the server sent, reassembled from packets.
#[derive(Default)]
pub struct Sent {
    start: Option<u32>,
    pub bytes: Vec<u8>,
    pub longest: usize,
    pieces: usize,
}

impl Sent {
    pub fn take(&mut self, packet: &Packet<'_>) {
        let mut whole = packet.data.to_vec();
        packet
            .more
            .iter()
            .for_each(|piece| whole.extend_from_slice(piece));
        let whole = whole.as_slice();
        let header = if packet.link == LinkType::Ip {
            0
        } else {
            wire::ethernet(whole).unwrap().payload
        };
        let datagram = wire::ip(whole, header).unwrap();
        assert_eq!(
            datagram.end,
            whole.len(),
            "the whole packet, and nothing behind it"
        );
        let tcp = wire::tcp(whole, datagram.payload).unwrap();
        if tcp.flags & (flags::SYN | flags::ACK) == flags::SYN | flags::ACK {
            self.start = Some(tcp.seq.wrapping_add(1));
        }
        let payload = &whole[tcp.payload..];
        if payload.is_empty() {
            return;
        }
        let at = tcp.seq.wrapping_sub(self.start.unwrap()) as usize;
        self.bytes
            .resize(self.bytes.len().max(at + payload.len()), 0);
        self.bytes[at..at + payload.len()].copy_from_slice(payload);
        self.longest = self.longest.max(whole.len() - header);
        self.pieces = self.pieces.max(1 + packet.more.len());
    }
}

/// Returns the bytes that the server sends, in which no part repeats.
pub fn pattern() -> impl Iterator<Item = u8> {
    (0..BYTES as u32 / 4).flat_map(|number| number.wrapping_mul(0x9e37_79b1).to_le_bytes())
}

pub fn transfer() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    thread::scope(|scope| {
        scope.spawn(|| {
            let (mut peer, _) = listener.accept().unwrap();
            peer.write_all(&pattern().collect::<Vec<_>>()).unwrap();
        });
        let mut received = Vec::new();
        TcpStream::connect(address)
            .unwrap()
            .read_to_end(&mut received)
            .unwrap();
        assert_eq!(received.len(), BYTES);
    });
}

/// Disables segmentation offload: segments are as large as IP permits and must pass the MTU check of the device.
pub fn without_offloads() {
    run("ethtool -K lo tso off gso off gro off");
}

#[test]
fn lo_through_tun() {
    within("lo_through_tun", || transfer_over_lo(LinkType::Ip));
}

#[test]
fn lo_through_tun_without_offloads() {
    within("lo_through_tun_without_offloads", || {
        without_offloads();
        transfer_over_lo(LinkType::Ip);
    });
}

#[test]
fn lo_through_tap() {
    within("lo_through_tap", || transfer_over_lo(LinkType::Ethernet));
}

#[test]
fn lo_through_tap_without_offloads() {
    within("lo_through_tap_without_offloads", || {
        without_offloads();
        transfer_over_lo(LinkType::Ethernet);
    });
}

/// Deletes the monitor device during a transfer. Failed clones are counted and logged rarely; the transfer is not
/// affected.
#[test]
fn a_deleted_monitor_device_does_not_affect_the_host() {
    within("a_deleted_monitor_device_does_not_affect_the_host", || {
        let index = monitor("monitor", "tun", 65535);
        let settings = TapSettings {
            monitor: index,
            start: LinkType::Ethernet,
            relay: None,
            filter: CaptureFilter::default(),
        };
        let mut tap = Tap::load(&settings).unwrap();
        tap.attach("lo", Hook::Ingress).unwrap();
        run("ip link del monitor");
        transfer();
        let tapped = tap.counters().unwrap();
        let failed = value(&tapped, "tap_clone_failed");
        assert_eq!(nonzero(&tapped), [("tap_clone_failed", failed)]);
        assert!(failed > 100, "only {failed} failures");

        let log = logged(|| tap.drain_log());
        let said = log
            .matches("lo: cannot clone a packet into the monitor device: error -")
            .count();
        let cpus = thread::available_parallelism().unwrap().get();
        // At most one message in 5 s on each CPU; the transfer takes less than 10 s.
        assert!(
            said >= 1 && said <= 2 * cpus,
            "{said} messages for {failed} failures:\n{log}"
        );
        assert_eq!(logged(|| tap.drain_log()), "", "what was read is gone");
    });
}

/// Returns the log output of `action`.
fn logged(action: impl FnOnce()) -> String {
    let log = Arc::new(Mutex::new(Vec::new()));
    let writer = Arc::clone(&log);
    let subscriber = tracing_subscriber::fmt()
        .with_writer(move || Writer(Arc::clone(&writer)))
        .finish();
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

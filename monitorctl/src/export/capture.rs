//! Capture that is written: segments become packets of its interfaces.
//!
//! All interfaces have one link type if that is known at the start, because libpcap reads only such files. A connection
//! with VLAN tags that joins later gets an interface of its own.

use std::io::{self, Write};

use monitor_client::Counters;
use monitor_client::types::Stats;

use super::frame::{Envelope, Segment};
use super::keylog::KeyLog;
use crate::failure::Failure;
use crate::pcapng::{LINKTYPE_ETHERNET, LINKTYPE_RAW, Statistics, Writer};

/// Counters of packets that the daemon lost before it decoded them.
const DROPS: [&str; 6] = [
    "rx_dropped",
    "rx_ring_full",
    "rx_oversized",
    "device_dropped",
    "tap_clone_failed",
    "handoffs_lost",
];

/// Capture in a file or a pipe.
pub struct Capture<W: Write> {
    writer: Writer<W>,
    /// Numbers of the interfaces without and with a link layer.
    interfaces: [Option<u32>; 2],
    /// Times of the first and of the latest packet.
    times: Option<(u64, u64)>,
    packet: Vec<u8>,
    packets: u64,
    keylog: Option<KeyLog>,
}

impl<W: Write> Capture<W> {
    /// Starts a capture, with the secrets of its sessions if there is a key log.
    pub fn new(out: W, ethernet: bool, comment: &str, keylog: Option<KeyLog>) -> io::Result<Self> {
        let application = concat!("monitorctl ", env!("CARGO_PKG_VERSION"));
        let mut capture = Self {
            writer: Writer::new(out, application, comment)?,
            interfaces: [None; 2],
            times: None,
            packet: Vec::new(),
            packets: 0,
            keylog,
        };
        capture.interface(ethernet)?;
        Ok(capture)
    }

    /// Writes a segment; `time` in microseconds since the epoch, `comment` may be empty.
    pub fn write(
        &mut self,
        envelope: &Envelope,
        segment: &Segment<'_>,
        ident: u16,
        time: u64,
        comment: &str,
    ) -> io::Result<()> {
        let interface = self.interface(envelope.ethernet)?;
        envelope.encode(segment, ident, &mut self.packet);
        let (first, latest) = self.times.unwrap_or((time, time));
        self.times = Some((first.min(time), latest.max(time)));
        self.packets += 1;
        self.writer.packet(interface, time, &self.packet, comment)
    }

    /// Notes the TLS sessions that start in these bytes.
    pub fn search(&mut self, bytes: &[u8]) {
        if let Some(keylog) = &mut self.keylog {
            keylog.search(bytes);
        }
    }

    /// Writes the secrets of noted sessions, as far as the key log has them by now.
    pub fn write_secrets(&mut self) -> Result<(), Failure> {
        if let Some(keylog) = &mut self.keylog {
            let lines = keylog.take()?;
            if !lines.is_empty() {
                self.writer.secrets(&lines)?;
            }
        }
        Ok(())
    }

    /// Returns the number of packets.
    pub fn packets(&self) -> u64 {
        self.packets
    }

    /// Passes the packets on to the reader.
    pub fn flush(&mut self) -> io::Result<()> {
        self.writer.flush()
    }

    /// Ends the capture with the daemon's counters.
    pub fn finish(&mut self, stats: &Stats) -> io::Result<()> {
        let counters = &stats.capture.counters;
        let statistics = Statistics {
            times: self.times.unwrap_or_default(),
            received: counter(counters, "rx_packets"),
            dropped: DROPS.iter().map(|name| counter(counters, name)).sum(),
        };
        let comment = "Packets that monitord received and lost since its start, of all connections";
        let first = self.interfaces.into_iter().flatten().min().unwrap_or(0);
        self.writer.statistics(first, &statistics, comment)?;
        self.flush()
    }

    /// Returns the number of an interface, which is described before its first packet.
    fn interface(&mut self, ethernet: bool) -> io::Result<u32> {
        if let Some(number) = self.interfaces[usize::from(ethernet)] {
            return Ok(number);
        }
        let (link_type, name) = if ethernet {
            (LINKTYPE_ETHERNET, "monitord (Ethernet)")
        } else {
            (LINKTYPE_RAW, "monitord")
        };
        let number = self.writer.interface(link_type, name)?;
        self.interfaces[usize::from(ethernet)] = Some(number);
        Ok(number)
    }
}

fn counter(counters: &Counters, name: &str) -> u64 {
    counters.get(name).unwrap_or(0)
}

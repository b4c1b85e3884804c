//! Packet socket of one worker, and the handle for its statistics.

use std::collections::HashMap;
use std::io;
use std::mem;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::{Arc, Mutex, PoisonError};

use monitor_common::LinkType;
use monitor_engine::{Checksum, Packet};
use tracing::debug;

use super::options;
use super::ring::{Frame, Ring};
use crate::capture::source::{Source, reuse};
use crate::capture::statistics::{Received, Tally};
use crate::util::{clock, interfaces};

/// Packets read from a socket at once: few enough that a worker attends to its commands.
const BATCH: usize = 256;
/// Longest wait of a packet in the ring that its timestamp is believed for, nanoseconds.
const MOST_WAIT: u64 = 10_000_000_000;
/// Packets passed to the engine at once.
const PACKETS: usize = 64;

/// Socket of one worker, with its ring.
pub struct PacketSocket {
    socket: OwnedFd,
    ring: Ring,
    /// Empty between batches; only its memory is kept.
    packets: Vec<Packet<'static>>,
    numbers: Numbers,
    tally: Arc<Tally>,
}

impl PacketSocket {
    pub(super) fn new(socket: OwnedFd, ring: Ring) -> Self {
        Self {
            socket,
            ring,
            packets: Vec::with_capacity(BATCH),
            numbers: Numbers::default(),
            tally: Arc::default(),
        }
    }

    pub(super) fn socket(&self) -> &OwnedFd {
        &self.socket
    }

    /// Returns a handle for its statistics.
    pub fn probe(&self) -> io::Result<Probe> {
        Ok(Probe {
            socket: self.socket.try_clone()?,
            tally: Arc::clone(&self.tally),
            kernel: Mutex::default(),
        })
    }
}

impl Source for PacketSocket {
    fn receive(&mut self, time: u64, deliver: &mut dyn FnMut(&[Packet<'_>])) -> usize {
        let mut packets: Vec<Packet<'_>> = reuse(mem::take(&mut self.packets));
        let mut bytes = 0;
        // Read together: the difference of the clocks counts.
        let (now, wall) = (clock::now().max(time), clock::wall());
        for frame in self.ring.frames(BATCH) {
            bytes += frame.data.len() as u64;
            packets.push(Packet {
                time: now.saturating_sub(age(wall, frame.time)),
                interface: self.numbers.of(frame.interface),
                link: link_type(frame.hardware_type),
                data: frame.data,
                more: &[],
                cut: frame.cut,
                checksum: checksum(&frame),
            });
        }
        packets.chunks(PACKETS).for_each(deliver);
        let count = packets.len();
        self.packets = reuse(packets);
        self.ring.release();
        self.tally.packets.add(count as u64);
        self.tally.bytes.add(bytes);
        count
    }

    fn fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }

    fn clear_error(&mut self) {
        // The interface went down, which the supervisor reports; the socket receives again when it is up.
        let _ = options::take_error(self.socket.as_fd());
    }
}

/// Returns the time that a packet has waited in the ring, in nanoseconds. The kernel's timestamps follow the wall clock:
/// after a step of that clock they are useless, so a longer wait than [`MOST_WAIT`] counts as none.
fn age(wall: u64, stamp: u64) -> u64 {
    let age = wall.saturating_sub(stamp);
    if age <= MOST_WAIT { age } else { 0 }
}

/// Numbers of the interfaces of a socket's packets.
#[derive(Debug, Default)]
struct Numbers {
    /// Index and number of the latest packet's interface.
    latest: (u32, u16),
    known: HashMap<u32, u16>,
}

impl Numbers {
    #[inline]
    fn of(&mut self, index: u32) -> u16 {
        if self.latest.0 != index {
            let number = self
                .known
                .entry(index)
                .or_insert_with(|| interfaces::number_of_index(index));
            self.latest = (index, *number);
        }
        self.latest.1
    }
}

/// Returns the first header of packets of an interface. Of the other types none is captured.
fn link_type(hardware_type: u16) -> LinkType {
    match hardware_type {
        libc::ARPHRD_ETHER | libc::ARPHRD_LOOPBACK => LinkType::Ethernet,
        _ => LinkType::Ip,
    }
}

/// Returns the state of a packet's checksums as the kernel knows it.
fn checksum(frame: &Frame<'_>) -> Checksum {
    if frame.status & libc::TP_STATUS_CSUMNOTREADY != 0 {
        Checksum::Unfinished
    } else if frame.status & libc::TP_STATUS_CSUM_VALID != 0
        || frame.packet_type == libc::PACKET_OUTGOING
    {
        Checksum::Valid
    } else {
        Checksum::Verify
    }
}

/// Second descriptor of a socket, for its statistics. It keeps the socket open, and must be dropped with it.
#[derive(Debug)]
pub struct Probe {
    socket: OwnedFd,
    tally: Arc<Tally>,
    /// Sums of the kernel's counters, which reading resets.
    kernel: Mutex<Kernel>,
}

#[derive(Clone, Copy, Debug, Default)]
struct Kernel {
    dropped: u64,
    ring_full: u64,
}

impl Probe {
    /// Lets no further packet into the ring.
    pub fn stop(&self) {
        if let Err(error) = options::refuse_all(&self.socket) {
            debug!("stopping a packet socket: {error}");
        }
    }

    /// Returns the counters.
    #[must_use]
    pub fn read(&self) -> Received {
        let mut kernel = self.kernel.lock().unwrap_or_else(PoisonError::into_inner);
        if let Ok(new) = options::statistics(self.socket.as_fd()) {
            kernel.dropped += u64::from(new.tp_drops);
            kernel.ring_full += u64::from(new.tp_freeze_q_cnt);
        }
        Received {
            dropped: kernel.dropped,
            fill_ring_empty: kernel.ring_full,
            ..self.tally.read()
        }
    }
}

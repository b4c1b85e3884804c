//! AF_XDP socket of one worker. Packets are read in place.
#![expect(
    unsafe_code,
    reason = "frames are read between the RX ring and the fill ring, when the kernel does not write them"
)]

use std::io;
use std::mem;
use std::os::fd::{AsRawFd, BorrowedFd};
use std::sync::Arc;

use monitor_engine::{LinkType, Packet};
use xsk_rs::{FrameDesc, RxQueue, TxQueue, Umem};

use super::probe::Probe;
use super::ring::FillRing;
use crate::capture::source::{Source, reuse};
use crate::capture::statistics::Tally;

/// Descriptors read from a socket at once: enough to amortize the clock and the fill ring's lock, and few enough for
/// the second-level cache.
const BATCH: usize = 256;
/// Packets passed to the engine at once.
const PACKETS: usize = 64;

/// Socket of one worker and queue.
pub struct RxSocket {
    umem: Umem,
    rx: RxQueue,
    /// Unused, but xsk-rs closes the socket with it.
    _tx: TxQueue,
    ring: Arc<FillRing>,
    link: LinkType,
    /// Number of the interface of its packets; 0: unknown.
    interface: u16,
    /// Descriptors read from the RX ring; the first `held` are the start of an incomplete packet.
    descriptors: Vec<FrameDesc>,
    held: usize,
    /// Set while the rest of an oversized packet is discarded.
    discarding: bool,
    /// Empty between batches; only their memory is kept.
    pieces: Vec<&'static [u8]>,
    packets: Vec<Packet<'static>>,
    tally: Arc<Tally>,
}

impl RxSocket {
    pub(super) fn new(
        umem: Umem,
        tx: TxQueue,
        rx: RxQueue,
        ring: Arc<FillRing>,
        link: LinkType,
        interface: u16,
    ) -> Self {
        Self {
            umem,
            rx,
            _tx: tx,
            ring,
            link,
            interface,
            descriptors: vec![FrameDesc::default(); BATCH],
            held: 0,
            discarding: false,
            pieces: Vec::with_capacity(BATCH),
            packets: Vec::with_capacity(BATCH),
            tally: Arc::default(),
        }
    }

    /// Returns a handle for its statistics.
    pub fn probe(&self) -> io::Result<Probe> {
        Ok(Probe::new(
            self.fd().try_clone_to_owned()?,
            Arc::clone(&self.tally),
        ))
    }

    /// Returns the number of descriptors that form complete packets.
    fn complete(&self, taken: usize) -> usize {
        let last = self.descriptors[..taken]
            .iter()
            .rposition(|descriptor| !descriptor.has_more_frames());
        last.map_or(0, |last| last + 1)
    }

    /// Releases the first `done` descriptors and retains the others, up to `taken`, for the next batch.
    fn release(&mut self, done: usize, taken: usize) {
        // SAFETY: they came out of this socket's RX ring; `pieces`, which borrowed them, is empty; the next line removes
        // them.
        unsafe { self.ring.release(&self.descriptors[..done], &mut self.rx) };
        self.descriptors.copy_within(done..taken, 0);
        self.held = taken - done;
    }

    /// Delivers the packets of the first `complete` descriptors; returns their number.
    fn deliver(
        &mut self,
        complete: usize,
        time: u64,
        deliver: &mut dyn FnMut(&[Packet<'_>]),
    ) -> usize {
        let descriptors = &self.descriptors[..complete];
        let mut pieces: Vec<&[u8]> = reuse(mem::take(&mut self.pieces));
        // SAFETY: each descriptor came out of this socket's RX ring and is not returned before `release`: the kernel has
        // written the frame and does not write it while it is borrowed. Address and length are the kernel's own, inside
        // of the UMEM.
        pieces.extend(
            descriptors
                .iter()
                .map(|descriptor| unsafe { self.umem.data(descriptor) }.contents()),
        );
        let mut packets: Vec<Packet<'_>> = reuse(mem::take(&mut self.packets));
        let mut first = 0;
        for (index, descriptor) in descriptors.iter().enumerate() {
            if !descriptor.has_more_frames() {
                let (data, more) = (pieces[first], &pieces[first + 1..=index]);
                packets.push(Packet {
                    time,
                    interface: self.interface,
                    link: self.link,
                    data,
                    more,
                    cut: 0,
                    checksum: monitor_engine::Checksum::Unknown,
                });
                first = index + 1;
            }
        }
        packets.chunks(PACKETS).for_each(deliver);
        let count = packets.len();
        self.tally.packets.add(count as u64);
        let bytes = pieces.iter().map(|piece| piece.len() as u64).sum();
        self.tally.bytes.add(bytes);
        self.packets = reuse(packets);
        self.pieces = reuse(pieces);
        count
    }

    /// Discards the rest of a packet that does not fit into a batch. No kernel produces one today: a packet has at most
    /// 18 fragments of at most a page.
    fn discard(&mut self, taken: usize) {
        let end = self.descriptors[..taken]
            .iter()
            .position(|descriptor| !descriptor.has_more_frames());
        if !self.discarding {
            self.tally.oversized.add(1);
        }
        self.discarding = end.is_none();
        self.release(end.map_or(taken, |end| end + 1), taken);
    }
}

impl Source for RxSocket {
    fn receive(&mut self, time: u64, deliver: &mut dyn FnMut(&[Packet<'_>])) -> usize {
        // SAFETY: descriptors out of this RX ring are used with this socket's own UMEM and fill ring alone.
        let new = unsafe { self.rx.consume(&mut self.descriptors[self.held..]) };
        let taken = self.held + new;
        if new == 0 {
            return 0;
        }
        if self.discarding {
            self.discard(taken);
            return 0;
        }
        let complete = self.complete(taken);
        if complete == 0 && taken == BATCH {
            self.discard(taken);
            return 0;
        }
        let packets = self.deliver(complete, time, deliver);
        self.release(complete, taken);
        packets
    }

    fn fd(&self) -> BorrowedFd<'_> {
        // SAFETY: the descriptor is open while the socket exists, which the result borrows.
        unsafe { BorrowedFd::borrow_raw(self.rx.fd().as_raw_fd()) }
    }
}

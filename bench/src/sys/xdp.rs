//! AF_XDP: a receiver that does nothing, and a sender.

use std::io;
use std::num::NonZeroU32;
use std::os::fd::AsRawFd;

use anyhow::{Context, Result};
use xsk_rs::config::{BindFlags, LibxdpFlags, QueueSize, SocketConfig, UmemConfig};
use xsk_rs::{CompQueue, FillQueue, FrameDesc, RxQueue, Socket, TxQueue, Umem};

use super::bpf::{self, Attached};
use crate::baseline::{self, Baseline, Frame};

/// The daemon's: as many buffers of a page as 32 MiB have, rings with a place for each.
const FRAMES: u32 = 8192;
/// Descriptors taken at once: the daemon's too.
const BATCH: usize = 256;
/// Packets that are on their way out at once.
const OUT: u32 = 2048;

struct Opened {
    umem: Umem,
    frames: Vec<FrameDesc>,
    tx: TxQueue,
    rx: RxQueue,
    fill: FillQueue,
    completed: CompQueue,
}

/// Takes packets from queue 0 of an interface and gives their buffers back.
pub struct Receiver {
    opened: Opened,
    descriptors: Vec<FrameDesc>,
    _redirect: Attached,
}

/// Sends the same frames again and again, changed a little each time.
pub struct Sender {
    opened: Opened,
    /// The next one to be sent.
    next: usize,
    on_their_way: usize,
    scratch: Vec<FrameDesc>,
}

fn open(interface: &str, frames: u32, transfer: BindFlags) -> Result<Opened> {
    let size = |entries: u32| QueueSize::new(entries).context("not a power of two");
    let config = UmemConfig::builder()
        .fill_queue_size(size(frames)?)
        .comp_queue_size(size(frames)?)
        .build()?;
    let (umem, frames_of) =
        Umem::new(config, NonZeroU32::new(frames).context("no frames")?, false)?;
    let config = SocketConfig::builder()
        .rx_queue_size(size(frames)?)
        .tx_queue_size(size(frames)?)
        .libxdp_flags(LibxdpFlags::XSK_LIBXDP_FLAGS_INHIBIT_PROG_LOAD)
        .bind_flags(transfer | BindFlags::XDP_USE_NEED_WAKEUP)
        .build();
    // SAFETY: neither the UMEM nor the queue is shared.
    let (tx, rx, own) = unsafe { Socket::new(config, &umem, &interface.parse()?, 0) }
        .with_context(|| format!("cannot bind an AF_XDP socket to {interface}"))?;
    let (fill, completed) = own.context("the first socket of a queue has its rings")?;
    Ok(Opened {
        umem,
        frames: frames_of,
        tx,
        rx,
        fill,
        completed,
    })
}

impl Receiver {
    /// Native, copied, as the daemon gets it on a veth.
    pub fn new(interface: &str) -> Result<Self> {
        let index = super::index(interface)?;
        let mut redirect = bpf::redirect(index).context("cannot attach an XDP program")?;
        let mut opened = open(
            interface,
            FRAMES,
            BindFlags::XDP_COPY | BindFlags::XDP_USE_SG,
        )?;
        // SAFETY: the frames are those of this UMEM, and nothing else uses them.
        unsafe { opened.fill.produce(&opened.frames) };
        redirect
            .to(opened.rx.fd().as_raw_fd())
            .context("cannot put the socket into the XSKMAP")?;
        Ok(Self {
            opened,
            descriptors: vec![FrameDesc::default(); BATCH],
            _redirect: redirect,
        })
    }

    /// Takes packets unread. Returns their number.
    pub fn receive(&mut self) -> usize {
        self.receive_each(|_, _| {})
    }

    /// Takes packets after `take` has seen each batch of descriptors. Returns their number.
    fn receive_each(&mut self, take: impl FnOnce(&Umem, &[FrameDesc])) -> usize {
        let Opened { umem, rx, fill, .. } = &mut self.opened;
        // SAFETY: descriptors from the ring go back into the fill ring of the same UMEM, after their last reader.
        let count = unsafe { rx.consume(&mut self.descriptors) };
        take(umem, &self.descriptors[..count]);
        // SAFETY: as above; the ring has a place for every frame.
        unsafe { fill.produce(&self.descriptors[..count]) };
        if count > 0 && fill.needs_wakeup() {
            // The driver stopped for want of frames; that it cannot be woken is seen in the rate.
            let _ = rx.poll(0);
        }
        count
    }

    /// Takes packets and reassembles their connections. Returns their number.
    pub fn receive_into(&mut self, baseline: &mut Baseline) -> usize {
        self.receive_each(|umem, descriptors| {
            for batch in descriptors.chunks(baseline::BATCH) {
                // SAFETY: the kernel has handed these frames over, and gets them back later.
                let data = |descriptor| unsafe { umem.data(descriptor) };
                let frames: Vec<_> = batch
                    .iter()
                    .filter_map(|descriptor| Frame::parse(data(descriptor).contents()))
                    .collect();
                baseline.batch(&frames);
            }
        })
    }
}

impl Sender {
    /// Number of frames that can be sent before the first one is reused.
    pub const FRAMES: usize = OUT as usize;

    /// With the frames that `make` makes, by their number.
    pub fn new(interface: &str, mut make: impl FnMut(usize) -> Vec<u8>) -> Result<Self> {
        let mut opened = open(interface, OUT, BindFlags::XDP_COPY)?;
        for (number, frame) in opened.frames.iter_mut().enumerate() {
            let bytes = make(number);
            // SAFETY: nothing else uses this frame.
            let mut data = unsafe { opened.umem.data_mut(frame) };
            io::Write::write_all(&mut data.cursor(), &bytes).context("the frame is too long")?;
        }
        Ok(Self {
            opened,
            next: 0,
            on_their_way: 0,
            scratch: vec![FrameDesc::default(); BATCH],
        })
    }

    /// Sends up to `most` frames, each after `change` was made to it; how many were sent.
    pub fn send(
        &mut self,
        most: usize,
        mut change: impl FnMut(usize, &mut [u8]),
    ) -> io::Result<usize> {
        self.complete();
        let Opened {
            umem, frames, tx, ..
        } = &mut self.opened;
        let count = most
            .min(Self::FRAMES - self.on_their_way)
            .min(Self::FRAMES - self.next);
        for (number, frame) in (self.next..).zip(&mut frames[self.next..self.next + count]) {
            // SAFETY: completions come in order, so this one has come back.
            let mut data = unsafe { umem.data_mut(frame) };
            change(number, data.contents_mut());
        }
        // SAFETY: as above.
        let sent = unsafe { tx.produce(&frames[self.next..self.next + count]) };
        self.next = (self.next + sent) % Self::FRAMES;
        self.on_their_way += sent;
        self.wake()?;
        Ok(sent)
    }

    /// Returns the number of frames that the kernel still holds.
    pub fn outstanding(&mut self) -> io::Result<usize> {
        self.complete();
        if self.on_their_way > 0 {
            self.wake()?;
        }
        Ok(self.on_their_way)
    }

    fn complete(&mut self) {
        // SAFETY: frames that come back are sent again only through this socket.
        self.on_their_way -= unsafe { self.opened.completed.consume(&mut self.scratch) };
    }

    fn wake(&self) -> io::Result<()> {
        let tx = &self.opened.tx;
        if tx.needs_wakeup() {
            tx.wakeup()
        } else {
            Ok(())
        }
    }
}

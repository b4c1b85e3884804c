//! AF_XDP sockets: one for each queue and worker; those of one queue share its packet buffers and its fill ring.
//!
//! Life of a frame: free → fill ring → (kernel writes a packet) → RX ring of one worker's socket → read in place by
//! the engine → fill ring. Every ring has a place for every frame of its queue, so giving frames back always succeeds
//! and an RX ring is never full: when packets come faster than they are read, the frames run out, and the kernel
//! counts that as `rx_dropped`.
//!
//! See the kernel's Documentation/networking/af_xdp.rst.
#![expect(
    unsafe_code,
    reason = "frames are shared with the kernel; who may touch one follows from the rings"
)]

mod ring;
mod socket;
mod statistics;

use std::io;
use std::num::NonZeroU32;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use monitor_common::LinkType;
use rustix::net::{AddressFamily, SocketFlags, SocketType, socket_with};
use xsk_rs::config::{BindFlags, Interface, LibxdpFlags, QueueSize, SocketConfig, UmemConfig};
use xsk_rs::{CompQueue, FillQueue, FrameDesc, RxQueue, Socket, TxQueue, Umem};

use ring::FillRing;
pub use socket::RxSocket;
pub use statistics::{Probe, Received};

/// One page: the largest chunk that any driver takes without huge pages.
pub const FRAME_BYTES: u64 = 4096;
/// Frames below which a queue cannot hold even a few of the largest packets.
pub const LEAST_FRAMES: u32 = 256;
/// We send nothing, but libxdp makes these rings always.
const UNUSED_RING: u32 = 64;
/// A queue whose socket was just closed is busy until the kernel has cleaned up behind it.
const BUSY_FOR: Duration = Duration::from_secs(2);
const BUSY_PAUSE: Duration = Duration::from_millis(10);

/// Why a queue could not be opened.
#[derive(Debug, thiserror::Error)]
pub enum XskError {
    /// The buffers could not be had.
    #[error(
        "cannot register {frames} packet buffers with the kernel: {reason}; lower [capture] buffers"
    )]
    Umem {
        /// How many.
        frames: u32,
        /// What was said.
        reason: String,
    },
    /// Another program has the queue.
    #[error("queue {queue} of {interface} is in use by another AF_XDP program; stop it first")]
    Busy {
        /// Its name.
        interface: String,
        /// Which queue.
        queue: u32,
    },
    /// The driver cannot do what was asked.
    #[error("cannot bind an XDP socket to queue {queue} of {interface}: {source}")]
    Bind {
        /// Its name.
        interface: String,
        /// Which queue.
        queue: u32,
        /// What the kernel said.
        source: io::Error,
    },
}

/// How the kernel fills the frames.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Transfer {
    /// The card writes into them.
    ZeroCopy,
    /// The card writes into them, and cannot spread a packet over several: every packet must fit into one.
    ZeroCopySingle,
    /// The kernel copies.
    Copy,
}

impl Transfer {
    fn flags(self) -> BindFlags {
        match self {
            Self::ZeroCopy => BindFlags::XDP_ZEROCOPY | BindFlags::XDP_USE_SG,
            Self::ZeroCopySingle => BindFlags::XDP_ZEROCOPY,
            Self::Copy => BindFlags::XDP_COPY | BindFlags::XDP_USE_SG,
        }
    }

    /// The largest packet, bytes from the Ethernet header on; `None` where packets are spread.
    pub fn most(self) -> Option<u64> {
        // The kernel keeps this much of each frame for XDP programs that put something in front.
        const HEADROOM: u64 = 256;
        (self == Self::ZeroCopySingle).then_some(FRAME_BYTES - HEADROOM)
    }
}

/// A queue to be opened.
#[derive(Clone, Copy, Debug)]
pub struct Queue<'a> {
    /// The interface's name.
    pub interface: &'a str,
    /// Which queue of it.
    pub queue: u32,
    /// How many workers read it, a socket each.
    pub workers: u16,
    /// How many packet buffers it gets.
    pub frames: u32,
    /// How they are filled.
    pub transfer: Transfer,
    /// What its packets start with.
    pub link: LinkType,
}

/// A socket's own rings, and those of its queue if it is the first.
type Bound = (TxQueue, RxQueue, Option<(FillQueue, CompQueue)>);

impl Queue<'_> {
    /// The sockets of all workers, in their order, bound and with the fill ring full. No packet comes before they are
    /// put into the XSKMAP.
    pub fn open(&self) -> Result<Vec<RxSocket>, XskError> {
        let (umem, frames) = self.umem()?;
        let mut ring = None;
        let mut sockets = Vec::with_capacity(usize::from(self.workers));
        for _ in 0..self.workers {
            let (tx, mut rx, own) = self.bind(&umem)?;
            if let Some((fill, completion)) = own {
                ring = Some(Arc::new(self.fill(fill, completion, &frames, &mut rx)?));
            }
            // The first socket of a queue is the one that gets its rings.
            let Some(ring) = &ring else {
                return Err(self.failed(io::ErrorKind::NotConnected.into()));
            };
            sockets.push(RxSocket::new(
                umem.clone(),
                tx,
                rx,
                Arc::clone(ring),
                self.link,
            ));
        }
        Ok(sockets)
    }

    fn umem(&self) -> Result<(Umem, Vec<FrameDesc>), XskError> {
        let failed = |reason: String| XskError::Umem {
            frames: self.frames,
            reason,
        };
        let size = |entries: u32| QueueSize::new(entries).map_err(|e| failed(e.to_string()));
        let config = UmemConfig::builder()
            .fill_queue_size(size(self.ring())?)
            .comp_queue_size(size(UNUSED_RING)?)
            .build()
            .map_err(|e| failed(e.to_string()))?;
        let frames =
            NonZeroU32::new(self.frames).ok_or_else(|| failed("none were asked for".into()))?;
        Umem::new(config, frames, false).map_err(|e| failed(with_source(&e)))
    }

    /// Entries of each ring: a place for every frame.
    fn ring(&self) -> u32 {
        self.frames.next_power_of_two()
    }

    /// A bound socket. A queue that was closed a moment ago, by an earlier daemon or by ourselves, is waited for.
    fn bind(&self, umem: &Umem) -> Result<Bound, XskError> {
        let invalid = |_| self.failed(io::ErrorKind::InvalidInput.into());
        let name: Interface = self
            .interface
            .parse()
            .map_err(|_| self.failed(io::ErrorKind::NotFound.into()))?;
        let config = SocketConfig::builder()
            .rx_queue_size(QueueSize::new(self.ring()).map_err(invalid)?)
            .tx_queue_size(QueueSize::new(UNUSED_RING).map_err(invalid)?)
            // The program is ours, loaded by aya.
            .libxdp_flags(LibxdpFlags::XSK_LIBXDP_FLAGS_INHIBIT_PROG_LOAD)
            .bind_flags(self.transfer.flags() | BindFlags::XDP_USE_NEED_WAKEUP)
            .build();
        let give_up = Instant::now() + BUSY_FOR;
        loop {
            // SAFETY: where the UMEM and the queue are shared, the flag XSK_LIBXDP_FLAGS_INHIBIT_PROG_LOAD has to be
            // set; it is, above.
            let error = match unsafe { Socket::new(config, umem, &name, self.queue) } {
                Ok(opened) => return Ok(opened),
                Err(error) => os_error(&error),
            };
            if error.kind() != io::ErrorKind::ResourceBusy {
                return Err(self.failed(error));
            }
            if Instant::now() > give_up {
                return Err(XskError::Busy {
                    interface: self.interface.to_owned(),
                    queue: self.queue,
                });
            }
            thread::sleep(BUSY_PAUSE);
        }
    }

    /// Gives all frames to the kernel. xsk-rs hands the ring out only after binding, so drivers that found it empty
    /// then are woken.
    fn fill(
        &self,
        mut fill: FillQueue,
        completion: CompQueue,
        frames: &[FrameDesc],
        rx: &mut RxQueue,
    ) -> Result<FillRing, XskError> {
        // SAFETY: the frames are those of this ring's UMEM and were never given to anybody before.
        let given = unsafe { fill.produce_and_wakeup(frames, rx.fd_mut(), 0) };
        match given {
            Ok(given) if given == frames.len() => Ok(FillRing::new(fill, completion)),
            Ok(_) => Err(self.failed(io::ErrorKind::StorageFull.into())),
            Err(error) => Err(self.failed(error)),
        }
    }

    fn failed(&self, source: io::Error) -> XskError {
        XskError::Bind {
            interface: self.interface.to_owned(),
            queue: self.queue,
            source,
        }
    }
}

/// Whether this kernel has AF_XDP at all.
pub fn supported() -> io::Result<()> {
    socket_with(
        AddressFamily::XDP,
        SocketType::RAW,
        SocketFlags::CLOEXEC,
        None,
    )?;
    Ok(())
}

fn with_source(error: &dyn std::error::Error) -> String {
    error
        .source()
        .map_or_else(|| error.to_string(), |source| format!("{error}: {source}"))
}

/// What the kernel said, out of xsk-rs's error.
fn os_error(error: &dyn std::error::Error) -> io::Error {
    let source = error
        .source()
        .and_then(|source| source.downcast_ref::<io::Error>());
    match source.and_then(io::Error::raw_os_error) {
        Some(number) => io::Error::from_raw_os_error(number),
        None => io::Error::other(error.to_string()),
    }
}

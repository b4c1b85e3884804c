//! AF_XDP sockets: one for each queue and worker. The sockets of a queue share its UMEM and its fill ring.
//!
//! A frame moves from the fill ring (the kernel writes a packet) to the RX ring of one worker's socket, is read in place
//! by the engine, and returns to the fill ring. Every ring has an entry for every frame of its queue: returning frames
//! always succeeds, and an RX ring is never full. When packets arrive faster than they are read, the frames run out,
//! and the kernel counts `rx_dropped`.
//!
//! See Documentation/networking/af_xdp.rst of the kernel.
#![expect(
    unsafe_code,
    reason = "frames are shared with the kernel; the ring that holds a frame determines its owner"
)]

mod probe;
mod ring;
mod socket;

use std::io;
use std::num::NonZeroU32;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use monitor_common::LinkType;
use rustix::net::{AddressFamily, SocketFlags, SocketType, socket_with};
use xsk_rs::config::{BindFlags, Interface, LibxdpFlags, QueueSize, SocketConfig, UmemConfig};
use xsk_rs::{CompQueue, FillQueue, FrameDesc, RxQueue, Socket, TxQueue, Umem};

use crate::util::chain::Chain;
pub use probe::Probe;
use ring::FillRing;
pub use socket::RxSocket;

/// Frame size: one page, the largest that every driver supports without huge pages.
pub const FRAME_BYTES: u64 = 4096;
/// Least number of frames of a queue: fewer cannot hold a few of the largest packets.
pub const LEAST_FRAMES: u32 = 256;
/// Entries of the rings for sending, which libxdp always creates.
const UNUSED_RING: u32 = 64;
/// Time in which a queue may be busy after its socket was closed: the kernel cleans up asynchronously.
const BUSY_FOR: Duration = Duration::from_secs(2);
const BUSY_PAUSE: Duration = Duration::from_millis(10);

/// Reason that a queue cannot be opened.
#[derive(Debug, thiserror::Error)]
pub enum XskError {
    /// The kernel refused the packet buffers.
    #[error(
        "cannot register {frames} packet buffers with the kernel: {reason}; lower [capture] buffers"
    )]
    Umem {
        /// Number of frames.
        frames: u32,
        /// Error of libxdp or the kernel.
        reason: String,
    },
    /// Another program uses the queue.
    #[error("queue {queue} of {interface} is in use by another AF_XDP program; stop it first")]
    Busy {
        /// Its name.
        interface: String,
        /// Number of the queue.
        queue: u32,
    },
    /// The driver does not support the transfer.
    #[error("cannot bind an XDP socket to queue {queue} of {interface}")]
    Bind {
        /// Its name.
        interface: String,
        /// Number of the queue.
        queue: u32,
        /// Error of the kernel.
        source: io::Error,
    },
}

/// Transfer of packets into the frames.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Transfer {
    /// The card writes into them.
    ZeroCopy,
    /// The card writes into them, one packet per frame: every packet must fit.
    ZeroCopySingle,
    /// The kernel copies.
    Copy,
    /// The kernel copies, one packet per frame: every packet must fit. Works before Linux 6.6, too.
    CopySingle,
}

impl Transfer {
    fn flags(self) -> BindFlags {
        match self {
            Self::ZeroCopy => BindFlags::XDP_ZEROCOPY | BindFlags::XDP_USE_SG,
            Self::ZeroCopySingle => BindFlags::XDP_ZEROCOPY,
            Self::Copy => BindFlags::XDP_COPY | BindFlags::XDP_USE_SG,
            Self::CopySingle => BindFlags::XDP_COPY,
        }
    }

    /// Returns the largest packet, bytes from the Ethernet header on; `None` where a packet may use several frames.
    pub fn most(self) -> Option<u64> {
        // The kernel reserves this part of each frame for XDP programs that prepend a header.
        const HEADROOM: u64 = 256;
        matches!(self, Self::ZeroCopySingle | Self::CopySingle).then_some(FRAME_BYTES - HEADROOM)
    }
}

/// Parameters of a queue.
#[derive(Clone, Copy, Debug)]
pub struct Queue<'a> {
    /// The interface's name.
    pub interface: &'a str,
    /// Number of the queue.
    pub queue: u32,
    /// Number of workers; each gets a socket.
    pub workers: u16,
    /// Number of packet buffers.
    pub frames: u32,
    /// Transfer into the buffers.
    pub transfer: Transfer,
    /// First header of its packets.
    pub link: LinkType,
    /// Number of the interface where its packets are captured ([`interfaces`](crate::util::interfaces)); 0: several.
    pub number: u16,
}

/// Rings of a socket, and those of its queue if it is the first.
type Bound = (TxQueue, RxQueue, Option<(FillQueue, CompQueue)>);

impl Queue<'_> {
    /// Opens the sockets of all workers, in their order, with a full fill ring. They receive no packet before they are
    /// inserted into the XSKMAP.
    pub fn open(&self) -> Result<Vec<RxSocket>, XskError> {
        let (umem, frames) = self.umem()?;
        let mut ring = None;
        let mut sockets = Vec::with_capacity(usize::from(self.workers));
        for _ in 0..self.workers {
            let (tx, mut rx, own) = self.bind(&umem)?;
            if let Some((fill, completion)) = own {
                ring = Some(Arc::new(self.fill(fill, completion, &frames, &mut rx)?));
            }
            // The first socket of a queue owns its rings.
            let Some(ring) = &ring else {
                return Err(self.failed(io::ErrorKind::NotConnected.into()));
            };
            sockets.push(RxSocket::new(
                umem.clone(),
                tx,
                rx,
                Arc::clone(ring),
                self.link,
                self.number,
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
        Umem::new(config, frames, false).map_err(|e| failed(Chain(&e).to_string()))
    }

    /// Returns the size of each ring: an entry for every frame.
    fn ring(&self) -> u32 {
        self.frames.next_power_of_two()
    }

    /// Binds a socket. Waits for a queue that was closed a moment ago, by another process or this one.
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
        let deadline = Instant::now() + BUSY_FOR;
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
            if Instant::now() > deadline {
                return Err(XskError::Busy {
                    interface: self.interface.to_owned(),
                    queue: self.queue,
                });
            }
            thread::sleep(BUSY_PAUSE);
        }
    }

    /// Inserts all frames into the fill ring. xsk-rs returns the ring only after binding: drivers that found it empty are
    /// woken.
    fn fill(
        &self,
        mut fill: FillQueue,
        completion: CompQueue,
        frames: &[FrameDesc],
        rx: &mut RxQueue,
    ) -> Result<FillRing, XskError> {
        // SAFETY: the frames are those of this ring's UMEM, and no ring holds one yet.
        let produced = unsafe { fill.produce_and_wakeup(frames, rx.fd_mut(), 0) };
        match produced {
            Ok(count) if count == frames.len() => Ok(FillRing::new(fill, completion)),
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

/// Checks that this kernel has AF_XDP.
pub fn supported() -> io::Result<()> {
    socket_with(
        AddressFamily::XDP,
        SocketType::RAW,
        SocketFlags::CLOEXEC,
        None,
    )?;
    Ok(())
}

/// Returns the kernel's error out of xsk-rs's.
fn os_error(error: &dyn std::error::Error) -> io::Error {
    let source = error
        .source()
        .and_then(|source| source.downcast_ref::<io::Error>());
    match source.and_then(io::Error::raw_os_error) {
        Some(number) => io::Error::from_raw_os_error(number),
        None => io::Error::other(error.to_string()),
    }
}

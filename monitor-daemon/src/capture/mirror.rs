//! Capture of a mirror port (SPAN or TAP port, or one end of a veth) by XDP: its packets are redirected into AF_XDP
//! sockets and do not reach the network stack.
//!
//! The driver must run XDP: zero-copy, or else with a copy. XDP in the network stack measures slower than packet sockets,
//! which are the alternative.
#![expect(
    unsafe_code,
    reason = "the ethtool interface is an ioctl with a struct of its own"
)]

use std::io;
use std::mem;
use std::os::fd::AsRawFd;

use monitor_common::LinkType;
use rustix::net::{AddressFamily, SocketFlags, SocketType, socket_with};
use tracing::debug;

use super::bpf::{Steer, SteerSettings, XdpMode};
use super::netlink::Interface;
use super::packet::Promiscuous;
use super::xsk::{LEAST_FRAMES, Queue, RxSocket, Transfer, XskError};
use super::{CaptureError, Settings};
use crate::util::chain::Chain;
use crate::util::interfaces;

/// Port with its program. Dropping it detaches the program and leaves promiscuous mode.
pub struct Port {
    /// Program that redirects its packets.
    pub steer: Steer,
    /// Mode: `zerocopy` or `native`.
    pub xdp: &'static str,
    /// Number of receive queues.
    pub queues: u32,
    /// Request for promiscuous mode.
    pub promiscuous: Promiscuous,
}

/// Modes, fastest first.
const MODES: [(Transfer, &str); 4] = [
    (Transfer::ZeroCopy, "zerocopy"),
    (Transfer::ZeroCopySingle, "zerocopy"),
    (Transfer::Copy, "native"),
    (Transfer::CopySingle, "native"),
];

impl Port {
    /// Opens a port with `frames` packet buffers for all its queues together. Returns its sockets in a list for each
    /// worker.
    pub fn open(
        interface: &Interface,
        frames: u32,
        settings: &Settings,
    ) -> Result<(Self, Vec<Vec<RxSocket>>), CaptureError> {
        let start = super::link_type(interface)?;
        let name = &interface.name;
        let most = queues(interface)?.max(interface.rx_queues);
        let mut steer = Steer::load(&SteerSettings {
            seed: settings.seed,
            workers: settings.workers.into(),
            queues: most,
            start,
            drop_rest: false,
            filter: settings.filter(),
        })?;
        steer.attach(name, XdpMode::Native)?;
        // Counted now: virtio_net adds a pair of queues for each processor when a program is attached.
        let queues = queues(interface)?.min(most);
        // After attaching, which resets some cards.
        let promiscuous = Promiscuous::request(interface)?;
        let opening = Opening {
            name,
            queues,
            frames: (frames / queues).max(LEAST_FRAMES),
            mtu: interface.mtu,
            start,
            workers: settings.workers,
        };
        let (sockets, xdp) = opening.open(&mut steer)?;
        Ok((
            Self {
                steer,
                xdp,
                queues,
                promiscuous,
            },
            sockets,
        ))
    }
}

/// Parameters common to all modes.
struct Opening<'a> {
    name: &'a str,
    queues: u32,
    frames: u32,
    mtu: u32,
    start: LinkType,
    workers: u16,
}

/// Bytes of the Ethernet header and two VLAN tags.
const HEADERS: u64 = 14 + 2 * 4;

impl Opening<'_> {
    /// Opens the port in the first mode that works. The program is attached already: with some drivers, a socket that is
    /// bound before receives no multi-buffer packets.
    fn open(&self, steer: &mut Steer) -> Result<(Vec<Vec<RxSocket>>, &'static str), CaptureError> {
        let largest = u64::from(self.mtu) + HEADERS;
        let mut last = None;
        for (transfer, xdp) in MODES {
            if let Some(most) = transfer.most()
                && largest > most
            {
                // Without this kernel's support for packets in several frames.
                if transfer == Transfer::CopySingle {
                    return Err(CaptureError::LargeMtu {
                        interface: self.name.to_owned(),
                        mtu: self.mtu,
                        most: most - HEADERS,
                    });
                }
                continue;
            }
            match self.open_queues(steer, transfer) {
                Ok(sockets) => return Ok((sockets, xdp)),
                Err(error @ CaptureError::Xsk(XskError::Bind { .. })) => {
                    debug!("{}: {xdp}: {}", self.name, Chain(&error));
                    last = Some(error);
                }
                Err(error) => return Err(error),
            }
        }
        Err(last.unwrap_or(CaptureError::NoQueues {
            interface: self.name.to_owned(),
        }))
    }

    /// Opens all queues.
    fn open_queues(
        &self,
        steer: &mut Steer,
        transfer: Transfer,
    ) -> Result<Vec<Vec<RxSocket>>, CaptureError> {
        let mut by_worker: Vec<Vec<RxSocket>> = (0..self.workers).map(|_| Vec::new()).collect();
        for queue in 0..self.queues {
            let sockets = Queue {
                interface: self.name,
                queue,
                workers: self.workers,
                frames: self.frames,
                transfer,
                link: self.start,
                number: interfaces::number(self.name),
            }
            .open()?;
            super::register(steer, queue, &sockets)?;
            for (worker, socket) in by_worker.iter_mut().zip(sockets) {
                worker.push(socket);
            }
        }
        Ok(by_worker)
    }
}

/// Returns the number of receive queues and the MTU; `None` where the driver does not report the queues.
pub fn layout(interface: &Interface) -> Option<(u32, u32)> {
    Some((queues(interface).ok()?, interface.mtu))
}

/// Returns the number of receive queues that an interface uses. Zero, which some virtual drivers report, is an error:
/// nothing would be captured.
pub fn queues(interface: &Interface) -> Result<u32, CaptureError> {
    let queues = match channels(&interface.name) {
        Ok(queues) => queues,
        // Not supported by the driver: all queues count.
        Err(error) if error.raw_os_error() == Some(libc::EOPNOTSUPP) => interface.rx_queues,
        Err(source) => {
            return Err(CaptureError::Channels {
                interface: interface.name.clone(),
                source,
            });
        }
    };
    if queues == 0 {
        return Err(CaptureError::NoQueues {
            interface: interface.name.clone(),
        });
    }
    Ok(queues)
}

/// Returns the receive and combined channels in use (ETHTOOL_GCHANNELS; veth does not support ETHTOOL_GRXRINGS).
fn channels(name: &str) -> io::Result<u32> {
    #[repr(C)]
    #[derive(Default)]
    struct Channels {
        command: u32,
        most: [u32; 4],
        rx: u32,
        tx: u32,
        other: u32,
        combined: u32,
    }
    const GET_CHANNELS: u32 = 0x3c;
    let mut channels = Channels {
        command: GET_CHANNELS,
        ..Channels::default()
    };
    // SAFETY: all zeros are a valid ifreq.
    let mut request: libc::ifreq = unsafe { mem::zeroed() };
    // The last byte stays 0: the name is terminated.
    let most = request.ifr_name.len() - 1;
    for (to, from) in request.ifr_name[..most].iter_mut().zip(name.bytes()) {
        *to = from as libc::c_char;
    }
    request.ifr_ifru.ifru_data = (&raw mut channels).cast();
    let socket = socket_with(
        AddressFamily::INET,
        SocketType::DGRAM,
        SocketFlags::CLOEXEC,
        None,
    )?;
    // SAFETY: SIOCETHTOOL reads the ifreq and, for this command, reads and writes one struct ethtool_channels, which
    // has the layout of `Channels`; both live through the call.
    if unsafe { libc::ioctl(socket.as_raw_fd(), libc::SIOCETHTOOL as _, &raw mut request) } != 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(channels.rx + channels.combined)
}

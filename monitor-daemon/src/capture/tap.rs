//! Capture of the host's own packets: TC programs clone them into a monitor device, and the XDP program there redirects
//! the clones into AF_XDP sockets.
//!
//! A monitor device is a TAP or TUN device. The kernel deletes it, and all that is attached to it, when the descriptor
//! that created it is closed, even by SIGKILL. Interfaces with an Ethernet header use a TAP device. `lo` and interfaces
//! without that header use a TUN device: its MTU of 65535 fits every IP packet, also with segmentation offload, and the
//! kernel removes the header of the clone.
#![expect(unsafe_code, reason = "TUNSETIFF is an ioctl with a struct of its own")]

use std::fs::{File, OpenOptions};
use std::io;
use std::os::fd::AsRawFd;

use monitor_common::LinkType;

use super::bpf::{Hook, Steer, SteerSettings, Tap, TapSettings, XdpMode};
use super::netlink::{self, Interface};
use super::xsk::{Queue, RxSocket, Transfer};
use super::{CaptureError, Settings};

const DEVICE: &str = "/dev/net/tun";
/// Name pattern: the kernel replaces %d by the first free number.
const NAME: &str = "monitord%d";
/// Start of the names of monitor devices.
pub const MONITOR_DEVICE: &str = "monitord";
/// Largest MTU that the kernel permits: IP_MAX_MTU, less the Ethernet header on a TAP device.
const TUN_MTU: u32 = 65535;
const TAP_MTU: u32 = 65521;

/// Returns the link type of the monitor device for an interface: `Ethernet` for a TAP device, `Ip` for a TUN device.
pub fn device_type(interface: &Interface) -> Result<LinkType, CaptureError> {
    let link_type = super::link_type(interface)?;
    Ok(if interface.loopback {
        LinkType::Ip
    } else {
        link_type
    })
}

/// Monitor device with its program. Dropping it detaches the program and deletes the device.
pub struct MonitorDevice {
    /// Program, detached before the device is deleted.
    pub steer: Steer,
    /// Identity of the device.
    pub device: Device,
    _tun: File,
    _relay: Option<File>,
}

/// Identity of a monitor device.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Device {
    /// Name, for example `monitord0`.
    pub name: String,
    /// Interface index.
    pub index: u32,
    /// First header of its clones.
    pub link_type: LinkType,
    /// Name and index of the relay: a second TAP device, where the VLAN tag that the kernel keeps beside a packet is
    /// inserted into the clone. `None` on a TUN device: its packets have no tags.
    pub relay: Option<(String, u32)>,
}

impl MonitorDevice {
    /// Creates a device with `frames` packet buffers, and a socket for each worker.
    pub fn create(
        link_type: LinkType,
        frames: u32,
        settings: &Settings,
    ) -> Result<(Self, Vec<RxSocket>), CaptureError> {
        let (tun, name) = make(link_type).map_err(CaptureError::TunDevice)?;
        let failed = |source| CaptureError::MonitorDevice {
            name: name.clone(),
            source,
        };
        let made = netlink::interface(&name).map_err(failed)?;
        let index = made
            .ok_or_else(|| failed(io::ErrorKind::NotFound.into()))?
            .index;
        let (tun_relay, relay) = if link_type == LinkType::Ethernet {
            let (file, relay) = relay()?;
            (Some(file), Some(relay))
        } else {
            (None, None)
        };
        let device = Device {
            name,
            index,
            link_type,
            relay,
        };
        device.bring_up()?;
        let mut steer = Steer::load(&SteerSettings {
            seed: settings.seed,
            workers: settings.workers.into(),
            queues: 1,
            start: link_type,
            drop_rest: true,
            filter: settings.filter(),
        })?;
        // The program first: with some drivers, a socket that is bound before the program is attached receives no
        // multi-buffer packets.
        steer.attach(&device.name, XdpMode::Generic)?;
        let queue = Queue {
            interface: &device.name,
            queue: 0,
            workers: settings.workers,
            frames,
            transfer: Transfer::Copy,
            link: link_type,
            number: settings.only_interface,
        };
        let sockets = queue.open()?;
        super::register(&mut steer, 0, &sockets)?;
        Ok((
            Self {
                steer,
                device,
                _tun: tun,
                _relay: tun_relay,
            },
            sockets,
        ))
    }
}

impl Device {
    /// Brings the device up with the largest MTU.
    pub fn bring_up(&self) -> Result<(), CaptureError> {
        let mtu = if self.link_type == LinkType::Ip {
            TUN_MTU
        } else {
            TAP_MTU
        };
        let failed = |source| CaptureError::MonitorDevice {
            name: self.name.clone(),
            source,
        };
        netlink::bring_up(self.index, mtu).map_err(failed)
    }
}

/// Tapped interface. Dropping it detaches the programs.
pub struct Tapped {
    /// The programs.
    pub tap: Tap,
    /// Interface index of the monitor device of its clones.
    pub monitor: u32,
}

impl Tapped {
    /// Starts cloning the packets of `interface` into `device`.
    pub fn attach(
        interface: &Interface,
        device: &Device,
        settings: &Settings,
    ) -> Result<Self, CaptureError> {
        let relay = device.relay.as_ref();
        let mut tap = Tap::load(&TapSettings {
            monitor: device.index,
            start: super::link_type(interface)?,
            relay: relay.map(|(_, index)| *index),
            filter: settings.filter(),
        })?;
        if let Some((relay, _)) = relay {
            tap.attach_relay(relay)?;
        }
        tap.attach(&interface.name, Hook::Ingress)?;
        // lo receives all that it sends.
        if !interface.loopback {
            tap.attach(&interface.name, Hook::Egress)?;
        }
        Ok(Self {
            tap,
            monitor: device.index,
        })
    }
}

/// Checks that monitor devices can be created.
pub fn supported() -> io::Result<()> {
    OpenOptions::new()
        .read(true)
        .write(true)
        .open(DEVICE)
        .map(|_| ())
}

/// Creates a relay and brings it up.
fn relay() -> Result<(File, (String, u32)), CaptureError> {
    let (tun, name) = make(LinkType::Ethernet).map_err(CaptureError::TunDevice)?;
    let failed = |source| CaptureError::MonitorDevice {
        name: name.clone(),
        source,
    };
    let made = netlink::interface(&name).map_err(failed)?;
    let index = made
        .ok_or_else(|| failed(io::ErrorKind::NotFound.into()))?
        .index;
    netlink::bring_up(index, TAP_MTU).map_err(failed)?;
    Ok((tun, (name, index)))
}

/// Creates a device, TAP for `Ethernet` and TUN for `Ip`, and returns its name. Closing the file deletes it.
pub fn make(link_type: LinkType) -> io::Result<(File, String)> {
    let file = OpenOptions::new().read(true).write(true).open(DEVICE)?;
    // SAFETY: all zeros are a valid ifreq: an empty name and a union of integers.
    let mut request: libc::ifreq = unsafe { std::mem::zeroed() };
    for (to, from) in request.ifr_name.iter_mut().zip(NAME.bytes()) {
        *to = from as libc::c_char;
    }
    let kind = if link_type == LinkType::Ethernet {
        libc::IFF_TAP
    } else {
        libc::IFF_TUN
    };
    request.ifr_ifru.ifru_flags = (kind | libc::IFF_NO_PI) as libc::c_short;
    // SAFETY: TUNSETIFF reads and writes one ifreq, which lives through the call; the kernel terminates the name.
    let result = unsafe { libc::ioctl(file.as_raw_fd(), libc::TUNSETIFF, &raw mut request) };
    if result != 0 {
        return Err(io::Error::last_os_error());
    }
    let name = request
        .ifr_name
        .iter()
        .take_while(|c| **c != 0)
        .map(|c| char::from(*c as u8))
        .collect();
    Ok((file, name))
}

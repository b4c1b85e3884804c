//! The host's own packets: TC programs clone them into a monitor device, whose ingress is steered into AF_XDP sockets.
//!
//! A monitor device is a TAP or TUN device that lives as long as the descriptor that made it: however this process
//! ends, it is gone, and so is everything attached to it. Interfaces with an Ethernet header get a TAP device. `lo` and
//! interfaces without one get a TUN device: its MTU of 65535 takes every IP packet, however it is segmented, and the
//! kernel takes the header off the clone.
#![expect(unsafe_code, reason = "TUNSETIFF is an ioctl with a struct of its own")]

use std::fs::{File, OpenOptions};
use std::io;
use std::os::fd::AsRawFd;

use monitor_common::LinkType;

use super::bpf::{Hook, Steer, SteerSettings, Tap, TapSettings, XdpMode};
use super::netlink::{self, Header, Interface};
use super::xsk::{Queue, RxSocket, Transfer};
use super::{CaptureError, Settings};

const DEVICE: &str = "/dev/net/tun";
/// The kernel puts the first free number in place of %d.
const NAME: &str = "monitord%d";
/// What the kernel allows: IP_MAX_MTU, less the Ethernet header on a TAP device.
const TUN_MTU: u32 = 65535;
const TAP_MTU: u32 = 65521;

/// Which kind of monitor device takes the clones of an interface.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Layer {
    /// A TAP device: clones keep their Ethernet header.
    Ethernet,
    /// A TUN device: clones start with their IP header.
    Ip,
}

impl Layer {
    /// The device for an interface; an error for one whose packets are not understood.
    pub fn of(interface: &Interface) -> Result<Self, CaptureError> {
        match interface.header {
            Header::Ethernet => Ok(Self::Ethernet),
            Header::Loopback | Header::Ip => Ok(Self::Ip),
            Header::Other(kind) => Err(CaptureError::LinkType {
                interface: interface.name.clone(),
                kind,
            }),
        }
    }

    fn link(self) -> LinkType {
        match self {
            Self::Ethernet => LinkType::Ethernet,
            Self::Ip => LinkType::Ip,
        }
    }
}

/// A monitor device at work. Dropping it detaches the program and removes the device.
pub struct MonitorDevice {
    /// Detached before the device goes.
    pub steer: Steer,
    /// Which one it is.
    pub device: Device,
    _tun: File,
    _relay: Option<File>,
}

/// A monitor device's identity.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Device {
    /// Its name, `monitord0` for example.
    pub name: String,
    /// Its interface index.
    pub index: u32,
    /// What its clones start with.
    pub layer: Layer,
    /// Where clones get back the VLAN tag that the kernel keeps beside a packet, before they come to this device: a
    /// TAP device as well, by name and interface index. `None` without an Ethernet header: there are no tags.
    pub relay: Option<(String, u32)>,
}

impl MonitorDevice {
    /// Makes a device with its sockets, one for each worker; `frames` packet buffers.
    pub fn create(
        layer: Layer,
        frames: u32,
        settings: &Settings,
    ) -> Result<(Self, Vec<RxSocket>), CaptureError> {
        let (tun, name) = make(layer).map_err(CaptureError::TunDevice)?;
        let failed = |source| CaptureError::MonitorDevice {
            name: name.clone(),
            source,
        };
        let made = netlink::interface(&name).map_err(failed)?;
        let index = made
            .ok_or_else(|| failed(io::ErrorKind::NotFound.into()))?
            .index;
        let (tun_relay, relay) = match layer {
            Layer::Ethernet => relay().map(|(file, relay)| (Some(file), Some(relay)))?,
            Layer::Ip => (None, None),
        };
        let device = Device {
            name,
            index,
            layer,
            relay,
        };
        device.bring_up()?;
        let mut steer = Steer::load(&SteerSettings {
            seed: settings.seed,
            workers: settings.workers.into(),
            queues: 1,
            start: layer.link(),
            drop_rest: true,
            filter: settings.filter(),
        })?;
        // The program first: an XDP socket that is bound before its device has a program gets no multi-buffer packets
        // on some drivers.
        steer.attach(&device.name, XdpMode::Generic)?;
        let queue = Queue {
            interface: &device.name,
            queue: 0,
            workers: settings.workers,
            frames,
            transfer: Transfer::Copy,
            link: layer.link(),
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
    /// Makes it take packets, as large ones as it can.
    pub fn bring_up(&self) -> Result<(), CaptureError> {
        let mtu = if self.layer == Layer::Ip {
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

/// An interface whose packets are cloned. Dropping it detaches the programs.
pub struct Tapped {
    /// The programs.
    pub tap: Tap,
    /// Interface index of the monitor device that its clones go into.
    pub monitor: u32,
}

impl Tapped {
    /// Starts cloning the packets of `interface` into `device`.
    pub fn attach(
        interface: &Interface,
        device: &Device,
        settings: &Settings,
    ) -> Result<Self, CaptureError> {
        let start = if interface.header == Header::Ip {
            LinkType::Ip
        } else {
            LinkType::Ethernet
        };
        let relay = device.relay.as_ref();
        let mut tap = Tap::load(&TapSettings {
            monitor: device.index,
            start,
            relay: relay.map(|(_, index)| *index),
            filter: settings.filter(),
        })?;
        if let Some((relay, _)) = relay {
            tap.attach_relay(relay)?;
        }
        tap.attach(&interface.name, Hook::Ingress)?;
        // What lo sends, it receives: once is enough.
        if interface.header != Header::Loopback {
            tap.attach(&interface.name, Hook::Egress)?;
        }
        Ok(Self {
            tap,
            monitor: device.index,
        })
    }
}

/// Whether devices can be made at all.
pub fn supported() -> io::Result<()> {
    OpenOptions::new()
        .read(true)
        .write(true)
        .open(DEVICE)
        .map(|_| ())
}

/// Makes a relay that takes packets.
fn relay() -> Result<(File, (String, u32)), CaptureError> {
    let (tun, name) = make(Layer::Ethernet).map_err(CaptureError::TunDevice)?;
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

/// Makes a device and returns its name. It goes when the file is closed.
pub fn make(layer: Layer) -> io::Result<(File, String)> {
    let file = OpenOptions::new().read(true).write(true).open(DEVICE)?;
    // SAFETY: all zeros are a valid ifreq: an empty name and a union of integers.
    let mut request: libc::ifreq = unsafe { std::mem::zeroed() };
    for (to, from) in request.ifr_name.iter_mut().zip(NAME.bytes()) {
        *to = from as libc::c_char;
    }
    let kind = match layer {
        Layer::Ethernet => libc::IFF_TAP,
        Layer::Ip => libc::IFF_TUN,
    };
    request.ifr_ifru.ifru_flags = (kind | libc::IFF_NO_PI) as libc::c_short;
    // SAFETY: TUNSETIFF reads and writes one ifreq, which lives through the call; the kernel ends the name with 0.
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

//! Errors of starting a live capture.

use std::io;

use super::bpf::BpfError;
use super::xsk::XskError;

/// Reason that an interface, or all of them, cannot be captured.
#[derive(Debug, thiserror::Error)]
pub enum CaptureError {
    /// The kernel was built without AF_XDP.
    #[error(
        "this kernel has no XDP sockets; it needs CONFIG_XDP_SOCKETS; capture files can still be replayed"
    )]
    XdpSockets(#[source] io::Error),
    /// A kernel before 6.6, which has neither TCX nor multi-buffer XDP sockets.
    #[error("XDP in tap mode needs Linux 6.6; set capture.path to \"packet\" or \"auto\"")]
    OldKernel,
    /// No TUN driver, or no access to it.
    #[error(
        "cannot create a monitor device: mode \"tap\" needs CONFIG_TUN and access to /dev/net/tun"
    )]
    TunDevice(#[source] io::Error),
    /// The monitor device could not be set up.
    #[error("cannot set up the monitor device {name}")]
    MonitorDevice {
        /// Its name.
        name: String,
        /// Error of the kernel.
        source: io::Error,
    },
    /// The monitor device was removed and could not be recreated.
    #[error("there is no monitor device to clone packets into")]
    NoMonitor,
    /// A packet socket could not be created or set up.
    #[error("cannot capture {interface} through a packet socket (needs CAP_NET_RAW)")]
    PacketSocket {
        /// Name of the interface, or `any`.
        interface: String,
        /// Error of the kernel.
        source: io::Error,
    },
    /// No interface of that name.
    #[error("there is no interface \"{interface}\"; there are: {}", there.join(", "))]
    NoInterface {
        /// Configured name.
        interface: String,
        /// Names of the existing interfaces.
        there: Vec<String>,
    },
    /// No answer by rtnetlink.
    #[error("cannot read the interfaces from the kernel")]
    Netlink(#[source] io::Error),
    /// Packets start with neither an Ethernet nor an IP header.
    #[error(
        "interface {interface} carries neither Ethernet nor IP (ARPHRD type {kind}): it cannot be monitored"
    )]
    LinkType {
        /// Its name.
        interface: String,
        /// Number in linux/if_arp.h.
        kind: u16,
    },
    /// The driver did not report its queues.
    #[error("cannot read the number of receive queues of {interface}")]
    Channels {
        /// Its name.
        interface: String,
        /// Error of the driver.
        source: io::Error,
    },
    /// The driver reports no receive queue.
    #[error(
        "interface {interface} has no receive queue, so that nothing would be captured; add some with `ethtool -L`"
    )]
    NoQueues {
        /// Its name.
        interface: String,
    },
    /// Packets need several frames, which this kernel does not support.
    #[error(
        "packets of {interface} with an MTU of {mtu} need several frames, and XDP sockets support that from Linux 6.6 on; \
         `ip link set dev {interface} mtu {most}` or less lets XDP capture it"
    )]
    LargeMtu {
        /// Its name.
        interface: String,
        /// Its MTU.
        mtu: u32,
        /// Largest MTU that fits.
        most: u64,
    },
    /// Promiscuous mode, without which packets for other stations are not received.
    #[error("cannot set {interface} to promiscuous mode")]
    Promiscuous {
        /// Its name.
        interface: String,
        /// Error of the kernel.
        source: io::Error,
    },
    /// A socket could not be duplicated for reading its statistics.
    #[error("cannot duplicate an XDP socket's descriptor")]
    Probe(#[source] io::Error),
    /// Error of a BPF program.
    #[error(transparent)]
    Bpf(Box<BpfError>),
    /// Error of an XDP socket.
    #[error(transparent)]
    Xsk(#[from] XskError),
}

impl From<BpfError> for CaptureError {
    fn from(error: BpfError) -> Self {
        Self::Bpf(Box::new(error))
    }
}

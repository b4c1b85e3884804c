//! Why nothing is captured, in sentences that say what is missing.

use std::io;

use super::bpf::BpfError;
use super::xsk::XskError;

/// Why an interface, or all of them, cannot be captured.
#[derive(Debug, thiserror::Error)]
pub enum CaptureError {
    /// The kernel was built without AF_XDP.
    #[error(
        "this kernel has no XDP sockets ({0}): it needs CONFIG_XDP_SOCKETS; capture files can still be replayed"
    )]
    XdpSockets(#[source] io::Error),
    /// No TUN driver, or no access to it.
    #[error(
        "cannot make a monitor device with /dev/net/tun ({0}): mode \"tap\" needs CONFIG_TUN and access to that file"
    )]
    TunDevice(#[source] io::Error),
    /// The monitor device could not be set up.
    #[error("cannot set up the monitor device {name}: {source}")]
    MonitorDevice {
        /// Its name.
        name: String,
        /// What the system said.
        source: io::Error,
    },
    /// It could not be made again after somebody removed it.
    #[error("there is no monitor device to clone packets into")]
    NoMonitor,
    /// No interface of that name.
    #[error("there is no interface \"{interface}\"; there are: {}", there.join(", "))]
    NoInterface {
        /// Asked for.
        interface: String,
        /// The names there are.
        there: Vec<String>,
    },
    /// The kernel did not answer.
    #[error("cannot ask the kernel about interfaces: {0}")]
    Netlink(#[source] io::Error),
    /// Neither Ethernet nor IP.
    #[error(
        "interface {interface} carries neither Ethernet nor IP (ARPHRD type {kind}): it cannot be monitored"
    )]
    LinkType {
        /// Its name.
        interface: String,
        /// As in linux/if_arp.h.
        kind: u16,
    },
    /// The driver does not say how many queues there are.
    #[error("cannot find out how many receive queues {interface} has: {source}")]
    Channels {
        /// Its name.
        interface: String,
        /// What the driver said.
        source: io::Error,
    },
    /// Nothing to read from.
    #[error(
        "interface {interface} says it has no receive queue, so nothing could be captured; set some with `ethtool -L`"
    )]
    NoQueues {
        /// Its name.
        interface: String,
    },
    /// Packets for others would not come in.
    #[error("cannot set {interface} to promiscuous mode: {source}")]
    Promiscuous {
        /// Its name.
        interface: String,
        /// What the system said.
        source: io::Error,
    },
    /// No second handle on a socket, for its statistics.
    #[error("cannot duplicate an XDP socket's descriptor: {0}")]
    Probe(#[source] io::Error),
    /// The BPF programs.
    #[error(transparent)]
    Bpf(Box<BpfError>),
    /// The sockets.
    #[error(transparent)]
    Xsk(#[from] XskError),
}

impl From<BpfError> for CaptureError {
    fn from(error: BpfError) -> Self {
        Self::Bpf(Box::new(error))
    }
}

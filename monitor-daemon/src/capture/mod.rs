//! Captures: the host's own packets ([`tap`]), a mirror port ([`mirror`]), or capture files ([`replay`]).

pub mod bpf;
pub mod checksums;
mod error;
pub mod mirror;
pub mod netlink;
pub mod packet;
pub mod replay;
pub mod socket;
pub mod source;
pub mod statistics;
pub mod tap;
pub mod xsk;

use std::os::fd::AsFd;
use std::time::Duration;

pub use error::CaptureError;
use monitor_common::{LinkType, Prefix, TunnelKinds};

use crate::config::{Config, prefix};
use crate::util::interfaces;

/// Settings common to all interfaces of a capture.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Key of the flow hash.
    pub seed: [u64; 2],
    /// Number of workers.
    pub workers: u16,
    /// Number of the interface if there is only one; 0: several.
    pub only_interface: u16,
    /// Time after which a quiet shunted flow expires: the same as for a monitored connection.
    pub shunt_timeout: Duration,
    ports: Vec<u16>,
    networks: Vec<Prefix>,
    tunnels: TunnelKinds,
}

impl Settings {
    /// Extracts the settings from `config`.
    #[must_use]
    pub fn new(config: &Config, seed: [u64; 2], workers: u16) -> Self {
        Self {
            seed,
            workers,
            only_interface: match config.capture.interfaces.as_slice() {
                [only] if !config.capture.has_several() => interfaces::number(only),
                _ => 0,
            },
            shunt_timeout: config.tcp.idle_timeout.unwrap_or(Duration::MAX),
            ports: config.filter.ports.clone(),
            networks: config.filter.networks.iter().map(prefix).collect(),
            tunnels: config.decode.tunnels,
        }
    }

    /// Returns the filter of the flows to capture.
    #[must_use]
    pub fn filter(&self) -> bpf::CaptureFilter<'_> {
        bpf::CaptureFilter {
            ports: &self.ports,
            networks: &self.networks,
            tunnels: self.tunnels,
        }
    }
}

/// Returns an error if this kernel, or this build, cannot capture live.
pub fn supported() -> Result<(), CaptureError> {
    bpf::available()?;
    xsk::supported().map_err(CaptureError::XdpSockets)
}

/// Returns the first header of an interface's packets, or an error for one that is not supported.
pub fn link_type(interface: &netlink::Interface) -> Result<LinkType, CaptureError> {
    interface.link_type.map_err(|kind| CaptureError::LinkType {
        interface: interface.name.clone(),
        kind,
    })
}

/// Inserts the sockets of a queue, by worker, into the map of the program.
fn register(
    steer: &mut bpf::Steer,
    queue: u32,
    sockets: &[xsk::RxSocket],
) -> Result<(), CaptureError> {
    use source::Source;
    for (worker, socket) in (0..).zip(sockets) {
        steer.set_socket(queue, worker, socket.fd().as_fd())?;
    }
    Ok(())
}

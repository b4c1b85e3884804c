//! Where packets come from: the host itself ([`tap`]), a port ([`mirror`]), files ([`replay`]).

pub mod bpf;
mod error;
pub mod mirror;
pub mod netlink;
pub mod replay;
pub mod source;
pub mod tap;
pub mod xsk;

use std::net::IpAddr;
use std::os::fd::AsFd;
use std::time::Duration;

pub use error::CaptureError;

use crate::config::Config;

/// What all interfaces of a capture have in common.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Key of the flow hash.
    pub seed: [u64; 2],
    /// Among how many workers flows are spread.
    pub workers: u16,
    /// How long a flow that is left alone may be quiet: as long as a connection that is followed.
    pub shunt_timeout: Duration,
    ports: Vec<u16>,
    networks: Vec<(IpAddr, u8)>,
}

impl Settings {
    /// For a capture under `config`.
    #[must_use]
    pub fn new(config: &Config, seed: [u64; 2], workers: u16) -> Self {
        let networks = &config.filter.networks;
        Self {
            seed,
            workers,
            shunt_timeout: config.tcp.idle_timeout.unwrap_or(Duration::MAX),
            ports: config.filter.ports.clone(),
            networks: networks
                .iter()
                .map(|network| (network.addr(), network.prefix_len()))
                .collect(),
        }
    }

    /// What is wanted of them.
    #[must_use]
    pub fn filter(&self) -> bpf::CaptureFilter<'_> {
        bpf::CaptureFilter {
            ports: &self.ports,
            networks: &self.networks,
        }
    }
}

/// Says what this kernel, or this build, lacks for a live capture.
pub fn supported() -> Result<(), CaptureError> {
    bpf::available()?;
    xsk::supported().map_err(CaptureError::XdpSockets)
}

/// Puts the sockets of a queue, by worker, where the program finds them.
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

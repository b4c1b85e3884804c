//! Packet sockets: AF_PACKET with a ring in shared memory, for hosts and interfaces on which XDP does not work.
//!
//! Each worker has a socket. A BPF filter keeps unwanted packets out of its ring, and a BPF fanout program selects the
//! worker by the same hash as `steer`. Packets of segmentation offload arrive whole. A socket is bound to one interface,
//! so that other interfaces cost nothing; beyond [`MOST_BOUND`] interfaces, one group of sockets is bound to all, and
//! the filter selects the interfaces.
//!
//! Needs CAP_NET_RAW, and CAP_BPF for the programs. Without CAP_BPF one worker reads all packets, and its engine filters
//! them.
//!
//! **Invariant:** a socket changes no packet of the host, and ends with its descriptor.

mod options;
mod promiscuous;
mod ring;
mod socket;

use std::io;

use super::bpf::{BpfError, PacketFilter, PacketFilterSettings};
use super::netlink::Interface;
use super::{CaptureError, Settings};
pub use promiscuous::Promiscuous;
pub use socket::{PacketSocket, Probe};

/// Largest number of interfaces with sockets of their own. Each has a ring for each worker, from the same memory.
pub const MOST_BOUND: usize = 8;

/// Least number of blocks in a ring: the kernel fills one while the worker reads another.
const LEAST_BLOCKS: usize = 4;

/// Packets of an interface to capture.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    /// Sent and received (the host's own connections).
    Both,
    /// Received, including packets for other stations (a mirror port).
    Received,
}

/// Group of packet sockets, one for each worker that has one, with their BPF programs. Dropping it leaves the programs
/// to the sockets.
pub struct PacketGroup {
    /// `None` without CAP_BPF.
    filter: Option<PacketFilter>,
    /// At a mirror port.
    promiscuous: Option<Promiscuous>,
}

impl PacketGroup {
    /// Opens sockets on one interface, with rings of `memory` bytes together. Returns them in a list for each worker.
    pub fn open(
        interface: &Interface,
        direction: Direction,
        memory: u64,
        settings: &Settings,
    ) -> Result<(Self, Vec<Vec<PacketSocket>>), CaptureError> {
        let start = super::link_type(interface)?;
        let failed = |source| CaptureError::PacketSocket {
            interface: interface.name.clone(),
            source,
        };
        let filter = load(&PacketFilterSettings {
            start: Some(start),
            ..PacketFilterSettings::new(settings)
        })?;
        let sockets = create(memory, workers(filter.as_ref(), settings)).map_err(failed)?;
        for socket in &sockets {
            // lo receives all that it sends.
            if direction == Direction::Received || interface.loopback {
                options::ignore_outgoing(socket.socket()).map_err(failed)?;
            }
        }
        let promiscuous = match direction {
            Direction::Received => Some(Promiscuous::request(interface)?),
            Direction::Both => None,
        };
        start_group(&sockets, interface.index, filter.as_ref()).map_err(failed)?;
        let group = Self {
            filter,
            promiscuous,
        };
        Ok((group, by_worker(sockets, settings)))
    }

    /// Opens sockets on all interfaces. They receive nothing before [`PacketGroup::add`].
    ///
    /// # Errors
    /// Without CAP_BPF: there is no other way to select the interfaces.
    pub fn open_all(
        memory: u64,
        settings: &Settings,
    ) -> Result<(Self, Vec<Vec<PacketSocket>>), CaptureError> {
        let failed = |source| CaptureError::PacketSocket {
            interface: "any".to_owned(),
            source,
        };
        let filter = PacketFilter::load(&PacketFilterSettings::new(settings))?;
        let sockets = create(memory, settings.workers).map_err(failed)?;
        start_group(&sockets, 0, Some(&filter)).map_err(failed)?;
        let group = Self {
            filter: Some(filter),
            promiscuous: None,
        };
        Ok((group, by_worker(sockets, settings)))
    }

    /// Captures an interface as well, both directions. Only for sockets on all interfaces.
    pub fn add(&mut self, interface: &Interface) -> Result<(), CaptureError> {
        let start = super::link_type(interface)?;
        if let Some(filter) = &mut self.filter {
            filter.add_interface(interface.index, start, interface.loopback)?;
        }
        Ok(())
    }

    /// Stops capturing an interface. Only for sockets on all interfaces.
    pub fn remove(&mut self, index: u32) -> Result<(), CaptureError> {
        if let Some(filter) = &mut self.filter {
            filter.remove_interface(index)?;
        }
        Ok(())
    }

    /// Returns the request for promiscuous mode, if there is one.
    pub fn promiscuous_mut(&mut self) -> Option<&mut Promiscuous> {
        self.promiscuous.as_mut()
    }

    /// Returns the BPF programs; `None` without CAP_BPF.
    pub fn filter(&self) -> Option<&PacketFilter> {
        self.filter.as_ref()
    }

    /// Returns the BPF programs for changes.
    pub fn filter_mut(&mut self) -> Option<&mut PacketFilter> {
        self.filter.as_mut()
    }
}

/// Checks that packet sockets can be created.
pub fn supported() -> Result<(), CaptureError> {
    options::create()
        .map(drop)
        .map_err(|source| CaptureError::PacketSocket {
            interface: "any".to_owned(),
            source,
        })
}

/// Loads the BPF programs; `None` without the privilege.
fn load(settings: &PacketFilterSettings<'_>) -> Result<Option<PacketFilter>, CaptureError> {
    match PacketFilter::load(settings) {
        Ok(filter) => Ok(Some(filter)),
        Err(BpfError::Permission(_)) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

/// Returns the number of sockets. Without a fanout program one worker reads everything: the kernel's own hash sends the
/// fragments of a connection to another worker than its segments.
fn workers(filter: Option<&PacketFilter>, settings: &Settings) -> u16 {
    filter.map_or(1, |_| settings.workers)
}

fn create(memory: u64, workers: u16) -> io::Result<Vec<PacketSocket>> {
    let bytes = usize::try_from(memory).unwrap_or(usize::MAX) / usize::from(workers.max(1));
    let blocks = (bytes / ring::BLOCK_BYTES).max(LEAST_BLOCKS);
    let mut sockets = Vec::with_capacity(workers.into());
    for _ in 0..workers {
        let socket = options::create()?;
        options::refuse_all(&socket)?;
        let ring = options::ring(&socket, blocks)?;
        sockets.push(PacketSocket::new(socket, ring));
    }
    Ok(sockets)
}

/// Binds the sockets and joins them to a group. Only then the filters accept packets, each of which has one socket now.
fn start_group(
    sockets: &[PacketSocket],
    interface: u32,
    filter: Option<&PacketFilter>,
) -> io::Result<()> {
    for socket in sockets {
        options::bind(socket.socket(), interface)?;
    }
    let Some(filter) = filter else {
        return sockets
            .iter()
            .try_for_each(|socket| options::accept_all(socket.socket()));
    };
    if sockets.len() > 1 {
        options::fanout(sockets.iter().map(PacketSocket::socket), filter.fanout()?)?;
    }
    for socket in sockets {
        options::filter(socket.socket(), filter.accept()?)?;
    }
    Ok(())
}

fn by_worker(sockets: Vec<PacketSocket>, settings: &Settings) -> Vec<Vec<PacketSocket>> {
    let mut lists: Vec<_> = sockets.into_iter().map(|socket| vec![socket]).collect();
    lists.resize_with(settings.workers.into(), Vec::new);
    lists
}

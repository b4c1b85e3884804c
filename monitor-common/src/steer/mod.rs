//! Steering of packets: filter verdict and worker, as pure functions of the headers.
//!
//! The `steer` program calls [`decide`], the `tap` program calls [`classify`].

mod hash;

use crate::abi;
use crate::wire::{
    self, Address, Bytes, Datagram, ETHERTYPE_IPV4, ETHERTYPE_IPV6, Error, PROTOCOL_TCP, Vlans,
};
use crate::{LinkType, TunnelKinds};

pub use hash::{address_hash, flow_hash};

/// The flows that are wanted.
pub trait Filter {
    /// Returns whether a flow with this port at one of its ends is wanted. Without a port filter: always.
    fn port(&self, port: u16) -> bool;
    /// Returns whether a flow with this address at one of its ends is wanted. Without a network filter: always.
    fn network(&self, address: &Address) -> bool;
    /// Returns the kinds of tunnels that are wanted.
    #[inline(always)]
    fn tunnels(&self) -> TunnelKinds {
        TunnelKinds::default()
    }
}

/// The filter that wants everything.
#[derive(Clone, Copy, Debug, Default)]
pub struct Everything;

impl Filter for Everything {
    #[inline(always)]
    fn port(&self, _: u16) -> bool {
        true
    }

    #[inline(always)]
    fn network(&self, _: &Address) -> bool {
        true
    }
}

/// The two ends of a wanted packet, as it was sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ends {
    /// A whole TCP segment.
    Flow {
        /// Source.
        src: (Address, u16),
        /// Destination.
        dst: (Address, u16),
        /// VLAN tags and IP version, see [`abi::link`].
        link: u32,
        /// Offset of the TCP header.
        segment: usize,
    },
    /// A fragment of a datagram that may carry TCP. Only the first fragment has ports, so that all of them go by the
    /// address pair, to the worker that puts them together.
    Fragment {
        /// Source.
        src: Address,
        /// Destination.
        dst: Address,
    },
    /// A tunnel's packet. The ends of the tunnel select the worker: then both directions of a connection inside, and all
    /// fragments, meet there. The engine filters the inner packet.
    Tunnel {
        /// Source.
        src: Address,
        /// Destination.
        dst: Address,
    },
}

impl Ends {
    /// The same number for both directions, different for each seed.
    #[inline(always)]
    pub fn hash(&self, seed: [u64; 2]) -> u64 {
        match *self {
            Self::Flow { src, dst, .. } => flow_hash(seed, src, dst),
            Self::Fragment { src, dst } | Self::Tunnel { src, dst } => address_hash(seed, src, dst),
        }
    }
}

/// Why a packet is not monitored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Skip {
    /// Neither IPv4 nor IPv6.
    NotIp,
    /// IP, but not TCP.
    NotTcp,
    /// No end in one of the wanted networks.
    Network,
    /// No end at one of the wanted ports.
    Port,
    /// A header is cut off or contradicts itself.
    Malformed,
    /// More than three VLAN tags, or more extension headers than are walked.
    TooDeep,
}

impl From<Error> for Skip {
    #[inline(always)]
    fn from(error: Error) -> Self {
        match error {
            Error::NotIp => Self::NotIp,
            Error::Truncated | Error::Malformed => Self::Malformed,
            Error::TooManyTags | Error::TooManyExtensions => Self::TooDeep,
        }
    }
}

/// Reads the headers and applies the filter.
///
/// A port filter cannot judge a fragment. Fragments are wanted whenever the networks allow them, and the engine filters
/// the reassembled datagram.
#[inline(always)]
pub fn classify<B: Bytes + ?Sized, F: Filter>(
    bytes: &B,
    start: LinkType,
    filter: &F,
) -> Result<Ends, Skip> {
    let (datagram, vlans) = datagram(bytes, start)?;
    let Datagram {
        src,
        dst,
        protocol,
        payload,
        ..
    } = datagram;
    // A fragmented IPv6 datagram may have extension headers between its fragment header and TCP.
    let hidden =
        datagram.fragment.is_some() && datagram.version == 6 && wire::is_extension_header(protocol);
    if protocol != PROTOCOL_TCP && !hidden {
        return carrier(bytes, &datagram, filter.tunnels());
    }
    if !filter.network(&src) && !filter.network(&dst) {
        return Err(Skip::Network);
    }
    if datagram.fragment.is_some() {
        return Ok(Ends::Fragment { src, dst });
    }
    let (from, to) = wire::ports(bytes, payload)?;
    if !filter.port(from) && !filter.port(to) {
        return Err(Skip::Port);
    }
    let link = abi::link(&vlans, datagram.version);
    Ok(Ends::Flow {
        src: (src, from),
        dst: (dst, to),
        link,
        segment: payload,
    })
}

/// The ends of a datagram that may carry a tunnel of these kinds.
#[inline(always)]
fn carrier<B: Bytes + ?Sized>(
    bytes: &B,
    datagram: &Datagram,
    kinds: TunnelKinds,
) -> Result<Ends, Skip> {
    let (src, dst) = (datagram.src, datagram.dst);
    let protocol = datagram.protocol;
    if datagram.fragment.is_some() {
        // The port of UDP is in the first fragment only.
        if wire::may_be_tunnel(protocol, kinds) {
            return Ok(Ends::Fragment { src, dst });
        }
    } else if wire::is_tunnel(bytes, protocol, datagram.payload, kinds) {
        return Ok(Ends::Tunnel { src, dst });
    }
    Err(Skip::NotTcp)
}

/// [`classify`], and the worker out of `workers` that gets the packet.
#[inline(always)]
pub fn decide<B: Bytes + ?Sized, F: Filter>(
    bytes: &B,
    start: LinkType,
    filter: &F,
    seed: [u64; 2],
    workers: u32,
) -> Result<(Ends, u32), Skip> {
    let ends = classify(bytes, start, filter)?;
    Ok((ends, worker(ends.hash(seed), workers)))
}

/// The worker for a hash: even over `0..workers` without a division. It uses the upper 32 bits, so that the lower
/// ones are still independent among the flows of one worker and may index its hash table. 0 without workers.
#[inline(always)]
pub const fn worker(hash: u64, workers: u32) -> u32 {
    (((hash >> 32) * workers as u64) >> 32) as u32
}

/// The IP datagram in a packet, and its tags. An Ethernet type that its IP version contradicts is not IP.
#[inline(always)]
fn datagram<B: Bytes + ?Sized>(bytes: &B, start: LinkType) -> Result<(Datagram, Vlans), Skip> {
    match start {
        LinkType::Ip => Ok((wire::ip(bytes, 0)?, Vlans::default())),
        LinkType::Ethernet => {
            let ethernet = wire::ethernet(bytes)?;
            let version = match ethernet.ethertype {
                ETHERTYPE_IPV4 => 4,
                ETHERTYPE_IPV6 => 6,
                _ => return Err(Skip::NotIp),
            };
            let datagram = wire::ip(bytes, ethernet.payload)?;
            if datagram.version == version {
                Ok((datagram, ethernet.vlans))
            } else {
                Err(Skip::NotIp)
            }
        }
        // Found in capture files only, which are not steered.
        LinkType::LinuxSll | LinkType::LinuxSll2 | LinkType::Null => Err(Skip::NotIp),
    }
}

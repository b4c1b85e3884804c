//! Interface between the daemon and the BPF programs: names, layouts and meanings of maps, settings and counters.
//!
//! One loaded object serves one interface: its [`Config`] is read-only data that the verifier knows, so that a
//! filter that is off costs nothing, and its maps belong to that interface alone.

mod counters;
mod shunt;

pub use counters::{Count, PacketCount, SteerCount, TapCount};
pub use shunt::{MAX_SHUNTS, ShuntKey, is_v6, link, tagged, tags, tunnel, tunneled, untagged};

/// Most workers that can share one queue: XSKMAP index = queue × `MAX_WORKERS` + worker.
pub const MAX_WORKERS: u32 = 64;

/// The XSKMAP index of the socket that takes the packets of `queue` for `worker`.
///
/// The worker must be less than [`MAX_WORKERS`], or the index would be another queue's.
#[inline(always)]
pub const fn socket_index(queue: u32, worker: u32) -> u32 {
    queue * MAX_WORKERS + worker
}

/// Number of 64-bit words in the bitmap of wanted ports, a bit for each port.
pub const PORT_WORDS: u32 = 1024;

/// Word and bit of a port in the bitmap of wanted ports.
#[inline(always)]
pub const fn port_bit(port: u16) -> (u32, u64) {
    (port as u32 / 64, 1 << (port % 64))
}

/// Most prefixes of a network filter.
pub const MAX_NETWORKS: u32 = 4096;

/// Capacity of the map of networks: while it is updated it holds the old and the new ones, so that any change fits.
pub const NETWORKS_CAPACITY: u32 = 2 * MAX_NETWORKS;

/// The name of each thing in the object.
pub mod names {
    /// XDP program: steers the packets of its interface into AF_XDP sockets.
    pub const STEER: &str = "steer";
    /// TC program: clones the packets of its interface into the monitor device.
    pub const TAP: &str = "tap";
    /// TC program on the relay's ingress: puts a hidden VLAN tag back into the bytes of a clone.
    pub const RETAG: &str = "retag";
    /// Filter of a packet socket: accepts the packets to capture.
    pub const ACCEPT: &str = "accept";
    /// Fanout program of a group of packet sockets: returns the worker of a packet.
    pub const FANOUT: &str = "fanout";
    /// Read-only data: [`Config`](super::Config).
    pub const CONFIG: &str = "CONFIG";
    /// XSKMAP: AF_XDP sockets by [`socket_index`](super::socket_index).
    pub const SOCKETS: &str = "SOCKETS";
    /// Array: bitmap of wanted ports, see [`port_bit`](super::port_bit).
    pub const PORTS: &str = "PORTS";
    /// LPM trie: wanted networks; the key is a 128-bit address, IPv4 mapped.
    pub const NETWORKS: &str = "NETWORKS";
    /// Hash: flows that are shunted, by [`ShuntKey`](super::ShuntKey); the value is when a packet of it was last seen,
    /// nanoseconds of the monotonic clock.
    pub const SHUNTED: &str = "SHUNTED";
    /// Array of one: 0 while there is nothing in [`SHUNTED`]; else for how long a flow may be quiet and still be shunted,
    /// nanoseconds.
    pub const SHUNTING: &str = "SHUNTING";
    /// Per-CPU array: counters of `steer`, by [`SteerCount`](super::SteerCount).
    pub const STEER_COUNTERS: &str = "STEER_COUNTERS";
    /// Per-CPU array: counters of `accept`, by [`PacketCount`](super::PacketCount).
    pub const PACKET_COUNTERS: &str = "PACKET_COUNTERS";
    /// Hash: interfaces of sockets bound to all interfaces; the key is the interface index, the value has the bits of
    /// [`interface`](super::interface).
    pub const INTERFACES: &str = "INTERFACES";
    /// Per-CPU array: counters of `tap` and `retag`, by [`TapCount`](super::TapCount).
    pub const TAP_COUNTERS: &str = "TAP_COUNTERS";
}

/// Largest number of interfaces captured by sockets that are bound to all interfaces.
pub const MAX_INTERFACES: u32 = 4096;

/// Bits of an interface in [`names::INTERFACES`].
pub mod interface {
    /// Its packets start with an IP header, not with Ethernet.
    pub const STARTS_AT_IP: u32 = 1;
    /// Its outgoing packets are ignored: it receives all of them (`lo`).
    pub const IGNORE_OUTGOING: u32 = 1 << 1;
}

/// The settings of the programs of one interface.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C)]
pub struct Config {
    /// Key of the flow hash.
    pub seed: [u64; 2],
    /// The bits of [`option`].
    pub options: u64,
    /// `steer`: among how many workers flows are spread; at most [`MAX_WORKERS`].
    pub workers: u32,
    /// `tap` and `retag`: interface index of the monitor device.
    pub monitor: u32,
    /// `tap`: interface index of the relay, where `retag` is.
    pub relay: u32,
    /// Makes the size a multiple of 8.
    pub reserved: u32,
}

/// The bits of [`Config::options`].
pub mod option {
    /// Packets start with an IP header, not with Ethernet.
    pub const STARTS_AT_IP: u64 = 1;
    /// `steer`: packets that no socket gets are dropped, not passed to the network stack. On a monitor device they
    /// are clones, which the stack must never see.
    pub const DROP_REST: u64 = 1 << 1;
    /// `tap`: clones with a VLAN tag beside the packet go through `retag` on the relay.
    pub const RESTORE_VLAN: u64 = 1 << 2;
    /// Only flows with a port in the bitmap are wanted.
    pub const FILTER_PORTS: u64 = 1 << 3;
    /// Only flows with an end in the networks are wanted.
    pub const FILTER_NETWORKS: u64 = 1 << 4;
    /// `accept` and `fanout`: the socket is bound to all interfaces; those to capture are in a map.
    pub const ALL_INTERFACES: u64 = 1 << 5;
    /// Position of the bits of the wanted tunnel kinds ([`TunnelKinds`](crate::TunnelKinds)).
    pub const TUNNELS_SHIFT: u32 = 8;
}

#[cfg(feature = "user")]
#[expect(
    unsafe_code,
    reason = "aya asks for the promise that the bytes of the value are plain data"
)]
// SAFETY: repr(C), made of integers only, without padding (3 × 8 + 4 × 4 bytes).
unsafe impl aya::Pod for Config {}

//! Settings of an engine.

use monitor_common::wire::Address;

use crate::{OverlapPolicy, Prefix, TunnelKinds};

/// Settings of one engine. Sizes are in bytes, times in nanoseconds of packet time.
#[derive(Clone, Debug, PartialEq)]
pub struct EngineConfig {
    /// Number of this worker, `0..workers`.
    pub worker: u16,
    /// Number of workers that share the traffic.
    pub workers: u16,
    /// Key of the symmetric flow hash, the same as in the BPF program that steers to the workers.
    pub seed: [u64; 2],
    /// Skip packets of flows that belong to another worker (replay: each worker reads the whole file). If false, every packet
    /// is taken, and only reassembled IP datagrams are forwarded to their owner.
    pub only_own: bool,
    /// Budget: all memory that traffic can claim in this engine (stream bytes, records, flow table, queues, fragments).
    pub memory: u64,
    /// Most bytes retained of each side, the newest ones; at most 4 GiB less one.
    pub window: u64,
    /// Number of this run, by which attached processes know it. Random.
    pub instance: u64,
    /// Other processes may attach to the store for reading.
    pub share: bool,
    /// Flows that are followed. (Captures filter earlier, but cannot decide about fragments.)
    pub filter: FlowFilter,
    /// Identity of flows.
    pub flow: FlowConfig,
    /// Kinds of tunnels to follow. The table of tunnels is part of the budget.
    pub tunnels: TunnelKinds,
    /// Settings of TCP.
    pub tcp: TcpConfig,
}

/// Identity of flows besides addresses and ports.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct FlowConfig {
    /// VLAN tags tell no flows apart.
    pub ignore_vlan: bool,
    /// Interfaces tell flows apart. Otherwise one packet may be captured on several interfaces: the copies are
    /// recognized and aren't retransmissions.
    pub separate_interfaces: bool,
}

/// Flows that are followed: those with an end in one of the networks and an end at one of the ports.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct FlowFilter {
    /// Ports; empty: all.
    pub ports: Vec<u16>,
    /// Networks; empty: all.
    pub networks: Vec<Prefix>,
}

/// Settings of TCP. Times are in nanoseconds.
#[derive(Clone, Debug, PartialEq)]
pub struct TcpConfig {
    /// Overlap policy.
    pub overlap: OverlapPolicy,
    /// Exceptions: hosts with another overlap policy.
    pub policies: Vec<TcpPolicy>,
    /// Segments with a wrong TCP or IPv4 header checksum that are dropped.
    pub verify_checksums: VerifyChecksums,
    /// Idle timeout: a connection without a packet for this time is closed. `None`: never.
    pub idle_timeout: Option<u64>,
    /// Time that a closed connection stays readable. `None`: until its memory is needed.
    pub linger: Option<u64>,
    /// Most ranges of a side, out of order or around holes, from 1. Beyond it the lowest hole is declared lost: bounds the
    /// cost of many tiny out-of-order segments, each of which searches them.
    pub max_ranges: usize,
    /// Judge each segment as its receiver would before it counts. Off only where reassembly is compared with a reference
    /// model that has no receiver.
    #[doc(hidden)]
    pub judge: bool,
}

/// Segments whose checksums are verified.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum VerifyChecksums {
    /// None.
    #[default]
    Never,
    /// Those that the capture reports as complete and not verified yet ([`Checksum::Verify`](crate::Checksum::Verify)).
    /// Of the others, some are sent by this host: its network card fills their checksums in, after the capture.
    Reported,
    /// All but those that the capture reports as valid or unfinished.
    Always,
}

/// Overlap policy of the hosts in some networks.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct TcpPolicy {
    /// Networks of the hosts that this is for.
    pub networks: Vec<Prefix>,
    /// Overlap policy of the bytes that these hosts receive.
    pub overlap: OverlapPolicy,
}

impl TcpConfig {
    /// Returns the overlap policy of the bytes that a host receives: that of the first exception with the host.
    #[must_use]
    pub(crate) fn overlap_of(&self, receiver: &Address) -> OverlapPolicy {
        for policy in &self.policies {
            if policy
                .networks
                .iter()
                .any(|prefix| prefix.contains(receiver))
            {
                return policy.overlap;
            }
        }
        self.overlap
    }
}

impl Default for EngineConfig {
    fn default() -> Self {
        Self {
            worker: 0,
            workers: 1,
            seed: [0, 0],
            only_own: false,
            memory: 512 << 20,
            window: 1 << 20,
            instance: 0,
            share: false,
            filter: FlowFilter::default(),
            flow: FlowConfig::default(),
            tunnels: TunnelKinds::default(),
            tcp: TcpConfig::default(),
        }
    }
}

impl Default for TcpConfig {
    fn default() -> Self {
        const SECOND: u64 = 1_000_000_000;
        Self {
            overlap: OverlapPolicy::Linux,
            policies: Vec::new(),
            verify_checksums: VerifyChecksums::Never,
            idle_timeout: Some(600 * SECOND),
            linger: Some(60 * SECOND),
            max_ranges: 1024,
            judge: true,
        }
    }
}

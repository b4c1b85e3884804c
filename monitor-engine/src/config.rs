//! What a worker's engine is told when it is made.

use monitor_common::wire::Address;

use crate::flow::FlowKey;
use crate::store::range_set::MAX_RANGES;
use crate::{OverlapPolicy, Prefix};

/// Settings of one engine. Sizes in bytes, times in nanoseconds of packet time.
#[derive(Clone, Debug, PartialEq)]
pub struct EngineConfig {
    /// This engine's place among its peers, `0..workers`.
    pub worker: u16,
    /// How many engines share the traffic.
    pub workers: u16,
    /// Key of the symmetric flow hash; the BPF program that steers to the engines uses the same.
    pub seed: [u64; 2],
    /// Skip packets whose flow belongs to another worker (replay: each worker walks the whole file).
    /// When false, every packet is taken, and only reassembled IP datagrams are handed on to their owner.
    pub only_own: bool,
    /// All memory that traffic can claim in this engine: stream bytes, flow records, hash table.
    pub memory: u64,
    /// Bytes retained for each side of each connection, the newest ones.
    pub window: u64,
    /// Which flows are followed. (A capture that filters earlier is asked the same again where it could not tell.)
    pub filter: FlowFilter,
    /// How IP fragments are put together.
    pub fragments: FragmentConfig,
    /// How TCP is followed.
    pub tcp: TcpConfig,
}

/// How IP fragments are put together.
#[derive(Clone, Debug, PartialEq)]
pub struct FragmentConfig {
    /// How long a datagram may take, nanoseconds. What Linux allows (net.ipv4.ipfrag_time) is the default.
    pub timeout: u64,
    /// Fragments of one datagram; those beyond are dropped. 64 KiB over the smallest MTU that IPv6 allows are 53; in
    /// IPv4 they could be 1366, but nobody sends such, and each makes the next one dearer.
    pub max: usize,
}

/// The flows that are wanted: those with an end in one of the networks and an end at one of the ports.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct FlowFilter {
    /// Ports; empty: all.
    pub ports: Vec<u16>,
    /// Networks; empty: all.
    pub networks: Vec<Prefix>,
}

impl FlowFilter {
    /// Whether this flow is wanted.
    #[must_use]
    pub(crate) fn wants(&self, key: &FlowKey) -> bool {
        let port = self.ports.is_empty()
            || self.ports.contains(&key.sport)
            || self.ports.contains(&key.dport);
        let network = self.networks.is_empty()
            || self
                .networks
                .iter()
                .any(|prefix| prefix.contains(&key.src) || prefix.contains(&key.dst));
        port && network
    }
}

/// How TCP is followed. Times in nanoseconds.
#[derive(Clone, Debug, PartialEq)]
pub struct TcpConfig {
    /// Whose bytes win where segments overlap and differ.
    pub overlap: OverlapPolicy,
    /// Exceptions to it: hosts whose stack decides otherwise.
    pub policies: Vec<TcpPolicy>,
    /// Drop segments with a wrong TCP or IPv4 header checksum. Never true for packets the host itself sends:
    /// their checksums are filled in by the card, after us.
    pub verify_checksums: bool,
    /// A connection without a packet for so long is closed as timed out. `None`: never.
    pub idle_timeout: Option<u64>,
    /// How long a closed connection stays readable. `None`: until its memory is needed.
    pub linger: Option<u64>,
    /// Runs of received bytes that a side may hold apart from each other (out of order, or around holes). Beyond it
    /// the lowest hole is given up: a sender of endless crumbs must not make every further segment dearer. From 1 to
    /// [`TcpConfig::MOST_RANGES`].
    pub max_ranges: usize,
}

/// How hosts in some networks are followed.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct TcpPolicy {
    /// Networks of the hosts that this is for.
    pub networks: Vec<Prefix>,
    /// Whose bytes win in what these hosts receive.
    pub overlap: OverlapPolicy,
}

impl TcpConfig {
    /// What a side's chain of runs can hold.
    pub const MOST_RANGES: usize = MAX_RANGES;

    /// Whose bytes win in what a host receives: the first of the exceptions that names it says so.
    #[must_use]
    pub(crate) fn overlap_of(&self, receiver: &Address) -> OverlapPolicy {
        let named = |policy: &&TcpPolicy| {
            policy
                .networks
                .iter()
                .any(|prefix| prefix.contains(receiver))
        };
        self.policies
            .iter()
            .find(named)
            .map_or(self.overlap, |policy| policy.overlap)
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
            filter: FlowFilter::default(),
            fragments: FragmentConfig::default(),
            tcp: TcpConfig::default(),
        }
    }
}

impl Default for FragmentConfig {
    fn default() -> Self {
        Self {
            timeout: 30_000_000_000,
            max: 128,
        }
    }
}

impl Default for TcpConfig {
    fn default() -> Self {
        const SECOND: u64 = 1_000_000_000;
        Self {
            overlap: OverlapPolicy::Linux,
            policies: Vec::new(),
            verify_checksums: false,
            idle_timeout: Some(600 * SECOND),
            linger: Some(60 * SECOND),
            max_ranges: 1024,
        }
    }
}

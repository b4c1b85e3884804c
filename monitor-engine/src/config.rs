//! What a worker's engine is told when it is made.

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
    /// How TCP is followed.
    pub tcp: TcpConfig,
}

/// How TCP is followed. Times in nanoseconds.
#[derive(Clone, Debug, PartialEq)]
pub struct TcpConfig {
    /// Whose bytes win where segments overlap and differ.
    pub overlap: OverlapPolicy,
    /// Drop segments with a wrong TCP or IPv4 header checksum. Never true for packets the host itself sends:
    /// their checksums are filled in by the card, after us.
    pub verify_checksums: bool,
    /// A connection without a packet for so long is closed as timed out. `None`: never.
    pub idle_timeout: Option<u64>,
    /// How long a closed connection stays readable. `None`: until its memory is needed.
    pub linger: Option<u64>,
}

/// Whose bytes win where two segments carry different bytes for the same offset.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum OverlapPolicy {
    /// What the Linux receive path does, its queue's merging included.
    #[default]
    Linux,
    /// The first copy to arrive.
    First,
    /// The last copy to arrive, even of bytes already in order.
    Last,
    /// The copy whose segment starts further left; of two that start together, the first.
    Bsd,
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
            tcp: TcpConfig::default(),
        }
    }
}

impl Default for TcpConfig {
    fn default() -> Self {
        const SECOND: u64 = 1_000_000_000;
        Self {
            overlap: OverlapPolicy::Linux,
            verify_checksums: false,
            idle_timeout: Some(600 * SECOND),
            linger: Some(60 * SECOND),
        }
    }
}

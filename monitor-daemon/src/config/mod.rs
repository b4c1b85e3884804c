//! config.toml: settings with their defaults and their checks.
//!
//! Each key's meaning and unit stand in the repository's config.toml; a test holds that file equal to
//! [`Config::default`].

mod change;
mod check;
mod current;
mod error;
mod level;
mod memory;
mod principal;
mod units;

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use ipnet::IpNet;
use monitor_common::Prefix;
use monitor_engine::{EngineConfig, FlowFilter, OverlapPolicy, TcpConfig, TcpPolicy};
use serde::{Deserialize, Serialize};

pub use check::{LEAST_WINDOW, MAX_WORKERS};
pub use current::{ApplyFn, LiveConfig, Source};
pub use error::ConfigError;
pub use memory::TooMuchMemory;
pub use principal::Principal;

/// Read when `--config` is not given and the file exists.
pub const DEFAULT_PATH: &str = "/etc/monitord/config.toml";

/// All settings.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// Where packets come from.
    pub capture: Capture,
    /// Which flows are followed.
    pub filter: Filter,
    /// How TCP is followed.
    pub tcp: Tcp,
    /// Memory.
    pub store: Store,
    /// The socket that clients connect to.
    pub rpc: Rpc,
    /// What is logged.
    pub log: Log,
}

/// Where packets come from.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Capture {
    /// How packets are taken.
    pub mode: Mode,
    /// Path of packets from the kernel.
    pub path: CapturePath,
    /// Names of the interfaces to watch.
    pub interfaces: Vec<String>,
    /// Worker threads; 0: one for each core this process may run on, and one in all for files.
    pub workers: u16,
    /// Packet buffers between kernel and workers (UMEM), bytes, all interfaces and queues together.
    #[serde(with = "units::size")]
    pub buffers: u64,
    /// How long a worker in tap mode lets packets gather once it has taken all there were. `None`: it does not wait.
    #[serde(with = "units::duration")]
    pub nap: Option<Duration>,
    /// Scheduling priority of the workers, as nice(1) has it.
    pub nice: i8,
    /// Whether each worker is bound to a core of its own.
    pub pin: When,
}

/// How packets are taken.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Mode {
    /// The host's own packets are cloned; it keeps the originals.
    #[default]
    Tap,
    /// A SPAN or TAP port: the packets end here.
    Mirror,
}

/// Path of packets from the kernel.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum CapturePath {
    /// XDP where it works, else packet sockets.
    #[default]
    Auto,
    /// XDP programs and AF_XDP sockets.
    Xdp,
    /// AF_PACKET sockets.
    Packet,
}

/// Which flows are followed; the others are counted and left alone.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Filter {
    /// Only flows with one of these ports; empty: all.
    pub ports: Vec<u16>,
    /// Only flows with an end in one of these prefixes; empty: all.
    #[serde(with = "units::prefixes")]
    pub networks: Vec<IpNet>,
}

/// How TCP is followed.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Tcp {
    /// Whose bytes win where segments overlap and differ.
    pub overlap: Overlap,
    /// Whether segments with a wrong checksum are dropped.
    pub verify_checksums: When,
    /// A connection without a packet for so long is closed. `None`: never.
    #[serde(with = "units::duration")]
    pub idle_timeout: Option<Duration>,
    /// How long a closed connection stays readable. `None`: until its memory is needed.
    #[serde(with = "units::duration")]
    pub linger: Option<Duration>,
    /// Hosts that are followed otherwise; the first entry that names a host counts.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub policy: Vec<Policy>,
}

/// How hosts in some networks are followed.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Policy {
    /// The hosts that this is for.
    #[serde(with = "units::prefixes")]
    pub networks: Vec<IpNet>,
    /// Whose bytes win where segments that these hosts receive overlap and differ.
    pub overlap: Overlap,
}

/// [`OverlapPolicy`] as it is written in the file.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Overlap {
    /// What the Linux receive path does.
    #[default]
    Linux,
    /// The first copy to arrive.
    First,
    /// The last copy to arrive.
    Last,
    /// The copy whose segment starts further left.
    Bsd,
}

/// For what is right at a mirror port, and not elsewhere.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum When {
    /// In mirror mode only.
    #[default]
    Auto,
    /// In every mode.
    Always,
    /// In no mode.
    Never,
}

/// Memory.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Store {
    /// All stream bytes and flow records of all workers, bytes.
    #[serde(with = "units::size")]
    pub memory: u64,
    /// Retained for each side of each connection, the newest bytes.
    #[serde(with = "units::size")]
    pub window: u64,
}

/// The socket that clients connect to.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Rpc {
    /// Its path.
    pub socket: PathBuf,
    /// Its permission bits.
    #[serde(with = "units::mode")]
    pub mode: u32,
    /// Group of the socket file, by name or number; empty: the daemon's own.
    pub group: String,
    /// Who may look; empty: everybody who can open the socket.
    pub readers: Vec<Principal>,
    /// Who may change something, beside the daemon's own user; may look as well.
    pub admins: Vec<Principal>,
    /// Memory of everything that clients make the daemon hold: replies in flight, queues and patterns, bytes. One user
    /// holds at most half.
    #[serde(with = "units::size")]
    pub memory: u64,
}

/// What is logged, to standard error.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Log {
    /// A level or a filter of the tracing crate; the environment variable `RUST_LOG` wins over it.
    pub level: String,
}

/// The kind of packets an engine is going to get; decides what `"auto"` means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Origin {
    /// From interfaces, as `[capture] mode` says.
    Live,
    /// From files: each worker walks all of them and skips what is not its own.
    Files,
}

impl Config {
    /// The settings of the file named on the command line, else of [`DEFAULT_PATH`] if it exists, else the defaults.
    pub fn find(named: Option<&Path>) -> Result<Self, ConfigError> {
        match named {
            Some(path) => Self::load(path),
            None if Path::new(DEFAULT_PATH).exists() => Self::load(Path::new(DEFAULT_PATH)),
            None => Ok(Self::default()),
        }
    }

    /// The settings of a file, checked.
    pub fn load(path: &Path) -> Result<Self, ConfigError> {
        let text = fs::read_to_string(path).map_err(|source| ConfigError::Read {
            path: path.to_owned(),
            source,
        })?;
        Self::parse(&text, &path.display().to_string())
    }

    /// The settings in `text`, checked; `name` is what messages call it.
    pub fn parse(text: &str, name: &str) -> Result<Self, ConfigError> {
        let config: Self =
            toml::from_str(text).map_err(|e| ConfigError::from_toml(name, text, &e))?;
        config.check().map_err(|reason| ConfigError::Range {
            name: name.to_owned(),
            reason,
        })?;
        Ok(config)
    }

    /// Whether workers are bound to cores. At a mirror port, whose packets keep a core busy all by themselves, each has
    /// one. In tap mode they share the cores with the programs that they watch, and go where there is room: a kernel
    /// that is not preemptible lets a program send for 200 ms before it gives the core to anybody.
    #[must_use]
    pub fn pins(&self, origin: Origin) -> bool {
        self.capture.pin.holds(origin, self.capture.mode)
    }

    /// What the engine of one of `workers` workers is told. `seed` keys the flow hash.
    #[must_use]
    pub fn engine(
        &self,
        origin: Origin,
        worker: u16,
        workers: u16,
        seed: [u64; 2],
    ) -> EngineConfig {
        EngineConfig {
            worker,
            workers,
            seed,
            only_own: origin == Origin::Files,
            memory: self.store.memory / u64::from(workers.max(1)),
            window: self.store.window,
            filter: self.filter.flows(),
            tcp: TcpConfig {
                overlap: self.tcp.overlap.into(),
                policies: self.tcp.policy.iter().map(Policy::engine).collect(),
                // Packets of the host itself get theirs from the card, after us; public captures are full of wrong ones.
                verify_checksums: self.tcp.verify_checksums.holds(origin, self.capture.mode),
                idle_timeout: self.tcp.idle_timeout.map(nanoseconds),
                linger: self.tcp.linger.map(nanoseconds),
                ..TcpConfig::default()
            },
        }
    }
}

impl Filter {
    /// As the engine asks it.
    fn flows(&self) -> FlowFilter {
        FlowFilter {
            ports: self.ports.clone(),
            networks: self.networks.iter().map(prefix).collect(),
        }
    }
}

impl Policy {
    /// As the engine is told.
    fn engine(&self) -> TcpPolicy {
        TcpPolicy {
            networks: self.networks.iter().map(prefix).collect(),
            overlap: self.overlap.into(),
        }
    }
}

/// Returns a network in the 128-bit form.
pub(crate) fn prefix(network: &IpNet) -> Prefix {
    let len = match network {
        IpNet::V4(v4) => 96 + v4.prefix_len(),
        IpNet::V6(v6) => v6.prefix_len(),
    };
    Prefix::masked(network.addr().into(), len)
}

impl Mode {
    /// The word clients see.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Mode::Tap => "tap",
            Mode::Mirror => "mirror",
        }
    }
}

impl From<Overlap> for OverlapPolicy {
    fn from(overlap: Overlap) -> Self {
        match overlap {
            Overlap::Linux => Self::Linux,
            Overlap::First => Self::First,
            Overlap::Last => Self::Last,
            Overlap::Bsd => Self::Bsd,
        }
    }
}

impl When {
    fn holds(self, origin: Origin, mode: Mode) -> bool {
        match self {
            Self::Auto => origin == Origin::Live && mode == Mode::Mirror,
            Self::Always => true,
            Self::Never => false,
        }
    }
}

impl Default for Capture {
    fn default() -> Self {
        Self {
            mode: Mode::default(),
            path: CapturePath::default(),
            interfaces: vec!["lo".to_owned()],
            workers: 0,
            buffers: 32 << 20,
            nap: Some(Duration::from_micros(100)),
            nice: -10,
            pin: When::default(),
        }
    }
}

impl Default for Tcp {
    fn default() -> Self {
        Self {
            overlap: Overlap::default(),
            verify_checksums: When::default(),
            idle_timeout: Some(Duration::from_secs(600)),
            linger: Some(Duration::from_secs(60)),
            policy: Vec::new(),
        }
    }
}

impl Default for Store {
    fn default() -> Self {
        Self {
            memory: 512 << 20,
            window: 1 << 20,
        }
    }
}

impl Default for Rpc {
    fn default() -> Self {
        Self {
            socket: PathBuf::from(monitor_rpc::DEFAULT_SOCKET),
            mode: 0o660,
            group: String::new(),
            readers: Vec::new(),
            admins: vec![Principal::User("root".to_owned())],
            memory: 512 << 20,
        }
    }
}

impl Default for Log {
    fn default() -> Self {
        Self {
            level: "info".to_owned(),
        }
    }
}

/// Checked to be years at most, so nothing is cut off.
fn nanoseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests;

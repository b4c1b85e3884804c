//! Settings of config.toml, with defaults and checks.
//!
//! The repository's config.toml documents each key with its unit. A test compares its values with [`Config::default`].

mod change;
mod check;
mod current;
mod engine;
mod error;
mod level;
mod memory;
mod principal;
mod units;

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use ipnet::IpNet;
use monitor_engine::TunnelKinds;
use serde::{Deserialize, Serialize};

pub use check::{LEAST_WINDOW, MAX_WORKERS, is_pattern};
pub use current::{ApplyFn, ConfigSource, LiveConfig};
pub(crate) use engine::prefix;
pub use error::ConfigError;
pub use memory::TooMuchMemory;
pub use principal::Principal;

/// File that is read without `--config`, if it exists.
pub const DEFAULT_PATH: &str = "/etc/monitord/config.toml";

/// All settings.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// Source of packets.
    pub capture: Capture,
    /// Flows that are followed.
    pub filter: FilterSettings,
    /// Identity of flows.
    pub flow: FlowSettings,
    /// Decoding of packets.
    pub decode: DecodeSettings,
    /// Behaviour of TCP connections.
    pub tcp: Tcp,
    /// Memory.
    pub store: Store,
    /// The socket that clients connect to.
    pub rpc: Rpc,
    /// Logging.
    pub log: Log,
}

/// Section `[capture]`: source of packets.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Capture {
    /// Kind of the interfaces.
    pub mode: Mode,
    /// Path of packets from the kernel.
    pub path: CapturePath,
    /// Names of the interfaces to watch, or patterns of names (`*`, `?`, `[...]`).
    pub interfaces: Vec<String>,
    /// Worker threads; 0: one for each core this process may run on, and one in all for files.
    pub workers: u16,
    /// Packet buffers between kernel and workers (UMEM), bytes, all interfaces and queues together.
    #[serde(with = "units::size")]
    pub buffers: u64,
    /// Coalescing delay of a worker in tap mode, after it has taken all packets. `None`: it doesn't wait.
    #[serde(with = "units::duration")]
    pub nap: Option<Duration>,
    /// Scheduling priority of the workers, as nice(1) has it.
    pub nice: i8,
    /// Binding of each worker to a core of its own.
    pub pin: When,
}

/// Kind of the interfaces.
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

/// Section `[filter]`: flows that are followed. The others are only counted.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct FilterSettings {
    /// Only flows with one of these ports; empty: all.
    pub ports: Vec<u16>,
    /// Only flows with an end in one of these prefixes; empty: all.
    #[serde(with = "units::prefixes")]
    pub networks: Vec<IpNet>,
}

/// Section `[flow]`: identity of flows besides addresses and ports.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct FlowSettings {
    /// VLAN tags.
    pub vlan: FlowVlan,
    /// Interfaces.
    pub interface: FlowInterface,
}

/// Meaning of VLAN tags.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum FlowVlan {
    /// Flows with other tags are other flows.
    #[default]
    Separate,
    /// Tags are ignored.
    Ignore,
}

/// Meaning of the interface where a packet is captured.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum FlowInterface {
    /// A packet may cross several interfaces; its copies are recognized.
    #[default]
    Merge,
    /// Flows of other interfaces are other flows.
    Separate,
}

/// Section `[decode]`: decoding of packets.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct DecodeSettings {
    /// Kinds of tunnels to follow.
    #[serde(with = "units::tunnels")]
    pub tunnels: TunnelKinds,
}

/// Section `[tcp]`: behaviour of TCP connections.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Tcp {
    /// Overlap policy: choice of bytes where segments overlap and differ.
    pub overlap: Overlap,
    /// Dropping of segments with a wrong checksum.
    pub verify_checksums: When,
    /// Time without a packet after which a connection is closed. `None`: never.
    #[serde(with = "units::duration")]
    pub idle_timeout: Option<Duration>,
    /// Time for which a closed connection stays readable. `None`: until its memory is needed.
    #[serde(with = "units::duration")]
    pub linger: Option<Duration>,
    /// Exceptions for hosts; the first entry that contains a host counts.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub policy: Vec<Policy>,
}

/// Exception for the hosts of some networks.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Policy {
    /// Networks of the hosts.
    #[serde(with = "units::prefixes")]
    pub networks: Vec<IpNet>,
    /// Overlap policy for segments that these hosts receive.
    pub overlap: Overlap,
}

/// [`OverlapPolicy`] in the notation of the file.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Overlap {
    /// The choice of the Linux receive path.
    #[default]
    Linux,
    /// The first copy to arrive.
    First,
    /// The last copy to arrive.
    Last,
    /// The copy whose segment starts further left.
    Bsd,
}

/// Switch for behaviour that suits a mirror port. In tap mode, `Auto` verifies the checksums that the capture knows to be
/// complete.
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

/// Section `[store]`: memory.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Store {
    /// All stream bytes and flow records of all workers, bytes.
    #[serde(with = "units::size")]
    pub memory: u64,
    /// Retained for each side of each connection, the newest bytes.
    #[serde(with = "units::size")]
    pub window: u64,
    /// The memory may be mapped by clients, those in `[rpc] attach`.
    pub share: bool,
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
    /// Users and groups that may read; empty: all that can open the socket.
    pub readers: Vec<Principal>,
    /// Users and groups that may read and change, beside the daemon's own user.
    pub admins: Vec<Principal>,
    /// Users and groups that may attach to the store, beside the admins: its memory shows everything.
    pub attach: Vec<Principal>,
    /// Memory of everything that clients make the daemon hold: replies in flight, queues and patterns, bytes. One user
    /// holds at most half.
    #[serde(with = "units::size")]
    pub memory: u64,
}

/// Section `[log]`: messages to standard error.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Log {
    /// A level or a filter of the tracing crate; the environment variable `RUST_LOG` wins over it.
    pub level: String,
}

/// Origin of an engine's packets; decides the meaning of `"auto"`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Origin {
    /// Interfaces, in the mode of `[capture] mode`.
    Live,
    /// Files: each worker reads all of them and skips packets of other workers.
    Files,
}

impl Config {
    /// Returns the settings of a named file, else of [`DEFAULT_PATH`] if it exists, else the defaults.
    pub fn find(named: Option<&Path>) -> Result<Self, ConfigError> {
        match named {
            Some(path) => Self::load(path),
            None if Path::new(DEFAULT_PATH).exists() => Self::load(Path::new(DEFAULT_PATH)),
            None => Ok(Self::default()),
        }
    }

    /// Reads and checks the settings of a file.
    pub fn load(path: &Path) -> Result<Self, ConfigError> {
        let text = fs::read_to_string(path).map_err(|source| ConfigError::Read {
            path: path.to_owned(),
            source,
        })?;
        Self::parse(&text, &path.display().to_string())
    }

    /// Parses and checks the settings in `text`; messages call it `name`.
    pub fn parse(text: &str, name: &str) -> Result<Self, ConfigError> {
        let config: Self =
            toml::from_str(text).map_err(|e| ConfigError::from_toml(name, text, &e))?;
        config.check().map_err(|reason| ConfigError::Range {
            name: name.to_owned(),
            reason,
        })?;
        Ok(config)
    }
}

impl Mode {
    /// Returns the word that clients see.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Mode::Tap => "tap",
            Mode::Mirror => "mirror",
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
            share: false,
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
            attach: Vec::new(),
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

#[cfg(test)]
mod tests;

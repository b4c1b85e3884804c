//! Settings, from a TOML file. relay.toml documents every key.

use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Deserializer};

/// Settings of the relay.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// Connection to the daemon.
    pub monitor: Monitor,
    /// Metrics.
    pub metrics: Metrics,
    /// Fleet.
    #[cfg(feature = "fleet")]
    pub fleet: Fleet,
    /// Log.
    pub log: Log,
}

/// Connection to the daemon.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Monitor {
    /// Path of its socket.
    pub socket: PathBuf,
}

/// Metrics.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Metrics {
    /// Listeners; empty: none.
    #[serde(deserialize_with = "one_or_more")]
    pub listen: Vec<Listen>,
}

/// Fleet.
#[cfg(feature = "fleet")]
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Fleet {
    /// Address of the NATS server; `None`: the relay is in no fleet.
    pub url: Option<crate::fleet::access::Url>,
    /// Name of this host in the fleet; by default the name of the system up to its first dot.
    pub host: Option<String>,
    /// File with credentials.
    pub credentials: Option<PathBuf>,
    /// File with certificates of authorities.
    pub ca: Option<PathBuf>,
    /// File with this relay's certificate.
    pub cert: Option<PathBuf>,
    /// File with its key.
    pub key: Option<PathBuf>,
    /// Methods of admins that are allowed nevertheless: `stop`, `configure`, `config.test`.
    pub allow: Vec<String>,
    /// Kinds of events that are published.
    pub events: Vec<monitor_client::types::EventKind>,
    /// Directory of the records that wait for the server.
    pub spool: PathBuf,
    /// Maximum size of these records.
    #[serde(deserialize_with = "size")]
    pub spool_size: bytesize::ByteSize,
}

/// Log.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Log {
    /// Least level that is logged.
    pub level: Level,
}

/// Level of the log.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
#[expect(missing_docs, reason = "the names are those of the settings")]
pub enum Level {
    Error,
    Warn,
    #[default]
    Info,
    Debug,
    Trace,
}

/// Address of a listener.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Listen {
    /// Address and port.
    Tcp(SocketAddr),
    /// Path of a Unix socket.
    Unix(PathBuf),
}

/// Error of the settings.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The file cannot be read.
    #[error("cannot read {}", path.display())]
    Read {
        /// Path of the file.
        path: PathBuf,
        /// Error of the system.
        source: io::Error,
    },
    /// The text is wrong. The line itself isn't quoted: it may hold a password.
    #[error("{}:{line}: {reason}", path.display())]
    Parse {
        /// Path of the file.
        path: PathBuf,
        /// Number of the line.
        line: usize,
        /// Reason, which names the key.
        reason: String,
    },
    /// A listener that other hosts could reach would not be encrypted.
    #[error(
        "metrics.listen: {0} can be reached by other hosts, and metrics are not encrypted: use a loopback address or a \
         Unix socket, behind a proxy with TLS"
    )]
    Exposed(SocketAddr),
    /// A setting of the fleet is wrong.
    #[error("fleet.{key}: {reason}")]
    Fleet {
        /// Key of the setting.
        key: &'static str,
        /// Reason and remedy.
        reason: String,
    },
}

impl Default for Monitor {
    fn default() -> Self {
        Self {
            socket: monitor_client::DEFAULT_SOCKET.into(),
        }
    }
}

impl Default for Metrics {
    fn default() -> Self {
        Self {
            listen: vec![Listen::Tcp(SocketAddr::from(([127, 0, 0, 1], 9464)))],
        }
    }
}

#[cfg(feature = "fleet")]
impl Default for Fleet {
    fn default() -> Self {
        use monitor_client::types::EventKind;
        Self {
            url: None,
            host: None,
            credentials: None,
            ca: None,
            cert: None,
            key: None,
            allow: Vec::new(),
            events: vec![
                EventKind::Opened,
                EventKind::Established,
                EventKind::Gap,
                EventKind::Filled,
                EventKind::Conflict,
                EventKind::Closed,
                EventKind::Evicted,
            ],
            spool: "/var/lib/monitor-relay".into(),
            spool_size: bytesize::ByteSize::mib(256),
        }
    }
}

#[cfg(feature = "fleet")]
impl Fleet {
    /// Returns the name of this host in the fleet.
    #[must_use]
    pub fn host(&self) -> String {
        self.host.clone().unwrap_or_else(|| {
            let system = rustix::system::uname();
            let name = system.nodename().to_string_lossy();
            name.split('.').next().unwrap_or_default().to_owned()
        })
    }

    /// Returns the means to connect to the server.
    #[must_use]
    pub fn access(&self) -> crate::fleet::access::Access {
        crate::fleet::access::Access {
            url: self.url.clone().unwrap_or_default(),
            credentials: self.credentials.clone(),
            ca: self.ca.clone(),
            cert: self.cert.clone(),
            key: self.key.clone(),
        }
    }

    fn check(&self) -> Result<(), ConfigError> {
        use monitor_client::Method;

        use crate::fleet::subjects::{CONTROL, is_host};
        let wrong = |key, reason: String| Err(ConfigError::Fleet { key, reason });
        let names = CONTROL.map(Method::name);
        if let Some(name) = self
            .allow
            .iter()
            .find(|name| !names.contains(&name.as_str()))
        {
            return wrong(
                "allow",
                format!("\"{name}\" is none of {}", names.join(", ")),
            );
        }
        if self.cert.is_some() != self.key.is_some() {
            return wrong("cert", "cert and key must be given together".to_owned());
        }
        let host = self.host();
        if self.url.is_some() && !is_host(&host) {
            let allowed = "1 to 63 letters, digits, - or _, and not \"all\"";
            return wrong("host", format!("\"{host}\" cannot be a name: {allowed}"));
        }
        Ok(())
    }
}

/// Reads a size with a unit.
#[cfg(feature = "fleet")]
fn size<'de, D: Deserializer<'de>>(deserializer: D) -> Result<bytesize::ByteSize, D::Error> {
    let text = String::deserialize(deserializer)?;
    text.parse().map_err(|_| {
        serde::de::Error::custom(format!(
            "fleet.spool_size: \"{text}\" is not a size like \"256MiB\""
        ))
    })
}

impl Level {
    /// Returns its name in the settings.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Level::Error => "error",
            Level::Warn => "warn",
            Level::Info => "info",
            Level::Debug => "debug",
            Level::Trace => "trace",
        }
    }
}

impl Config {
    /// Reads a file.
    ///
    /// # Errors
    /// The file is unreadable, or a setting is wrong.
    pub fn read(path: &Path) -> Result<Self, ConfigError> {
        let text = std::fs::read_to_string(path).map_err(|source| ConfigError::Read {
            path: path.to_path_buf(),
            source,
        })?;
        let config: Self = toml::from_str(&text).map_err(|error| {
            let at = error.span().map_or(0, |span| span.start.min(text.len()));
            ConfigError::Parse {
                path: path.to_path_buf(),
                line: 1 + text.as_bytes()[..at]
                    .iter()
                    .filter(|&&byte| byte == b'\n')
                    .count(),
                reason: error.message().to_owned(),
            }
        })?;
        config.check()?;
        Ok(config)
    }

    fn check(&self) -> Result<(), ConfigError> {
        for listen in &self.metrics.listen {
            if let Listen::Tcp(address) = listen
                && !address.ip().is_loopback()
            {
                return Err(ConfigError::Exposed(*address));
            }
        }
        #[cfg(feature = "fleet")]
        self.fleet.check()?;
        Ok(())
    }
}

/// Reads a listener, or a list of them.
fn one_or_more<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<Listen>, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum OneOrMore {
        One(String),
        More(Vec<String>),
    }
    let texts = match OneOrMore::deserialize(deserializer)? {
        OneOrMore::One(text) => vec![text],
        OneOrMore::More(texts) => texts,
    };
    texts
        .iter()
        .map(|text| parse_listen(text).map_err(serde::de::Error::custom))
        .collect()
}

fn parse_listen(text: &str) -> Result<Listen, String> {
    match text.strip_prefix("unix:") {
        Some(path) if path.starts_with('/') => Ok(Listen::Unix(path.into())),
        Some(_) => Err(format!("metrics.listen: \"{text}\": the path must start with /")),
        None => text.parse().map(Listen::Tcp).map_err(|_| {
            format!(
                "metrics.listen: \"{text}\" is neither an address with a port (127.0.0.1:9464) nor unix:/PATH"
            )
        }),
    }
}

#[cfg(test)]
#[path = "config_tests.rs"]
mod tests;

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
    pub url: Option<String>,
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
    /// Methods that change something and are allowed nevertheless: `stop`, `configure`.
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
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Log {
    /// Least level that is logged.
    pub level: String,
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
    /// The text is wrong; the source names the key and the line.
    #[error("{}", path.display())]
    Parse {
        /// Path of the file.
        path: PathBuf,
        /// Error of the TOML reader.
        source: Box<toml::de::Error>,
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
        use crate::fleet::subjects::{CONTROL, is_host};
        let wrong = |key, reason: String| Err(ConfigError::Fleet { key, reason });
        if let Some(name) = self
            .allow
            .iter()
            .find(|name| !CONTROL.contains(&name.as_str()))
        {
            return wrong(
                "allow",
                format!("\"{name}\" is neither \"stop\" nor \"configure\""),
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

impl Default for Log {
    fn default() -> Self {
        Self {
            level: "info".to_owned(),
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
        let config: Self = toml::from_str(&text).map_err(|source| ConfigError::Parse {
            path: path.to_path_buf(),
            source: Box::new(source),
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
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<Config, String> {
        let config: Config = toml::from_str(text).map_err(|error| error.to_string())?;
        config.check().map_err(|error| error.to_string())?;
        Ok(config)
    }

    #[test]
    fn the_example_file_shows_the_defaults() {
        let example = include_str!("../relay.toml");
        assert_eq!(parse(example).unwrap(), Config::default());
    }

    #[test]
    fn an_unknown_key_is_named() {
        for (text, key) in [
            ("[metrics]\nlissten = []", "lissten"),
            ("[monitor]\nsock = 'x'", "sock"),
            ("[metric]\n", "metric"),
        ] {
            let error = parse(text).unwrap_err();
            assert!(error.contains(&format!("`{key}`")), "{error}");
        }
    }

    #[cfg(feature = "fleet")]
    #[test]
    fn wrong_settings_of_the_fleet_are_named() {
        for (settings, key) in [
            ("allow = ['ppeek']", "fleet.allow"),
            ("cert = 'c.pem'", "fleet.cert"),
            ("url = 'nats://h'\nhost = 'a.b'", "fleet.host"),
            ("spool_size = 'much'", "fleet.spool_size"),
            ("events = ['opening']", "opening"),
        ] {
            let error = parse(&format!("[fleet]\n{settings}")).unwrap_err();
            assert!(error.contains(key), "{error}");
        }
    }

    #[test]
    fn listeners_are_loopback_addresses_and_unix_sockets() {
        let listen = |value: &str| {
            Ok::<_, String>(
                parse(&format!("[metrics]\nlisten = {value}"))?
                    .metrics
                    .listen,
            )
        };
        let tcp = Listen::Tcp("[::1]:9464".parse().unwrap());
        assert_eq!(listen("'[::1]:9464'").unwrap(), std::slice::from_ref(&tcp));
        let unix = Listen::Unix("/run/m.sock".into());
        assert_eq!(
            listen("['[::1]:9464', 'unix:/run/m.sock']").unwrap(),
            [tcp, unix]
        );
        assert!(
            listen("'0.0.0.0:9464'")
                .unwrap_err()
                .contains("other hosts")
        );
        assert!(
            listen("'unix:m.sock'")
                .unwrap_err()
                .contains("start with /")
        );
        assert!(listen("'9464'").unwrap_err().contains("neither"));
    }
}

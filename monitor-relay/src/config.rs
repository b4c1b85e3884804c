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

//! Connection to the NATS server: address, credentials and TLS.

use std::fmt;
use std::io;
use std::path::PathBuf;
use std::time::{Duration, SystemTime};

use async_nats::{Client, ConnectError, ConnectOptions, Event};
use serde::Deserialize;

/// Longest pause between two attempts to reconnect.
const LONGEST_PAUSE: Duration = Duration::from_secs(4);

/// Address of the NATS server: `nats://HOST:PORT` or `tls://HOST:PORT`. A user and a password, or a token, may precede the
/// host; they aren't displayed.
///
/// ```
/// use monitor_relay::fleet::access::Url;
///
/// let url = Url::from("tls://relay:secret@hub:4222");
/// assert_eq!(url.to_string(), "tls://hub:4222");
/// assert_eq!(format!("{url:?}"), "\"tls://hub:4222\"");
/// ```
#[derive(Clone, Default, PartialEq, Eq, Deserialize)]
pub struct Url(String);

impl<T: Into<String>> From<T> for Url {
    fn from(text: T) -> Self {
        Self(text.into())
    }
}

impl fmt::Display for Url {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (scheme, rest) = self.0.split_once("://").unwrap_or(("nats", &self.0));
        // The last one, since a password that is not encoded may hold others.
        let host = rest.rsplit_once('@').map_or(rest, |(_, host)| host);
        write!(f, "{scheme}://{host}")
    }
}

impl fmt::Debug for Url {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "\"{self}\"")
    }
}

/// Address of the NATS server, and the means to be admitted.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Access {
    /// Address.
    pub url: Url,
    /// File with credentials: a `.creds` file, or the seed of an nkey.
    pub credentials: Option<PathBuf>,
    /// File with certificates of authorities (PEM), in place of the system's.
    pub ca: Option<PathBuf>,
    /// File with the certificate of this end (PEM).
    pub cert: Option<PathBuf>,
    /// File with its key (PEM).
    pub key: Option<PathBuf>,
}

/// Failure to connect to the NATS server.
#[derive(Debug, thiserror::Error)]
pub enum AccessError {
    /// The server is unreachable, or refuses.
    #[error("cannot connect to {url}")]
    Connect {
        /// Address.
        url: Url,
        /// Reason.
        source: ConnectError,
    },
    /// The file with the credentials is unusable.
    #[error("cannot use the credentials in {}", path.display())]
    Credentials {
        /// Path of the file.
        path: PathBuf,
        /// Reason.
        source: io::Error,
    },
}

impl Access {
    /// Returns whether TLS is configured.
    #[must_use]
    pub fn is_encrypted(&self) -> bool {
        self.url.0.starts_with("tls://") || self.ca.is_some() || self.cert.is_some()
    }

    /// Connects. The client reconnects by itself, with pauses that grow and differ between hosts.
    ///
    /// # Errors
    /// The credentials are unreadable, or the server refuses. With `patient`, an unreachable server isn't an error: the
    /// client attempts to connect in the background. `on_event` is called when the connection changes, and for the server's
    /// refusals.
    pub async fn connect<F>(
        &self,
        name: &str,
        patient: bool,
        on_event: F,
    ) -> Result<Client, AccessError>
    where
        F: Fn(Event) + Send + Sync + 'static,
    {
        let mut options = ConnectOptions::new()
            .name(name)
            .reconnect_delay_callback(pause)
            .connection_timeout(Duration::from_secs(5))
            .event_callback(move |event| {
                on_event(event);
                std::future::ready(())
            });
        if patient {
            options = options.retry_on_initial_connect();
        }
        if self.is_encrypted() {
            options = options.require_tls(true);
        }
        if let Some(ca) = &self.ca {
            options = options.add_root_certificates(ca.clone());
        }
        if let (Some(cert), Some(key)) = (&self.cert, &self.key) {
            options = options.add_client_certificate(cert.clone(), key.clone());
        }
        if let Some(path) = &self.credentials {
            options = self.with_credentials(options, path).map_err(|source| {
                let path = path.clone();
                AccessError::Credentials { path, source }
            })?;
        }
        let connected = options.connect(&self.url.0).await;
        connected.map_err(|source| AccessError::Connect {
            url: self.url.clone(),
            source,
        })
    }

    fn with_credentials(
        &self,
        options: ConnectOptions,
        path: &PathBuf,
    ) -> io::Result<ConnectOptions> {
        let text = std::fs::read_to_string(path)?;
        if text.contains("BEGIN NATS USER JWT") {
            return options.credentials(&text);
        }
        let seed = text
            .lines()
            .map(str::trim)
            .find(|line| line.starts_with("SU"));
        let seed =
            seed.ok_or_else(|| io::Error::other("neither a .creds file nor the seed of an nkey"))?;
        Ok(options.nkey(seed.to_owned()))
    }
}

/// Returns the pause before an attempt. A random part keeps the relays of a fleet apart after the server was away.
fn pause(attempts: usize) -> Duration {
    if attempts <= 1 {
        return Duration::ZERO;
    }
    let doublings = attempts.min(8) as u32;
    let base = (Duration::from_millis(25) * 2_u32.pow(doublings)).min(LONGEST_PAUSE);
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    let random = f64::from(since.map_or(0, |time| time.subsec_nanos()) % 1000) / 1000.0;
    base.mul_f64(0.5 + random / 2.0)
}

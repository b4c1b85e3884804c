//! The settings in force: their source, and changes while the daemon runs.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use monitor_rpc::types::Change;
use serde_json::{Map, Value};
use tokio::sync::Notify;

use super::change::{self, SettingScope};
use super::{Config, ConfigError, DEFAULT_PATH};

/// Largest file of settings. They have a few KiB; a larger one is something else.
const LARGEST: u64 = 1 << 20;

/// Source of settings, at the start and at each reload.
#[derive(Clone, Debug, Default)]
pub struct ConfigSource {
    /// The file named on the command line.
    file: Option<PathBuf>,
    /// The socket named on the command line; it wins over the file.
    socket: Option<PathBuf>,
}

/// Function that applies changed settings to a running part of the daemon.
pub type ApplyFn = Box<dyn Fn(&Config) + Send + Sync>;

/// The settings in force, with the functions that apply changes.
#[derive(Default)]
pub struct LiveConfig {
    source: ConfigSource,
    config: Mutex<Config>,
    log: Option<ApplyFn>,
    flows: Option<ApplyFn>,
    reload: Notify,
}

impl ConfigSource {
    /// Takes the file and the socket named on the command line.
    #[must_use]
    pub fn new(file: Option<&Path>, socket: Option<&Path>) -> Self {
        // The working directory may change.
        let absolute = |path: &Path| std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
        Self {
            file: file.map(absolute),
            socket: socket.map(Path::to_owned),
        }
    }

    /// Reads the file; without a named one and without [`DEFAULT_PATH`], returns the built-in settings.
    pub fn read(&self) -> Result<Config, ConfigError> {
        Config::find(self.file.as_deref()).map(|config| self.complete(config))
    }

    /// Parses a text in place of the file.
    pub fn parse(&self, text: &str, name: &str) -> Result<Config, ConfigError> {
        Config::parse(text, name).map(|config| self.complete(config))
    }

    /// Reads another file.
    pub fn read_from(&self, file: &Path) -> Result<Config, ConfigError> {
        // Not a device or a pipe, which may have no end.
        if fs::metadata(file).is_ok_and(|metadata| !metadata.is_file() || metadata.len() > LARGEST)
        {
            let source = io::Error::other("this is no file of settings");
            return Err(ConfigError::Read {
                path: file.to_owned(),
                source,
            });
        }
        Config::load(file).map(|config| self.complete(config))
    }

    /// Returns the file that is read; `None` when there is none.
    #[must_use]
    pub fn file(&self) -> Option<&Path> {
        self.file
            .as_deref()
            .or_else(|| Some(Path::new(DEFAULT_PATH)).filter(|path| path.exists()))
    }

    fn complete(&self, mut config: Config) -> Config {
        if let Some(socket) = &self.socket {
            config.rpc.socket.clone_from(socket);
        }
        config
    }
}

impl LiveConfig {
    /// Takes settings that were just read. Until a part of the daemon registers, only the server's own can change.
    #[must_use]
    pub fn new(source: ConfigSource, config: Config) -> Self {
        Self {
            source,
            config: Mutex::new(config),
            log: None,
            flows: None,
            reload: Notify::new(),
        }
    }

    /// Registers the log: `[log]` can change.
    #[must_use]
    pub fn with_log(self, log: Option<ApplyFn>) -> Self {
        Self { log, ..self }
    }

    /// Registers the workers: `[filter]` and `[tcp]` can change.
    #[must_use]
    pub fn with_flows(self, flows: ApplyFn) -> Self {
        Self {
            flows: Some(flows),
            ..self
        }
    }

    /// Requests that the server reads the settings again. Concurrent requests are merged.
    pub fn request_reload(&self) {
        self.reload.notify_one();
    }

    /// Waits for a request to read the settings again. Cancel safe.
    pub async fn reload_requested(&self) {
        self.reload.notified().await;
    }

    /// Returns the source.
    #[must_use]
    pub fn source(&self) -> &ConfigSource {
        &self.source
    }

    /// Returns the settings by section and key, in the notation of the file.
    #[must_use]
    pub fn sections(&self) -> Map<String, Value> {
        change::sections(&self.now())
    }

    /// Returns the changes that `new` would make.
    #[must_use]
    pub fn changes(&self, new: &Config) -> Vec<Change> {
        change::changes(&self.now(), new, &self.there())
    }

    /// Applies those settings of `new` that can be applied, except for the server's. Returns the settings in force from then
    /// on, and the changes. To be called by one thread at a time; may wait for the workers.
    pub fn install(&self, new: &Config) -> (Config, Vec<Change>) {
        let old = self.now();
        let changes = change::changes(&old, new, &self.there());
        let now = change::applied(&old, &changes).unwrap_or_else(|error| {
            tracing::error!(%error, "the new settings cannot be merged with the old; the old ones stay");
            old.clone()
        });
        *self.config.lock().unwrap_or_else(PoisonError::into_inner) = now.clone();
        if let Some(log) = self.log.as_ref().filter(|_| now.log != old.log) {
            log(&now);
        }
        let flows = |config: &Config| (config.filter.clone(), config.tcp.clone());
        if let Some(take) = self.flows.as_ref().filter(|_| flows(&now) != flows(&old)) {
            take(&now);
        }
        (now, changes)
    }

    fn now(&self) -> Config {
        self.config
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    fn there(&self) -> Vec<SettingScope> {
        let log = self.log.as_ref().map(|_| SettingScope::Log);
        let flows = self.flows.as_ref().map(|_| SettingScope::Flows);
        log.into_iter()
            .chain(flows)
            .chain([SettingScope::Server])
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::AtomicUsize;
    use std::sync::atomic::Ordering::Relaxed;

    use monitor_rpc::types::Applies;

    use super::*;

    #[test]
    fn the_file_is_read_again_and_the_command_line_wins() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("c.toml");
        fs::write(&file, "[rpc]\nsocket = '/elsewhere'\n").unwrap();
        let source = ConfigSource::new(Some(&file), Some(Path::new("/here")));
        let config = source.read().unwrap();
        assert_eq!(config.rpc.socket, Path::new("/here"));
        let current = LiveConfig::new(source, config);
        fs::write(&file, "[rpc]\nmemory = 7000000\n").unwrap();
        let new = current.source().read().unwrap();
        let changes = current.changes(&new);
        assert_eq!(
            changes
                .iter()
                .map(|change| change.key.as_str())
                .collect::<Vec<_>>(),
            ["rpc.memory"]
        );
        fs::remove_file(&file).unwrap();
        assert!(
            current.source().read().is_err(),
            "a file that was named is not given up silently"
        );
    }

    #[test]
    fn only_changes_are_applied_and_only_by_registered_parts() {
        let taken = Arc::new([AtomicUsize::new(0), AtomicUsize::new(0)]);
        let take = |index: usize| -> ApplyFn {
            let taken = Arc::clone(&taken);
            Box::new(move |_| {
                taken[index].fetch_add(1, Relaxed);
            })
        };
        let counts = || [taken[0].load(Relaxed), taken[1].load(Relaxed)];
        let new = Config::parse("[log]\nlevel = 'debug'\n[tcp]\nlinger = '5s'\n", "t").unwrap();
        let current =
            LiveConfig::new(ConfigSource::default(), Config::default()).with_log(Some(take(0)));
        let (now, changes) = current.install(&new);
        assert_eq!(counts(), [1, 0]);
        assert_eq!((&now.log, &now.tcp), (&new.log, &Config::default().tcp));
        assert_eq!(
            changes.iter().map(|c| c.applies).collect::<Vec<_>>(),
            [Applies::Restart, Applies::Now]
        );
        let current = current.with_flows(take(1));
        let (now, changes) = current.install(&new);
        assert_eq!((counts(), changes.len()), ([1, 1], 1));
        assert_eq!(now, new);
        assert_eq!((current.install(&new).1.len(), counts()), (0, [1, 1]));
    }
}

//! The capture to check: that of the running daemon, or of a configuration file.

use std::fs;
use std::path::Path;

use monitor_client::types::Stats;
use monitor_client::{Client, Error};
use serde_json::Value;

use super::report::Report;
use crate::context;
use crate::failure::Failure;

/// Settings that the checks depend on.
#[derive(Debug, PartialEq, Eq)]
pub struct Target {
    /// `tap` or `mirror`.
    pub mode: String,
    /// `auto`, `xdp` or `packet`.
    pub path: String,
    pub interfaces: Vec<String>,
    /// `store.memory` and `capture.buffers` in bytes.
    pub memory: u64,
    /// Process id of the running daemon.
    pub pid: Option<u32>,
}

impl Default for Target {
    fn default() -> Self {
        Self {
            mode: "tap".to_owned(),
            path: "auto".to_owned(),
            interfaces: vec!["lo".to_owned()],
            memory: (512 << 20) + (32 << 20),
            pid: None,
        }
    }
}

impl Target {
    /// Returns the settings of the file if there is one, else those of the running daemon, else the defaults.
    pub fn find(socket: &Path, file: Option<&Path>, report: &mut Report) -> Result<Self, Failure> {
        let mut target = Self::default();
        if let Some(file) = file {
            let text =
                fs::read_to_string(file).map_err(|source| Failure::file("read", file, source))?;
            let config: Value = toml::from_str(&text).map_err(|_| {
                Failure::Usage("the file is not TOML; `monitord --check-config` names the line")
            })?;
            target.apply(&config);
        }
        match context::connect(socket) {
            Ok(client) => target.ask(client, file.is_none(), report),
            Err(Error::Connect { .. }) => {
                report.unknown("daemon", format!("none listens on {}", socket.display()));
            }
            Err(error) => report.unknown("daemon", Failure::from(error).message()),
        }
        Ok(target)
    }

    fn ask(&mut self, mut client: Client, use_its_settings: bool, report: &mut Report) {
        match client.hello(concat!("monitorctl ", env!("CARGO_PKG_VERSION"), " doctor")) {
            Ok(hello) => {
                self.pid = Some(hello.pid);
                report.ok("daemon", format!("{}, process {}", hello.server, hello.pid));
            }
            Err(error) => report.unknown("daemon", Failure::from(error).message()),
        }
        if use_its_settings && let Ok(settings) = client.config_get() {
            self.apply(&Value::Object(settings.config));
        }
        match client.stats() {
            Ok(stats) => capture(&stats, report),
            Err(error) => report.unknown("capture", Failure::from(error).message()),
        }
    }

    fn apply(&mut self, config: &Value) {
        let text = |section: &str, key: &str| config[section][key].as_str().map(str::to_owned);
        if let Some(mode) = text("capture", "mode") {
            self.mode = mode;
        }
        if let Some(path) = text("capture", "path") {
            self.path = path;
        }
        if let Some(names) = config["capture"]["interfaces"].as_array() {
            let names = names.iter().filter_map(Value::as_str);
            self.interfaces = names.map(str::to_owned).collect();
        }
        let size = |section: &str, key: &str, default: u64| {
            text(section, key)
                .and_then(|size| crate::values::size(&size).ok())
                .unwrap_or(default)
        };
        self.memory = size("store", "memory", 512 << 20) + size("capture", "buffers", 32 << 20);
    }
}

/// Reports the state of a running capture.
fn capture(stats: &Stats, report: &mut Report) {
    for interface in &stats.capture.interfaces {
        let check = format!("{}: capture", interface.name);
        let path = interface.path.as_deref().unwrap_or("file");
        let xdp = interface.xdp.as_deref().map(|xdp| format!(" ({xdp})"));
        let found = format!("path {path}{}", xdp.unwrap_or_default());
        if interface.up || stats.capture.mode == "replay" {
            report.ok(&check, found);
        } else {
            report.problem(
                &check,
                "no packets are captured",
                "read the daemon's log: `journalctl -u monitord`",
            );
        }
    }
    let lost = ["rx_dropped", "rx_ring_full", "device_dropped"];
    let counters = &stats.capture.counters;
    let lost: u64 = lost.iter().filter_map(|name| counters.get(name)).sum();
    if lost == 0 {
        report.ok("losses", "no packet was lost");
    } else {
        report.warning(
            "losses",
            format!("{lost} packets were lost since the start"),
            "raise capture.buffers, or leave the workers more processor time (capture.nice)",
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_of_a_file_replace_the_defaults() {
        let mut target = Target::default();
        let config =
            "[capture]\nmode = 'mirror'\ninterfaces = ['a', 'b']\n[store]\nmemory = '1GiB'";
        target.apply(&toml::from_str(config).unwrap());
        let expected = Target {
            mode: "mirror".to_owned(),
            interfaces: vec!["a".to_owned(), "b".to_owned()],
            memory: (1 << 30) + (32 << 20),
            ..Target::default()
        };
        assert_eq!(target, expected);
    }
}

//! Differences between two configurations, and which of them can be applied while the daemon runs.

use monitor_rpc::types::{Applies, Change};
use serde_json::{Map, Value};

use super::Config;

/// Part of the daemon that a setting belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum SettingScope {
    /// The start of the daemon: the setting never changes later.
    Start,
    /// The log.
    Log,
    /// The engines, and the filter of a live capture.
    Flows,
    /// The server, for clients that are connected as well as for those to come.
    Server,
}

/// Every key. A test compares this list with the settings, so that a new one is not forgotten.
const SCOPES: &[(&str, SettingScope)] = &[
    ("capture.mode", SettingScope::Start),
    ("capture.path", SettingScope::Start),
    ("capture.interfaces", SettingScope::Start),
    ("capture.workers", SettingScope::Start),
    ("capture.buffers", SettingScope::Start),
    ("capture.nap", SettingScope::Start),
    ("capture.nice", SettingScope::Start),
    ("capture.pin", SettingScope::Start),
    ("filter.ports", SettingScope::Flows),
    ("filter.networks", SettingScope::Flows),
    ("flow.vlan", SettingScope::Start),
    ("flow.interface", SettingScope::Start),
    ("decode.tunnels", SettingScope::Start),
    ("tcp.overlap", SettingScope::Flows),
    ("tcp.policy", SettingScope::Flows),
    ("tcp.verify_checksums", SettingScope::Flows),
    ("tcp.idle_timeout", SettingScope::Flows),
    ("tcp.linger", SettingScope::Flows),
    ("store.memory", SettingScope::Start),
    ("store.window", SettingScope::Start),
    ("store.share", SettingScope::Start),
    ("rpc.socket", SettingScope::Start),
    ("rpc.mode", SettingScope::Start),
    ("rpc.group", SettingScope::Start),
    ("rpc.readers", SettingScope::Server),
    ("rpc.admins", SettingScope::Server),
    ("rpc.attach", SettingScope::Server),
    ("rpc.memory", SettingScope::Server),
    ("log.level", SettingScope::Log),
];

impl SettingScope {
    /// Returns the scope of a key. An unknown one waits for the next start.
    fn of(key: &str) -> Self {
        SCOPES
            .iter()
            .find(|(own, _)| *own == key)
            .map_or(SettingScope::Start, |(_, taker)| *taker)
    }
}

/// Returns the differences from `old` to `new` in the order of their keys. Those of the given scopes apply now.
pub(super) fn changes(old: &Config, new: &Config, there: &[SettingScope]) -> Vec<Change> {
    let (old, new) = (values(old), values(new));
    let both = old.into_iter().zip(new).map(|((key, from), (_, to))| {
        let applies = if there.contains(&SettingScope::of(&key)) {
            Applies::Now
        } else {
            Applies::Restart
        };
        Change {
            key,
            from,
            to,
            applies,
        }
    });
    both.filter(|change| change.from != change.to).collect()
}

/// Returns `old` with those of the changes that apply now.
pub(super) fn applied(old: &Config, changes: &[Change]) -> Result<Config, serde_json::Error> {
    let mut sections = sections(old);
    for change in changes
        .iter()
        .filter(|change| change.applies == Applies::Now)
    {
        if let Some((section, key)) = change.key.split_once('.')
            && let Some(Value::Object(section)) = sections.get_mut(section)
        {
            section.insert(key.to_owned(), change.to.clone());
        }
    }
    serde_json::from_value(Value::Object(sections))
}

/// Returns the settings in the notation of the file, by section and key.
pub(super) fn sections(config: &Config) -> Map<String, Value> {
    match serde_json::to_value(config) {
        Ok(Value::Object(sections)) => sections,
        // A configuration is made of sections, and each value in it has a form in the file.
        _ => Map::new(),
    }
}

/// Returns every setting as `section.key` with its value. The keys are the same for all configurations.
fn values(config: &Config) -> Vec<(String, Value)> {
    let mut sections = sections(config);
    let mut values = Vec::with_capacity(SCOPES.len());
    for (key, _) in SCOPES {
        let Some((section, name)) = key.split_once('.') else {
            continue;
        };
        let value = sections.get_mut(section).and_then(|s| s.get_mut(name));
        // Lists of tables are left out when they are empty.
        let value = value.map_or(Value::Array(Vec::new()), Value::take);
        values.push(((*key).to_owned(), value));
    }
    values
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use serde_json::json;

    use super::*;

    const ALL: &[SettingScope] = &[SettingScope::Log, SettingScope::Flows, SettingScope::Server];

    fn parsed(text: &str) -> Config {
        Config::parse(text, "test.toml").unwrap()
    }

    #[test]
    fn every_setting_has_its_taker() {
        let with_policy = parsed("[[tcp.policy]]\nnetworks = ['::/0']\noverlap = 'bsd'\n");
        let mut keys = BTreeSet::new();
        for (section, table) in sections(&with_policy) {
            keys.extend(
                table
                    .as_object()
                    .unwrap()
                    .keys()
                    .map(|key| format!("{section}.{key}")),
            );
        }
        let listed: BTreeSet<_> = SCOPES.iter().map(|(key, _)| (*key).to_owned()).collect();
        assert_eq!(
            listed, keys,
            "SCOPES (left) says for each setting (right) whether it can change while we run"
        );
        assert_eq!(listed.len(), SCOPES.len(), "a setting is listed twice");
    }

    #[test]
    fn changes_are_named_with_both_values_and_when_they_apply() {
        let new = parsed(
            "[filter]\nports = [80]\n[store]\nwindow = '2MiB'\n[tcp]\nlinger = 'off'\n\
             [[tcp.policy]]\nnetworks = ['10.0.0.0/8']\noverlap = 'bsd'\n",
        );
        let found = changes(&Config::default(), &new, ALL);
        let brief: Vec<_> = found
            .iter()
            .map(|c| (c.key.as_str(), c.from.clone(), c.to.clone(), c.applies))
            .collect();
        let policy = json!([{ "networks": ["10.0.0.0/8"], "overlap": "bsd" }]);
        assert_eq!(
            brief,
            [
                ("filter.ports", json!([]), json!([80]), Applies::Now),
                ("tcp.policy", json!([]), policy, Applies::Now),
                ("tcp.linger", json!("1m"), json!("off"), Applies::Now),
                (
                    "store.window",
                    json!("1MiB"),
                    json!("2MiB"),
                    Applies::Restart
                ),
            ]
        );
        let running = applied(&Config::default(), &found).unwrap();
        assert_eq!(
            running,
            Config {
                store: Config::default().store,
                ..new.clone()
            }
        );
        assert_eq!(
            changes(&running, &new, ALL).len(),
            1,
            "what waits for a start is said again"
        );
    }

    #[test]
    fn without_a_taker_a_change_waits() {
        let new = parsed("[filter]\nports = [80]\n[rpc]\nreaders = ['alice', 7, '@10']\n");
        let found = changes(&Config::default(), &new, &[SettingScope::Server]);
        assert_eq!(
            found.iter().map(|c| c.applies).collect::<Vec<_>>(),
            [Applies::Restart, Applies::Now]
        );
        assert_eq!(found[1].to, json!(["alice", "7", "@10"]));
        let running = applied(&Config::default(), &found).unwrap();
        assert_eq!(
            (running.filter, running.rpc),
            (Config::default().filter, new.rpc)
        );
    }

    #[test]
    fn the_reference_names_each_setting_and_when_it_applies() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/rpc.md");
        let text = std::fs::read_to_string(path).unwrap();
        let (_, section) = text.split_once("\n### `config.reload`\n").unwrap();
        let (section, _) = section.split_once("\n### ").unwrap();
        let (_, rest) = section.split_once("Settings that apply at once:").unwrap();
        let (now, restart) = rest.split_once("All other settings").unwrap();
        let first_column = now.lines().filter_map(|line| line.split('|').nth(1));
        let now: String = first_column.collect();
        let names = |text: &str, key: &str| {
            let section = key.split('.').next().unwrap();
            text.contains(&format!("`{key}`")) || text.contains(&format!("`{section}.*`"))
        };
        for (key, taker) in SCOPES {
            let at_start = *taker == SettingScope::Start;
            assert_eq!(
                (names(&now, key), names(restart, key)),
                (!at_start, at_start),
                "{key}"
            );
        }
    }
}

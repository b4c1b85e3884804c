//! Errors in a configuration, as sentences that name the key.

use std::io;
use std::path::PathBuf;

use serde_json::{Map, Value};
use toml::de::{DeTable, DeValue};

use super::change::sections;
use super::{Config, Overlap, Policy};

/// Reason that a configuration was refused.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The file could not be read.
    #[error("cannot read the configuration {}", path.display())]
    Read {
        /// Path of the file.
        path: PathBuf,
        /// The system's error.
        source: io::Error,
    },
    /// Not TOML, an unknown key, or a value of the wrong kind.
    #[error("{name}, line {line}: {message}")]
    Syntax {
        /// The file.
        name: String,
        /// Counted from 1.
        line: usize,
        /// Key and problem.
        message: String,
    },
    /// A value that cannot work.
    #[error("{name}: {reason}")]
    Range {
        /// The file.
        name: String,
        /// Key and problem.
        reason: String,
    },
}

/// Key in a file, with the table around it.
struct Place<'t> {
    /// Header of the table, as it is written; empty above the first.
    header: String,
    /// Names of the tables, and the key.
    path: Vec<&'t str>,
    /// The position is at the key, not at its value.
    is_key: bool,
}

impl ConfigError {
    pub(super) fn from_toml(name: &str, text: &str, error: &toml::de::Error) -> Self {
        let at = error.span().map_or(0, |span| span.start.min(text.len()));
        let table = DeTable::parse(text);
        let place = table
            .as_ref()
            .ok()
            .and_then(|table| Place::find(table.get_ref(), at, &[], ""));
        let message = match place {
            // The only error at a key is that it is unknown.
            Some(place) if place.is_key => place.describe_unknown(),
            Some(Place { header, path, .. }) => {
                let key = path.last().copied().unwrap_or_default();
                let place = format!("{header} {key}: {}", error.message());
                place.trim_start().to_owned()
            }
            None => error.message().to_owned(),
        };
        Self::Syntax {
            name: name.to_owned(),
            line: text[..at].matches('\n').count() + 1,
            message,
        }
    }
}

impl<'t> Place<'t> {
    /// Finds the key at an offset of the file, or the one with the value there.
    fn find(table: &'t DeTable<'_>, at: usize, outer: &[&'t str], header: &str) -> Option<Self> {
        for (key, value) in table {
            let path: Vec<&str> = outer
                .iter()
                .copied()
                .chain([key.get_ref().as_ref()])
                .collect();
            let is_key = key.span().contains(&at);
            let inside = match value.get_ref() {
                _ if is_key => None,
                DeValue::Table(table) => {
                    Self::find(table, at, &path, &format!("[{}]", path.join(".")))
                }
                DeValue::Array(items) => items.iter().find_map(|item| {
                    let header = format!("[[{}]]", path.join("."));
                    Self::find(item.get_ref().as_table()?, at, &path, &header)
                }),
                _ => None,
            };
            if inside.is_some() {
                return inside;
            }
            if is_key || value.span().contains(&at) {
                return Some(Self {
                    header: header.to_owned(),
                    path,
                    is_key,
                });
            }
        }
        None
    }

    fn describe_unknown(&self) -> String {
        // Below this similarity a suggestion confuses more than it helps.
        const ALIKE: f64 = 0.7;
        let (Some((key, tables)), known) = (self.path.split_last(), known_keys()) else {
            return String::new();
        };
        let known = tables.iter().try_fold(&known, |known, table| {
            let table = known.get(*table)?;
            table.get(0).unwrap_or(table).as_object()
        });
        let known: Vec<&String> = known.into_iter().flat_map(Map::keys).collect();
        let place = match self.header.as_str() {
            "" => String::new(),
            header => format!(" in {header}"),
        };
        let nearest = known
            .iter()
            .map(|name| (strsim::jaro_winkler(name, key), name))
            .filter(|(alike, _)| *alike > ALIKE)
            .max_by(|a, b| a.0.total_cmp(&b.0));
        match nearest {
            Some((_, name)) => format!("unknown key \"{key}\"{place}; did you mean \"{name}\"?"),
            None => {
                let known: Vec<&str> = known.into_iter().map(String::as_str).collect();
                format!(
                    "unknown key \"{key}\"{place}; known are {}",
                    known.join(", ")
                )
            }
        }
    }
}

/// Returns every key, in the form of the file; lists of tables have one element.
fn known_keys() -> Map<String, Value> {
    let mut config = Config::default();
    config.tcp.policy.push(Policy {
        networks: Vec::new(),
        overlap: Overlap::default(),
    });
    sections(&config)
}

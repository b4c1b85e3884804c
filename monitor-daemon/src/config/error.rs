//! Errors in a configuration, as sentences that name the key.

use std::io;
use std::path::PathBuf;

/// Reason that a configuration was refused.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The file could not be read.
    #[error("cannot read the configuration {}: {source}", path.display())]
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

impl ConfigError {
    pub(super) fn from_toml(name: &str, text: &str, error: &toml::de::Error) -> Self {
        let at = error.span().map_or(0, |span| span.start.min(text.len()));
        let line = text[..at].matches('\n').count() + 1;
        let message = match unknown_key(error.message()) {
            Some((key, known)) => describe_unknown(&section(text, line), key, &known),
            None => {
                let key = text.lines().nth(line - 1).and_then(|l| l.split_once('='));
                let place = key.map_or(String::new(), |(key, _)| {
                    format!("{} {}: ", section(text, line), key.trim())
                        .trim_start()
                        .to_owned()
                });
                format!("{place}{}", error.message())
            }
        };
        Self::Syntax {
            name: name.to_owned(),
            line,
            message,
        }
    }
}

/// Returns the key and the known ones, from serde's "unknown field `x`, expected one of `a`, `b`".
fn unknown_key(message: &str) -> Option<(&str, Vec<&str>)> {
    let mut words = message.strip_prefix("unknown field `")?.split('`');
    let key = words.next()?;
    // The quoted words are separated by ", expected one of ", ", " and " or ".
    Some((key, words.skip(1).step_by(2).collect()))
}

fn describe_unknown(section: &str, key: &str, known: &[&str]) -> String {
    let place = if section.is_empty() {
        String::new()
    } else {
        format!(" in {section}")
    };
    // Below this similarity a suggestion confuses more than it helps.
    const ALIKE: f64 = 0.7;
    let nearest = known
        .iter()
        .map(|k| (strsim::jaro_winkler(k, key), k))
        .filter(|(alike, _)| *alike > ALIKE)
        .max_by(|a, b| a.0.total_cmp(&b.0));
    match nearest {
        Some((_, k)) => format!("unknown key \"{key}\"{place}; did you mean \"{k}\"?"),
        None => format!(
            "unknown key \"{key}\"{place}; known are {}",
            known.join(", ")
        ),
    }
}

/// Returns the table header above a line, as written; empty above the first.
fn section(text: &str, line: usize) -> String {
    let above: Vec<&str> = text
        .lines()
        .take(line.saturating_sub(1))
        .map(str::trim)
        .collect();
    let header = above.iter().rev().find(|l| l.starts_with('['));
    // "[table]" or, one of several, "[[table]]".
    let brackets = |l: &str| if l.starts_with("[[") { "]]" } else { "]" };
    header.map_or(String::new(), |l| {
        l.split_inclusive(brackets(l))
            .next()
            .unwrap_or_default()
            .to_owned()
    })
}

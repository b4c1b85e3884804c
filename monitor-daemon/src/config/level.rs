//! Check of `[log] level`.
//!
//! The filter's own parser takes a word that is no level for the name of a module, so that a misspelt level would turn
//! every message off.

use tracing_subscriber::EnvFilter;

const LEVELS: [&str; 6] = ["error", "warn", "info", "debug", "trace", "off"];

/// Returns the reason that a level or filter cannot work.
pub(super) fn check(level: &str) -> Result<(), String> {
    let place = format!("[log] level \"{level}\"");
    if level.trim().is_empty() {
        return Err(format!(
            "{place} is empty; say one of {}",
            LEVELS.join(", ")
        ));
    }
    for part in level.split(',').map(str::trim) {
        let is_level = LEVELS.iter().any(|known| known.eq_ignore_ascii_case(part));
        // Modules of the daemon, and of any crate by its path.
        let is_module = part.contains(['=', '[', ':']) || part.starts_with("monitor");
        if !is_level && !is_module {
            let nearest = LEVELS
                .into_iter()
                .max_by(|a, b| similarity(a, part).total_cmp(&similarity(b, part)))
                .unwrap_or("info");
            return Err(format!(
                "{place}: \"{part}\" is not a level; did you mean \"{nearest}\"? Known are {}",
                LEVELS.join(", ")
            ));
        }
    }
    match EnvFilter::try_new(level) {
        Ok(_) => Ok(()),
        Err(error) => Err(format!("{place} is not a level or filter: {error}")),
    }
}

fn similarity(level: &str, word: &str) -> f64 {
    strsim::jaro_winkler(level, &word.to_ascii_lowercase())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_word_that_is_no_level_is_refused_with_the_nearest_level() {
        for (word, nearest) in [
            ("warning", "warn"),
            ("err", "error"),
            ("INFOS", "info"),
            ("info,debugging", "debug"),
        ] {
            let error = check(word).unwrap_err();
            assert!(
                error.contains(&format!("did you mean \"{nearest}\"?")),
                "{error}"
            );
        }
        assert!(check("").is_err());
        assert!(check("monitor_daemon=warning").is_err());
    }

    #[test]
    fn levels_and_filters_are_accepted() {
        for level in [
            "warn",
            "WARN",
            "off",
            "info,monitor_daemon::rpc=debug",
            "monitor_daemon",
            "warn,aya=off",
        ] {
            assert_eq!(check(level), Ok(()));
        }
    }
}

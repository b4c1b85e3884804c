//! Meaning of each counter, from the tables of docs/rpc.md.

use std::collections::HashMap;
use std::sync::LazyLock;

const REFERENCE: &str = include_str!("../../../docs/rpc.md");

/// Group, name and meaning of each counter, in the order of the reference.
pub(super) static COUNTERS: LazyLock<Vec<(&str, &str, &str)>> = LazyLock::new(|| parse(REFERENCE));

static MEANINGS: LazyLock<HashMap<(&str, &str), &str>> = LazyLock::new(|| {
    let rows = COUNTERS.iter();
    rows.map(|&(group, name, meaning)| ((group, name), meaning))
        .collect()
});

/// Returns the meaning of a counter of `stats`; `None` for one of a newer daemon.
pub(super) fn meaning(group: &str, name: &str) -> Option<&'static str> {
    MEANINGS.get(&(group, name)).copied()
}

/// Reads the rows below "## Counters": a heading for each group, and lines of name and meaning.
fn parse(text: &str) -> Vec<(&str, &str, &str)> {
    let (_, counters) = text.split_once("\n## Counters\n").unwrap_or_default();
    let mut group = "";
    let mut rows = Vec::new();
    for line in counters.lines().take_while(|line| !line.starts_with("## ")) {
        if let Some(heading) = line.strip_prefix("### ") {
            group = heading;
        } else if let Some(row) = line.strip_prefix("| `")
            && let Some((name, meaning)) = row.split_once("` | ")
        {
            rows.push((group, name, meaning.trim_end_matches([' ', '|'])));
        }
    }
    rows
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_reference_describes_counters_of_every_group() {
        for (group, name) in [
            ("capture", "rx_dropped"),
            ("decode", "packets"),
            ("flows", "active"),
            ("tcp", "gaps"),
            ("store", "used"),
            ("rpc", "requests"),
        ] {
            let meaning = meaning(group, name).unwrap();
            assert!(meaning.ends_with('.'), "{group}.{name}: {meaning}");
        }
        assert_eq!(meaning("rpc", "none"), None);
    }
}

//! The document as text: sections and tables.

use std::collections::BTreeSet;
use std::path::Path;

use monitor_rpc::Method;
use serde_json::Value;

/// The reference, or a part of it below a heading.
pub struct Text(pub String);

impl Text {
    pub fn load() -> Self {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/rpc.md");
        Self(std::fs::read_to_string(path).unwrap())
    }

    /// Everything below `heading`, up to the next one of its level or a higher one.
    pub fn section(&self, heading: &str) -> Text {
        let level = heading.find(' ').unwrap();
        let mut lines = self.0.lines().skip_while(|line| *line != heading);
        assert!(lines.next().is_some(), "no heading {heading:?}");
        let ends = |line: &str| {
            let own = line.bytes().take_while(|&byte| byte == b'#').count();
            (1..=level).contains(&own) && line.as_bytes().get(own) == Some(&b' ')
        };
        Text(
            lines
                .take_while(|line| !ends(line))
                .collect::<Vec<_>>()
                .join("\n"),
        )
    }

    /// Returns the cells of the table with the first heading `first`; empty if there is none.
    pub fn table(&self, first: &str) -> Vec<Vec<String>> {
        let start = format!("| {first} |");
        let rows = self
            .0
            .lines()
            .skip_while(|line| !line.starts_with(&start))
            .skip(2);
        rows.take_while(|line| line.starts_with('|'))
            .map(cells)
            .collect()
    }

    /// The first column of that table, without backticks.
    pub fn names(&self, first: &str) -> Vec<String> {
        self.table(first)
            .iter()
            .map(|row| row[0].trim_matches('`').to_owned())
            .collect()
    }
}

fn cells(line: &str) -> Vec<String> {
    line.trim_matches('|')
        .split(" | ")
        .map(|cell| cell.trim().to_owned())
        .collect()
}

pub fn method_section(text: &Text, method: Method) -> Text {
    text.section("## Methods")
        .section(&format!("### `{}`", method.name()))
}

pub fn keys(object: &Value) -> Vec<String> {
    object.as_object().unwrap().keys().cloned().collect()
}

#[track_caller]
pub fn assert_same(documented: &[String], real: &[String], what: &str) {
    let set = |names: &[String]| names.iter().cloned().collect::<BTreeSet<_>>();
    assert_eq!(
        set(documented),
        set(real),
        "{what}: documented (left) and real (right)"
    );
    assert_eq!(
        documented.len(),
        set(documented).len(),
        "{what}: documented twice"
    );
}

//! Documentation of settings and methods: nothing that a user can set or call lacks it.

use std::fs;

use anyhow::{Context, Result};

use crate::workspace::root;

/// Settings in config.toml and README.md, methods in docs/rpc.md.
pub fn check(findings: &mut Vec<String>) -> Result<()> {
    check_settings(&text("config.toml")?, &text("README.md")?, findings);
    match text("docs/rpc.md") {
        Ok(reference) => check_methods(&text("monitor-rpc/src/method.rs")?, &reference, findings),
        Err(error) => findings.push(format!("{error:#}")),
    }
    Ok(())
}

fn check_settings(config: &str, readme: &str, findings: &mut Vec<String>) {
    for setting in settings(config) {
        if !setting.is_explained {
            findings.push(format!(
                "config.toml: `{}` has no comment that says what it does",
                setting.key
            ));
        }
        if !readme.contains(&format!("`{}`", setting.key)) {
            findings.push(format!(
                "README.md: the table of settings lacks `{}`",
                setting.key
            ));
        }
    }
}

/// A section's heading names the method in backquotes.
fn check_methods(list: &str, reference: &str, findings: &mut Vec<String>) {
    for method in methods(list) {
        let name = format!("`{method}");
        if !reference
            .lines()
            .any(|line| line.starts_with('#') && line.contains(&name))
        {
            findings.push(format!(
                "docs/rpc.md: the method `{method}` has no section (a heading with its name)"
            ));
        }
    }
}

fn text(path: &str) -> Result<String> {
    fs::read_to_string(root().join(path)).with_context(|| format!("cannot read {path}"))
}

/// A key of config.toml.
#[derive(Debug, PartialEq, Eq)]
struct Setting {
    /// `section.key`.
    key: String,
    /// A comment stands above it.
    is_explained: bool,
}

/// The keys of a file that has one of them a line, sections of one level, and no other tables.
fn settings(config: &str) -> Vec<Setting> {
    let mut section = "";
    let mut previous = "";
    let mut found = Vec::new();
    for line in config.lines() {
        if let Some(name) = line
            .strip_prefix('[')
            .and_then(|line| line.strip_suffix(']'))
        {
            section = name;
        } else if let Some((key, _)) = line.split_once(" = ")
            && !line.starts_with(['#', ' '])
        {
            found.push(Setting {
                key: format!("{section}.{key}"),
                is_explained: previous.starts_with('#'),
            });
        }
        previous = line;
    }
    found
}

/// The methods' names: the client's list is the one place where they stand.
fn methods(source: &str) -> Vec<&str> {
    let Some((_, list)) = source.split_once("macro_rules! for_each_method {") else {
        return Vec::new();
    };
    list.lines()
        .take_while(|line| *line != "}")
        .filter(|line| line.contains(" = \""))
        .filter_map(|line| line.split('"').nth(1))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_are_found_with_their_section() {
        let found = settings("[a]\n# What it is.\nx = 1\n\ny = [\"=\"]\n");
        let expected = [("a.x", true), ("a.y", false)];
        assert_eq!(found.len(), expected.len());
        for (setting, (key, is_explained)) in found.iter().zip(expected) {
            assert_eq!(
                (setting.key.as_str(), setting.is_explained),
                (key, is_explained)
            );
        }
    }

    #[test]
    fn undocumented_settings_are_found() {
        let mut findings = Vec::new();
        check_settings("[a]\n# What it is.\nx = 1\n", "| `a.y` |", &mut findings);
        check_methods(
            "\nmacro_rules! for_each_method {\n    A = \"one\",\n    B = \"two\",\n}\n",
            "## `one {}`\n",
            &mut findings,
        );
        assert_eq!(findings.len(), 2, "{findings:?}");
    }

    #[test]
    fn every_method_of_the_client_is_seen() {
        let names = methods(&text("monitor-rpc/src/method.rs").unwrap()).len();
        assert!(names >= 7, "{names}");
    }
}

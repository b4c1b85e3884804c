//! Rules about single source files: their length, `unsafe`, paths, and notes to self.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use crate::workspace::root;

/// Most lines of a file. Longer ones have more than one topic.
const MAX_LINES: usize = 400;

/// The directories and files with `unsafe` code. Everywhere else the compiler denies it; this list
/// limits the use of `expect(unsafe_code)`.
const UNSAFE_DIRECTORIES: &[&str] = &[
    "bench/src/sys",
    "clients/c/src/",
    "monitor-common/src/abi",
    "monitor-daemon/src/capture/",
    "monitor-daemon/src/rpc/access/peer/groups.rs",
    "monitor-ebpf/src/",
    "monitor-reader/src/store/",
];

/// Written apart, so that this file keeps its own rule.
const NOTES: [&str; 2] = [concat!("TO", "DO"), concat!("FIX", "ME")];

/// Forms that must not occur, with their replacements.
const FORMS: [(&str, &str); 2] = [
    (concat!("super::", "super::"), "a path from `crate`"),
    (concat!("pub", "(in "), "`pub(crate)` or `pub(super)`"),
];

/// Every Rust source of the checkout.
pub fn check(findings: &mut Vec<String>) -> Result<()> {
    for path in rust_files()? {
        let text = fs::read_to_string(root().join(&path))
            .with_context(|| format!("cannot read {}", path.display()))?;
        let name = path.display().to_string();
        check_length(&name, &text, findings);
        check_unsafe(&name, &text, findings);
        check_notes(&name, &text, findings);
        check_paths(&name, &text, findings);
    }
    Ok(())
}

fn check_length(name: &str, text: &str, findings: &mut Vec<String>) {
    let lines = text.lines().count();
    if lines > MAX_LINES {
        findings.push(format!(
            "{name}: {lines} lines; split it by topic (at most {MAX_LINES})"
        ));
    }
}

fn check_unsafe(name: &str, text: &str, findings: &mut Vec<String>) {
    let lines: Vec<_> = text.lines().collect();
    for (index, line) in lines.iter().enumerate() {
        if !uses_unsafe(line) {
            continue;
        }
        let at = format!("{name}:{}", index + 1);
        if !UNSAFE_DIRECTORIES
            .iter()
            .any(|directory| name.starts_with(directory))
        {
            findings.push(format!(
                "{at}: unsafe outside its directories ({})",
                UNSAFE_DIRECTORIES.join(", ")
            ));
        }
    }
}

/// Code that needs `unsafe`, not the word in a comment, a lint's name or a string. The attributes `no_mangle` and
/// `link_section` are written `unsafe(...)` but reach no memory.
fn uses_unsafe(line: &str) -> bool {
    let outside_of_strings: String = line.split('"').step_by(2).collect();
    let code = outside_of_strings.split("//").next().unwrap_or_default();
    [
        "unsafe {",
        "unsafe fn",
        "unsafe impl",
        "unsafe trait",
        "unsafe extern",
    ]
    .iter()
    .any(|form| {
        code.find(form).is_some_and(|at| {
            let before = code[..at].chars().next_back();
            !before.is_some_and(|c| c.is_alphanumeric() || c == '_')
        })
    })
}

/// Checks that a note says its reason: `(reason)` after it.
fn check_notes(name: &str, text: &str, findings: &mut Vec<String>) {
    for (index, line) in text.lines().enumerate() {
        for note in NOTES {
            if let Some(at) = line.find(note)
                && !line[at + note.len()..].starts_with('(')
            {
                findings.push(format!(
                    "{name}:{}: {note} without a reason; write `{note}(reason): ...`",
                    index + 1
                ));
            }
        }
    }
}

/// Checks that paths have no chains of `super`, and items no visibility of their own shape.
fn check_paths(name: &str, text: &str, findings: &mut Vec<String>) {
    for (form, instead) in FORMS {
        for (index, _) in text
            .lines()
            .enumerate()
            .filter(|(_, line)| line.contains(form))
        {
            findings.push(format!(
                "{name}:{}: write {instead} instead of {form}",
                index + 1
            ));
        }
    }
}

/// Paths of all Rust sources, relative to the checkout, in order.
pub fn rust_files() -> Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    collect(Path::new(""), &mut found)?;
    found.sort();
    Ok(found)
}

fn collect(directory: &Path, found: &mut Vec<PathBuf>) -> Result<()> {
    let here = root().join(directory);
    let entries = fs::read_dir(&here).with_context(|| format!("cannot list {}", here.display()))?;
    for entry in entries {
        let entry = entry.with_context(|| format!("cannot list {}", here.display()))?;
        let name = entry.file_name();
        let path = directory.join(&name);
        if entry.file_type()?.is_dir() {
            if name != "target" && !name.to_string_lossy().starts_with('.') {
                collect(&path, found)?;
            }
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn findings(check: impl Fn(&mut Vec<String>)) -> Vec<String> {
        let mut findings = Vec::new();
        check(&mut findings);
        findings
    }

    #[test]
    fn unsafe_is_found_in_code_only() {
        assert!(uses_unsafe("    let x = unsafe { *p };"));
        assert!(uses_unsafe("pub unsafe fn f() {}"));
        assert!(!uses_unsafe("// an unsafe { block }"));
        assert!(!uses_unsafe("#![expect(unsafe_code, reason = \"x\")]"));
        let outside =
            findings(|f| check_unsafe("monitor-client/src/lib.rs", "unsafe impl Send for X {}", f));
        assert_eq!(outside.len(), 1);
        let inside =
            findings(|f| check_unsafe("monitor-daemon/src/capture/xsk/mod.rs", "unsafe { }", f));
        assert!(inside.is_empty());
    }

    #[test]
    fn a_note_needs_a_reason() {
        let [note, _] = NOTES;
        assert_eq!(
            findings(|f| check_notes("a.rs", &format!("// {note} later"), f)).len(),
            1
        );
        assert!(
            findings(|f| check_notes("a.rs", &format!("// {note}(kernel 7.0): drop"), f))
                .is_empty()
        );
    }

    #[test]
    fn long_files_and_long_ways_up_are_findings() {
        let long = "x\n".repeat(MAX_LINES + 1);
        assert_eq!(findings(|f| check_length("a.rs", &long, f)).len(), 1);
        let path = format!("use {}Item;", FORMS[0].0);
        assert_eq!(findings(|f| check_paths("a.rs", &path, f)).len(), 1);
    }
}

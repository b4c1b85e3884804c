//! Directions of use between packages and between the daemon's modules.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result};

use super::sources::rust_files;
use crate::workspace::root;

/// Packages with the dependencies that they must not have, tests aside.
const PACKAGES: &[(&str, &[&str])] = &[
    // Compiled for the kernel too: nothing but aya's marker traits, and these only on the user side.
    (
        "monitor-common",
        &[
            "anyhow",
            "libc",
            "monitor-client",
            "monitor-daemon",
            "monitor-engine",
            "tokio",
        ],
    ),
    // Pure: no kernel, no files, no threads of a runtime, no clock.
    (
        "monitor-engine",
        &[
            "anyhow",
            "aya",
            "aya-log",
            "monitor-client",
            "monitor-daemon",
            "tokio",
            "tracing",
            "xsk-rs",
        ],
    ),
    // Other programs link to these: they must not bring the daemon along.
    (
        "monitor-rpc",
        &[
            "aya",
            "monitor-client",
            "monitor-daemon",
            "monitor-engine",
            "tokio",
            "xsk-rs",
        ],
    ),
    (
        "monitor-client",
        &["aya", "monitor-daemon", "monitor-engine", "xsk-rs"],
    ),
    // Shared by the programs that store records: it does no I/O.
    (
        "monitor-records",
        &[
            "aya",
            "monitor-client",
            "monitor-daemon",
            "monitor-engine",
            "tokio",
            "xsk-rs",
        ],
    ),
    (
        "monitorctl",
        &["aya", "monitor-daemon", "monitor-engine", "xsk-rs"],
    ),
    // A process of its own beside the daemon.
    (
        "monitor-relay",
        &["aya", "monitor-daemon", "monitor-engine", "xsk-rs"],
    ),
    (
        "clients/c",
        &["aya", "monitor-daemon", "monitor-engine", "tokio", "xsk-rs"],
    ),
    // Small, so that the first command of a newcomer does not wait for it.
    (
        "xtask",
        &[
            "aya",
            "monitor-common",
            "monitor-daemon",
            "monitor-engine",
            "tokio",
        ],
    ),
];

/// Directories with the names that must not occur in them. A worker's thread may post to a channel
/// of the runtime, but never waits in it.
const DIRECTORIES: &[(&str, &[&str])] = &[
    (
        "monitor-daemon/src/capture",
        &[
            "crate::control",
            "crate::events",
            "crate::live",
            "crate::rpc",
            "crate::service",
            "crate::worker",
            "tokio::",
        ],
    ),
    (
        "monitor-daemon/src/worker",
        &[
            "crate::live",
            "crate::rpc",
            "crate::service",
            ".await",
            "tokio::net",
            "tokio::runtime",
            "tokio::spawn",
            "tokio::task",
        ],
    ),
    (
        "monitor-daemon/src/live",
        &["crate::rpc", "crate::service", "tokio::"],
    ),
    // Shared by workers and clients: it depends on neither of them.
    (
        "monitor-daemon/src/events",
        &[
            "crate::control",
            "crate::rpc",
            "crate::service",
            "crate::worker",
            ".await",
            ".lock()",
            "tokio::net",
            "tokio::runtime",
            "tokio::spawn",
            "tokio::task",
        ],
    ),
    (
        "monitor-daemon/src/control",
        &[
            "crate::capture",
            "crate::rpc",
            "crate::service",
            "crate::worker",
            "tokio::spawn",
            "tokio::task",
        ],
    ),
    (
        "monitor-daemon/src/rpc",
        &[
            "crate::capture",
            "crate::live",
            "crate::service",
            "crate::worker",
            "aya::",
            "xsk_rs::",
        ],
    ),
    // Pure: text and connections go in.
    (
        "monitor-daemon/src/filter",
        &["crate::", "tokio::", "std::fs"],
    ),
    // Pure: patterns and bytes.
    (
        "monitor-daemon/src/scan",
        &["crate::", "tokio::", "std::fs", "monitor_engine"],
    ),
    // Pure: the first bytes of a stream.
    (
        "monitor-daemon/src/tls",
        &["crate::", "tokio::", "std::fs", "monitor_engine"],
    ),
    (
        "monitor-engine/src",
        &[
            "std::fs",
            "std::net::Tcp",
            "std::net::Udp",
            "thread::spawn",
            "thread::sleep",
            "SystemTime::now",
            "Instant::now",
        ],
    ),
];

/// Checks both.
pub fn check(findings: &mut Vec<String>) -> Result<()> {
    for (package, forbidden) in PACKAGES {
        let manifest = root().join(package).join("Cargo.toml");
        let text = fs::read_to_string(&manifest)
            .with_context(|| format!("cannot read {}", manifest.display()))?;
        for name in dependencies(&text).filter(|name| forbidden.contains(name)) {
            findings.push(format!("{package}/Cargo.toml: must not depend on {name}"));
        }
    }
    for path in rust_files()? {
        let text = fs::read_to_string(root().join(&path))
            .with_context(|| format!("cannot read {}", path.display()))?;
        check_directory(&path, &text, findings);
    }
    Ok(())
}

/// The names under `[dependencies]`.
fn dependencies(manifest: &str) -> impl Iterator<Item = &str> {
    let section = manifest
        .split("\n[")
        .find(|section| section.starts_with("dependencies]"))
        .unwrap_or_default();
    section.lines().skip(1).filter_map(|line| {
        let name = line.split(['.', ' ', '=']).next()?;
        (!name.is_empty() && !name.starts_with('#')).then_some(name)
    })
}

fn check_directory(path: &Path, text: &str, findings: &mut Vec<String>) {
    let name = path.display().to_string();
    let is_test = ["/tests/", "tests.rs", "/interleavings.rs"]
        .iter()
        .any(|part| name.contains(part));
    for (directory, forbidden) in DIRECTORIES {
        let inside = name
            .strip_prefix(directory)
            .is_some_and(|rest| rest.starts_with(['/', '.']));
        if !inside || is_test {
            continue;
        }
        // Unit tests are at the end of a file and may use anything.
        let code = text.split("#[cfg(test)]").next().unwrap_or_default();
        for (index, line) in code.lines().enumerate() {
            let line = line.split("//").next().unwrap_or_default();
            for word in forbidden.iter().filter(|word| line.contains(**word)) {
                findings.push(format!(
                    "{name}:{}: {directory} must not use {word}",
                    index + 1
                ));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dependencies_of_tests_do_not_count() {
        let manifest = "[package]\nname = \"a\"\n\n[dependencies]\n# why\nlibc.workspace = true\nserde = \"1\"\n\n\
                        [dev-dependencies]\ntokio.workspace = true\n";
        assert_eq!(
            dependencies(manifest).collect::<Vec<_>>(),
            ["libc", "serde"]
        );
    }

    #[test]
    fn a_directory_is_checked_except_for_its_tests() {
        let mut findings = Vec::new();
        let text = "use crate::worker;\n// crate::worker\n#[cfg(test)]\nmod tests { use crate::worker; }\n";
        check_directory(
            Path::new("monitor-daemon/src/rpc/serve.rs"),
            text,
            &mut findings,
        );
        assert_eq!(findings.len(), 1);
        check_directory(
            Path::new("monitor-daemon/src/worker/mod.rs"),
            "use tokio::net::UnixStream;",
            &mut findings,
        );
        assert_eq!(findings.len(), 2);
    }
}

//! `test-kernels`: the daemon on other kernels and on emulated network cards.
//!
//! Each guest is a kernel of Debian's archive under QEMU, with this machine's own root file system (read-only over 9p,
//! a tmpfs on top), so no image is built. The checks are those of `tests/src/bin/guest`, the daemon is the release
//! build. KVM is used where the processor's flags show it, emulation elsewhere.

mod card;
mod guest;
mod initramfs;
mod release;

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::process::ExitCode;

use anyhow::{Context, Result, bail};

use self::card::{CARDS, Card};
use self::guest::{Guest, Outcome};
use self::release::{Kernel, RELEASES, Release};
use crate::build;
use crate::command::run;
use crate::setup::Purpose;
use crate::workspace::{cargo, target};

const SCRIPT: &str = include_str!("guest.sh");

/// Arguments of `test-kernels`.
#[derive(clap::Args)]
pub struct Arguments {
    /// Kernels to test: 5.10, 6.1, 6.12, newest; all by default.
    #[arg(value_name = "KERNEL")]
    kernels: Vec<String>,
    /// Card to test; may be repeated. virtio-net by default, `all` for every card that QEMU offers.
    #[arg(long = "card", value_name = "CARD")]
    cards: Vec<String>,
    /// Check to run; may be repeated. All by default.
    #[arg(long = "check", value_name = "CHECK")]
    checks: Vec<String>,
}

/// Results of one guest.
struct Row {
    kernel: String,
    card: &'static str,
    outcomes: Vec<Outcome>,
}

/// `cargo xtask test-kernels`. Prints a table; fails if a check failed or a guest gave no result.
pub fn verb(arguments: &Arguments) -> Result<ExitCode> {
    let releases = releases(&arguments.kernels)?;
    let cards = cards(&arguments.cards)?;
    let programs = build::everything(Purpose::Kernels)?;
    run(cargo().args([
        "build",
        "--locked",
        "--package=monitor-tests",
        "--bin=guest",
    ]))?;
    let target = target()?;
    let directory = target.join("kernels");
    fs::create_dir_all(&directory).context("cannot create target/kernels")?;
    let script = directory.join("guest.sh");
    fs::write(&script, SCRIPT).context("cannot write the guest's script")?;
    let checks = target.join("debug/guest");

    let mut rows = Vec::new();
    for release in releases {
        let kernel = release.kernel(&directory)?;
        let initramfs = directory.join(format!("{}.initramfs", release.version));
        initramfs::build(&kernel, &initramfs)?;
        for card in &cards {
            let guest = Guest {
                kernel: &kernel,
                initramfs: &initramfs,
                script: &script,
                checks: &checks,
                monitord: &programs.monitord,
                names: &arguments.checks,
            };
            rows.push(row(&guest, release, &kernel, card, &directory));
        }
    }
    println!("{}", table(&rows));
    let mut failed = 0;
    for row in &rows {
        failed += row
            .outcomes
            .iter()
            .filter(|outcome| outcome.result == "FAILED")
            .count();
    }
    let passed: usize = rows
        .iter()
        .map(|row| row.outcomes.iter().filter(|o| o.result == "ok").count())
        .sum();
    println!("{passed} passed, {failed} failed");
    Ok(if failed == 0 {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

fn row(
    guest: &Guest<'_>,
    release: Release,
    kernel: &Kernel,
    card: &'static Card,
    directory: &Path,
) -> Row {
    let log = directory.join(format!("{}-{}.log", release.version, card.name));
    let outcomes = match guest.run(card, &log) {
        Ok(outcomes) if !outcomes.is_empty() => outcomes,
        Ok(_) => vec![no_result(&format!("see {}", log.display()))],
        Err(error) => vec![no_result(&format!("{error:#}; see {}", log.display()))],
    };
    for outcome in &outcomes {
        println!(
            "{} {}: {} {} {}",
            kernel.version, card.name, outcome.name, outcome.result, outcome.detail
        );
    }
    Row {
        kernel: kernel.version.clone(),
        card: card.name,
        outcomes,
    }
}

fn no_result(detail: &str) -> Outcome {
    Outcome {
        name: "boot".to_owned(),
        result: "FAILED".to_owned(),
        detail: detail.to_owned(),
    }
}

fn releases(names: &[String]) -> Result<Vec<Release>> {
    if names.is_empty() {
        return Ok(RELEASES.to_vec());
    }
    let mut chosen = Vec::new();
    for name in names {
        let Some(release) = RELEASES.iter().find(|release| release.version == name) else {
            let known: Vec<_> = RELEASES.iter().map(|release| release.version).collect();
            bail!("no kernel `{name}`; there are {}", known.join(", "));
        };
        chosen.push(*release);
    }
    Ok(chosen)
}

fn cards(names: &[String]) -> Result<Vec<&'static Card>> {
    if names.iter().any(|name| name == "all") {
        return Ok(CARDS.iter().filter(|card| guest::offers(card)).collect());
    }
    if names.is_empty() {
        return Ok(vec![&CARDS[0]]);
    }
    let mut chosen = Vec::new();
    for name in names {
        let Some(card) = CARDS.iter().find(|card| card.name == name) else {
            let known: Vec<_> = CARDS.iter().map(|card| card.name).collect();
            bail!("no card `{name}`; there are {}, all", known.join(", "));
        };
        chosen.push(card);
    }
    Ok(chosen)
}

/// A Markdown table: a row for each guest, a column for each check.
fn table(rows: &[Row]) -> String {
    let names: BTreeSet<&str> = rows
        .iter()
        .flat_map(|row| row.outcomes.iter().map(|outcome| outcome.name.as_str()))
        .collect();
    let mut text = String::from("| kernel | card |");
    for name in &names {
        text.push_str(&format!(" {name} |"));
    }
    text.push_str("\n|---|---|");
    text.push_str(&"---|".repeat(names.len()));
    for row in rows {
        text.push_str(&format!("\n| {} | {} |", row.kernel, row.card));
        for name in &names {
            let outcome = row.outcomes.iter().find(|outcome| outcome.name == *name);
            let cell = outcome.map_or("–".to_owned(), |outcome| {
                format!("{} {}", outcome.result, outcome.detail)
            });
            text.push_str(&format!(" {} |", cell.trim()));
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_has_a_cell_for_each_check_of_each_guest() {
        let outcome = |name: &str, result: &str, detail: &str| Outcome {
            name: name.to_owned(),
            result: result.to_owned(),
            detail: detail.to_owned(),
        };
        let rows = [
            Row {
                kernel: "6.1.0-50-amd64".to_owned(),
                card: "virtio-net",
                outcomes: vec![
                    outcome("mirror", "ok", "native"),
                    outcome("tap", "ok", "packet"),
                ],
            },
            Row {
                kernel: "5.10".to_owned(),
                card: "igb",
                outcomes: vec![outcome("tap", "FAILED", "differs")],
            },
        ];
        assert_eq!(
            table(&rows),
            "| kernel | card | mirror | tap |\n|---|---|---|---|\n\
             | 6.1.0-50-amd64 | virtio-net | ok native | ok packet |\n\
             | 5.10 | igb | – | FAILED differs |"
        );
    }

    #[test]
    fn an_unknown_kernel_or_card_is_an_error_that_names_the_known_ones() {
        let error = releases(&["4.19".to_owned()]).unwrap_err().to_string();
        assert!(error.contains("5.10, 6.1, 6.12, newest"), "{error}");
        let error = cards(&["ne2000".to_owned()]).unwrap_err().to_string();
        assert!(error.contains("virtio-net"), "{error}");
    }
}

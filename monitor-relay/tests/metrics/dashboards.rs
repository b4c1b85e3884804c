//! Dashboards, alerts and documents that name metrics.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use monitor_relay::metrics::{Families, Kind};
use monitor_tests::{have, skip};
use serde_json::Value;

use crate::{filter, known, series};

/// Variable that has docs/metrics.md rewritten.
const WRITE: &str = "MONITOR_WRITE_METRICS";
const HEADING: &str = "## All metrics\n";

fn repository(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(path)
}

fn read(path: &str) -> String {
    std::fs::read_to_string(repository(path)).unwrap()
}

/// Returns the words of a text that are names of metrics. Alerts are named in other letters.
fn names(text: &str) -> BTreeSet<String> {
    let words = text.split(|letter: char| !letter.is_ascii_alphanumeric() && letter != '_');
    words
        .filter(|word| word.starts_with("monitord_"))
        .map(str::to_owned)
        .collect()
}

#[test]
fn each_metric_of_the_dashboard_and_the_alerts_exists() {
    let text = known();
    let samples = series(&text).into_iter();
    let existing: BTreeSet<_> = samples
        .map(|sample| sample.split('{').next().unwrap().to_owned())
        .collect();
    let dashboard: Value = serde_json::from_str(&read("dashboards/monitord.json")).unwrap();
    let panels = dashboard["panels"].as_array().unwrap();
    assert!(panels.len() > 20);
    for text in [dashboard.to_string(), read("dashboards/alerts.yml")] {
        let used = names(&text);
        assert!(used.len() > 8, "{used:?}");
        let unknown: Vec<_> = used.difference(&existing).collect();
        assert!(unknown.is_empty(), "no such metrics: {unknown:?}");
    }
}

#[test]
fn prometheus_finds_no_fault_with_the_alerts() {
    if !have("promtool") {
        skip!("needs promtool, of Debian's package prometheus");
    }
    let path = repository("dashboards/alerts.yml");
    let (ok, output) = filter("promtool", &["check", "rules", path.to_str().unwrap()], "");
    assert!(ok && output.contains("SUCCESS"), "{output}");
}

/// Returns a link to the counter of `stats` with this meaning.
fn counter(reference: &str, meaning: &str) -> Option<String> {
    let row = format!("` | {meaning} |");
    let (before, _) = reference.split_once(&row)?;
    let (_, name) = before.rsplit_once("| `")?;
    let (_, group) = before.rsplit_once("\n### ")?;
    let group = group.lines().next()?;
    Some(format!("[`{group}.{name}`](rpc.md#{group})"))
}

#[test]
fn the_document_lists_every_metric() {
    let reference = read("docs/rpc.md");
    let mut table = "\n| metric | type | labels | meaning |\n|---|---|---|---|\n".to_owned();
    for family in Families::known().0 {
        let (total, kind) = match family.kind {
            Kind::Counter => ("_total", "counter"),
            Kind::Gauge => ("", "gauge"),
            Kind::Histogram => ("", "histogram"),
        };
        let labels = family.samples[0].0.iter();
        let labels: Vec<_> = labels.map(|(name, _)| format!("`{name}`")).collect();
        let (name, labels) = (family.name, labels.join(", "));
        let meaning = counter(&reference, &family.help).unwrap_or(family.help);
        writeln!(table, "| `{name}{total}` | {kind} | {labels} | {meaning} |").unwrap();
    }
    let document = read("docs/metrics.md");
    let (text, documented) = document.split_once(HEADING).unwrap();
    if std::env::var_os(WRITE).is_some() {
        std::fs::write(
            repository("docs/metrics.md"),
            format!("{text}{HEADING}{table}"),
        )
        .unwrap();
        return;
    }
    assert_eq!(documented, table, "{WRITE}=1 rewrites the table");
}

//! Report of the measurements beside their references.

use std::fmt::Write as _;
use std::fs;
use std::path::Path;

use anyhow::{Context, Result};
use serde_json::{Value, json};

use crate::measure::median;

/// Threshold that the monitor has to reach.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Threshold {
    /// Maximum of the ratio to the reference.
    RatioAtMost(f64),
    /// Minimum of the ratio to the reference.
    RatioAtLeast(f64),
    /// The value does not exceed the reference.
    NotMore,
    /// The value itself.
    AtMost(f64),
    /// The value itself.
    AtLeast(f64),
}

/// Format of a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unit {
    /// Seconds of processor time.
    Seconds,
    /// Bytes, shown as MiB.
    Memory,
    /// Bytes.
    Bytes,
    /// Nanoseconds a packet.
    Nanoseconds,
    /// Nanoseconds, shown as microseconds.
    Microseconds,
    /// Number per second, shown in thousands.
    PerSecond,
    /// Bytes a second, shown as MB/s.
    BytesPerSecond,
    /// Bits a second, shown as Gbit/s.
    BitsPerSecond,
    /// A part of one, shown in percent.
    Share,
    /// Number.
    Count,
}

/// Comparison.
#[derive(Clone, Debug)]
pub struct Line {
    benchmark: String,
    what: &'static str,
    unit: Unit,
    ours: f64,
    beside: Option<(String, f64)>,
    ratio: Option<f64>,
    threshold: Option<Threshold>,
}

/// All of a run.
#[derive(Debug, Default)]
pub struct Report {
    lines: Vec<Line>,
    skipped: Vec<(String, String)>,
}

impl Line {
    /// A value beside a peer's, each as often measured as the other: medians, and the median of the ratios of those
    /// that were measured together.
    pub fn pair(
        benchmark: &str,
        what: &'static str,
        unit: Unit,
        ours: &[f64],
        peer: &str,
        theirs: &[f64],
    ) -> Self {
        let ratios = ours.iter().zip(theirs).map(|(ours, theirs)| ours / theirs);
        Self {
            ratio: Some(median(ratios)),
            beside: Some((peer.to_owned(), median(theirs.iter().copied()))),
            ..Self::alone(benchmark, what, unit, ours)
        }
    }

    /// Compares like [`Line::pair`], for values that may be zero: no ratio.
    pub fn difference(
        benchmark: &str,
        what: &'static str,
        unit: Unit,
        ours: &[f64],
        peer: &str,
        theirs: &[f64],
    ) -> Self {
        Self {
            ratio: None,
            ..Self::pair(benchmark, what, unit, ours, peer, theirs)
        }
    }

    /// A value that nothing stands beside.
    pub fn alone(benchmark: &str, what: &'static str, unit: Unit, ours: &[f64]) -> Self {
        let ours = median(ours.iter().copied());
        Self {
            benchmark: benchmark.to_owned(),
            what,
            unit,
            ours,
            beside: None,
            ratio: None,
            threshold: None,
        }
    }

    /// Sets the threshold.
    pub fn threshold(self, threshold: Threshold) -> Self {
        Self {
            threshold: Some(threshold),
            ..self
        }
    }

    /// Sets the threshold, if there is one.
    pub fn threshold_if(self, threshold: Option<Threshold>) -> Self {
        Self { threshold, ..self }
    }

    /// Returns whether the threshold holds; `None` without one.
    fn holds(&self) -> Option<bool> {
        let ratio = self.ratio.unwrap_or(f64::NAN);
        self.threshold.map(|threshold| match threshold {
            Threshold::RatioAtMost(most) => ratio <= most,
            Threshold::RatioAtLeast(least) => ratio >= least,
            Threshold::NotMore => self
                .beside
                .as_ref()
                .is_some_and(|(_, theirs)| self.ours <= *theirs),
            Threshold::AtMost(most) => self.ours <= most,
            Threshold::AtLeast(least) => self.ours >= least,
        })
    }

    fn cells(&self) -> [String; 7] {
        let (peer, theirs) = match &self.beside {
            Some((peer, value)) => (peer.clone(), self.unit.show(*value)),
            None => (String::new(), String::new()),
        };
        let threshold = match self.threshold {
            Some(Threshold::RatioAtMost(most)) => format!("<= {most:.2} x"),
            Some(Threshold::RatioAtLeast(least)) => format!(">= {least:.2} x"),
            Some(Threshold::NotMore) => "not more".to_owned(),
            Some(Threshold::AtMost(most)) => format!("<= {}", self.unit.show(most)),
            Some(Threshold::AtLeast(least)) => format!(">= {}", self.unit.show(least)),
            None => String::new(),
        };
        let verdict = match self.holds() {
            Some(true) => "holds",
            Some(false) => "MISSED",
            None => "",
        };
        let ratio = self
            .ratio
            .map_or_else(String::new, |ratio| format!("{ratio:.2}"));
        let what = format!("{}: {}", self.benchmark, self.what);
        [
            what,
            self.unit.show(self.ours),
            peer,
            theirs,
            ratio,
            threshold,
            verdict.to_owned(),
        ]
    }

    fn json(&self) -> Value {
        json!({
            "row": self.benchmark,
            "what": self.what,
            "unit": self.unit.name(),
            "ours": self.ours,
            "beside": self.beside.as_ref().map(|(peer, _)| peer),
            "theirs": self.beside.as_ref().map(|(_, value)| value),
            "ratio": self.ratio,
            "bar": self.threshold.map(|_| self.cells()[5].clone()),
            "holds": self.holds(),
        })
    }
}

impl Unit {
    fn show(self, value: f64) -> String {
        match self {
            Self::Seconds => format!("{value:.3} s"),
            Self::Memory => format!("{:.0} MiB", value / f64::from(1 << 20)),
            Self::Bytes => format!("{value:.0} B"),
            Self::Nanoseconds => format!("{value:.1} ns"),
            Self::Microseconds => format!("{:.1} us", value / 1e3),
            Self::PerSecond => format!("{:.1} k/s", value / 1e3),
            Self::BytesPerSecond => format!("{:.0} MB/s", value / 1e6),
            Self::BitsPerSecond => format!("{:.2} Gbit/s", value / 1e9),
            Self::Share => format!("{:.3} %", value * 100.0),
            Self::Count => format!("{value:.0}"),
        }
    }

    fn name(self) -> &'static str {
        match self {
            Self::Seconds => "s",
            Self::Memory | Self::Bytes => "bytes",
            Self::Nanoseconds | Self::Microseconds => "ns",
            Self::PerSecond => "1/s",
            Self::BytesPerSecond => "bytes/s",
            Self::BitsPerSecond => "bits/s",
            Self::Share | Self::Count => "1",
        }
    }
}

impl Report {
    /// Another comparison; shown at once, since a run takes minutes.
    pub fn add(&mut self, line: Line) {
        eprintln!("{}", line.cells().join("  "));
        self.lines.push(line);
    }

    /// Something worth knowing that is no comparison.
    pub fn note(&self, benchmark: &str, what: &str) {
        eprintln!("{benchmark}: {what}");
    }

    /// Something that cannot be measured here.
    pub fn skip(&mut self, what: &str, reason: &str) {
        eprintln!("SKIPPED {what}: {reason}");
        self.skipped.push((what.to_owned(), reason.to_owned()));
    }

    /// Returns the number of missed thresholds.
    pub fn missed(&self) -> usize {
        self.lines
            .iter()
            .filter(|line| line.holds() == Some(false))
            .count()
    }

    /// Returns the table, the skipped benchmarks, and one line with the outcome.
    pub fn table(&self) -> String {
        let heading = ["", "monitord", "beside", "", "ratio", "threshold", ""].map(str::to_owned);
        let rows: Vec<[String; 7]> = [heading]
            .into_iter()
            .chain(self.lines.iter().map(Line::cells))
            .collect();
        let width: Vec<usize> = (0..7)
            .map(|column| {
                rows.iter()
                    .map(|row| row[column].len())
                    .max()
                    .unwrap_or_default()
            })
            .collect();
        let mut table = String::new();
        for row in &rows {
            let cells: Vec<String> = row
                .iter()
                .zip(&width)
                .map(|(cell, width)| format!("{cell:<width$}"))
                .collect();
            table.push_str(cells.join("  ").trim_end());
            table.push('\n');
        }
        for (what, reason) in &self.skipped {
            let _ = writeln!(table, "SKIPPED {what}: {reason}");
        }
        let held = self
            .lines
            .iter()
            .filter(|line| line.holds() == Some(true))
            .count();
        let _ = write!(
            table,
            "{held} held, {} missed, {} skipped",
            self.missed(),
            self.skipped.len()
        );
        table
    }

    /// The same for programs.
    pub fn save(&self, path: &Path, repeat: usize) -> Result<()> {
        let read = |path: &str| fs::read_to_string(path).unwrap_or_default();
        let cpuinfo = read("/proc/cpuinfo");
        let model = cpuinfo
            .lines()
            .find_map(|line| line.strip_prefix("model name")?.split_once(": "));
        let report = json!({
            "machine": {
                "processor": model.map(|(_, model)| model),
                "processors": std::thread::available_parallelism().map_or(0, usize::from),
                "kernel": read("/proc/sys/kernel/osrelease").trim(),
            },
            "repeat": repeat,
            "lines": self.lines.iter().map(Line::json).collect::<Vec<_>>(),
            "skipped": self.skipped.iter().map(|(what, why)| json!({"row": what, "reason": why})).collect::<Vec<_>>(),
        });
        fs::write(path, format!("{report:#}\n"))
            .with_context(|| format!("cannot write {}", path.display()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_ratio_is_that_of_pairs() {
        // The machine was twice as slow in the second pair; the ratio is the same in both.
        let line = Line::pair("r", "w", Unit::Seconds, &[1.0, 2.0], "peer", &[2.0, 4.0]);
        assert_eq!(line.ratio, Some(0.5));
        assert_eq!(
            line.clone().threshold(Threshold::RatioAtMost(0.5)).holds(),
            Some(true)
        );
        assert_eq!(
            line.clone().threshold(Threshold::RatioAtLeast(0.6)).holds(),
            Some(false)
        );
        assert_eq!(
            line.clone().threshold(Threshold::AtMost(1.4)).holds(),
            Some(false)
        );
        assert_eq!(line.holds(), None);
    }

    #[test]
    fn a_line_without_a_comparison_does_not_hold() {
        let line = Line::pair("r", "w", Unit::Seconds, &[1.0], "peer", &[])
            .threshold(Threshold::RatioAtMost(2.0));
        assert_eq!(line.holds(), Some(false));
    }

    #[test]
    fn the_table_says_how_it_went() {
        let mut report = Report::default();
        report.add(
            Line::alone("r", "w", Unit::Memory, &[1048576.0]).threshold(Threshold::AtMost(2e6)),
        );
        report.skip("other", "needs root");
        let table = report.table();
        assert!(table.contains("r: w  1 MiB"), "{table}");
        assert!(
            table.ends_with("SKIPPED other: needs root\n1 held, 0 missed, 1 skipped"),
            "{table}"
        );
    }
}

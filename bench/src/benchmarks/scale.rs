//! Scale of the engine: many connections.

use anyhow::{Context as _, Result};

use crate::context::Benchmark;
use crate::context::Context;
use crate::measure::{Runs, in_turns};
use crate::report::{Line, Report, Threshold, Unit};
use crate::scale;

pub const BENCHMARKS: &[Benchmark] = &[
    Benchmark {
        name: "scale.flows",
        measure: flows,
    },
    Benchmark {
        name: "scale.lives",
        measure: lives,
    },
];

const FEW: (u64, &str) = (10_000, "10 k");
const MORE: [(u64, &str); 3] = [(100_000, "100 k"), (1_000_000, "1 M"), (5_000_000, "5 M")];
/// The number of connections that thresholds are for.
const MANY: &str = "1 M";
/// Both sides, no bytes kept.
const IDLE: f64 = 320.0;
/// A packet among a million connections beside one among ten thousand.
const GROWTH: f64 = 2.0;
/// Connections opened and closed a second, on one core.
const LIVES: f64 = 600_000.0;

fn flows(context: &Context, name: &str, report: &mut Report) -> Result<()> {
    let mut sizes = vec![FEW];
    for size in MORE {
        if scale::memory(size.0) * 3 / 2 < available()? {
            sizes.push(size);
        } else {
            report.skip(
                &format!("{name}, {}", size.1),
                "needs more memory than is free",
            );
        }
    }
    let programs: Result<Vec<_>> = sizes
        .iter()
        .map(|(count, _)| context.part(&["among", &count.to_string()]))
        .collect();
    let runs = in_turns(context.repeat, &mut programs?)?;
    let few = &runs[0];
    for ((_, size), ours) in sizes.iter().zip(&runs) {
        let name = format!("{name}, {size} open");
        let threshold = |threshold: Threshold| (*size == MANY).then_some(threshold);
        let idle = Line::alone(
            &name,
            "an idle one, resident",
            Unit::Bytes,
            &said(ours, "idle_bytes"),
        );
        // Of fewer, the pages that the process needs anyway are a part.
        report.add(idle.threshold_if(threshold(Threshold::AtMost(IDLE))));
        report.add(Line::alone(
            &name,
            "an idle one, of the budget",
            Unit::Bytes,
            &said(ours, "budget_bytes"),
        ));
        for (what, key) in [
            ("acknowledgment", "acknowledgment_ns"),
            ("8 bytes of data", "data_ns"),
        ] {
            let line = Line::pair(
                &name,
                what,
                Unit::Nanoseconds,
                &said(ours, key),
                FEW.1,
                &said(few, key),
            );
            report.add(line.threshold_if(threshold(Threshold::RatioAtMost(GROWTH))));
        }
    }
    Ok(())
}

fn lives(context: &Context, name: &str, report: &mut Report) -> Result<()> {
    let runs = in_turns(context.repeat, &mut [context.part(&["lives"])?])?;
    let line = Line::alone(
        name,
        "opened and closed",
        Unit::PerSecond,
        &said(&runs[0], "per_second"),
    );
    report.add(line.threshold(Threshold::AtLeast(LIVES)));
    Ok(())
}

fn said(runs: &Runs, key: &str) -> Vec<f64> {
    runs.iter()
        .filter_map(|run| run.said[key].as_f64())
        .collect()
}

/// Memory that can be had without swapping, bytes.
fn available() -> Result<u64> {
    let text = std::fs::read_to_string("/proc/meminfo").context("cannot read /proc/meminfo")?;
    let line = text
        .lines()
        .find_map(|line| line.strip_prefix("MemAvailable:"))
        .context("no MemAvailable")?;
    let kib: u64 = line
        .trim()
        .trim_end_matches(" kB")
        .parse()
        .context("MemAvailable is no number")?;
    Ok(kib * 1024)
}

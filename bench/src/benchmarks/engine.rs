//! The engine: captures through `monitord replay --exit`, beside the baseline and libnids.

use std::fs;
use std::path::Path;
use std::process::Command;

use anyhow::{Context as _, Result, bail, ensure};
use monitor_tests::monitord;

use crate::context::{Benchmark, Context};
use crate::measure::{Run, Runs, in_turns, run};
use crate::report::{Line, Report, Threshold, Unit};
use crate::workload::Workload;

pub const BENCHMARKS: &[Benchmark] = &[
    Benchmark {
        name: "engine.bulk",
        measure: bulk,
    },
    Benchmark {
        name: "engine.messy",
        measure: |context, name, report| torn(context, name, Workload::Messy, report),
    },
    Benchmark {
        name: "engine.gappy",
        measure: |context, name, report| torn(context, name, Workload::Gappy, report),
    },
    Benchmark {
        name: "engine.many",
        measure: many,
    },
];

const BASELINE: &str = "baseline";
const LIBNIDS: &str = "libnids";
/// The harness for libnids: compiled here, since it may not be installed.
const HARNESS: &str = include_str!("../../nids/nids.c");

/// Capture that all programs read.
struct Case {
    workload: Workload,
    /// Checksums are verified.
    verify: bool,
    /// For the ratios of processor time to the baseline's and to libnids'.
    thresholds: [Option<f64>; 2],
    /// libnids can read it: at a lost range it stalls.
    libnids: bool,
    /// Bytes that are missing in it, although they were acknowledged.
    lost: u64,
}

fn bulk(context: &Context, name: &str, report: &mut Report) -> Result<()> {
    let case = Case {
        workload: Workload::Bulk,
        verify: true,
        thresholds: [Some(1.15), Some(0.6)],
        libnids: true,
        lost: 0,
    };
    case.measure(context, name, report)?;
    Case {
        verify: false,
        thresholds: [None, None],
        ..case
    }
    .measure(context, name, report)
}

fn many(context: &Context, name: &str, report: &mut Report) -> Result<()> {
    let case = Case {
        workload: Workload::Many,
        verify: false,
        thresholds: [Some(1.0), Some(0.6)],
        libnids: true,
        lost: 0,
    };
    case.measure(context, name, report)?;
    Case {
        verify: true,
        thresholds: [None, None],
        ..case
    }
    .measure(context, name, report)
}

/// Compares the output with the known content byte for byte, then measures.
fn torn(context: &Context, name: &str, workload: Workload, report: &mut Report) -> Result<()> {
    context.capture(workload)?;
    let checked = run(&mut context.part(&["check", workload.name()])?)?;
    report.note(
        name,
        &format!("every byte and every hole is right: {}", checked.said),
    );
    let lost = checked.said["lost"]
        .as_u64()
        .context("the check does not say what was lost")?;
    Case {
        workload,
        verify: false,
        thresholds: [Some(1.3), None],
        libnids: false,
        lost,
    }
    .measure(context, name, report)
}

impl Case {
    fn measure(&self, context: &Context, name: &str, report: &mut Report) -> Result<()> {
        let file = context.capture(self.workload)?;
        let how = if self.verify { "verify" } else { "trust" };
        let name = format!(
            "{name}, checksums {}",
            if self.verify { "on" } else { "off" }
        );
        let mut programs = vec![
            self.monitord(context, &file)?,
            context.part(&["baseline", &file.display().to_string(), how])?,
        ];
        match harness(context).map(Command::new) {
            _ if !self.libnids => {}
            Ok(mut nids) => {
                nids.arg(&file).arg(how);
                programs.push(nids);
            }
            Err(reason) => report.skip(&format!("{name}: {LIBNIDS}"), &format!("{reason:#}")),
        }
        let runs = in_turns(context.repeat, &mut programs)?;
        self.agree(&runs)?;
        let (ours, peers) = runs.split_first().context("nothing ran")?;
        for ((peer, theirs), threshold) in
            [BASELINE, LIBNIDS].iter().zip(peers).zip(self.thresholds)
        {
            let cpu = Line::pair(&name, "CPU", Unit::Seconds, &cpu(ours), peer, &cpu(theirs));
            report.add(cpu.threshold_if(threshold.map(Threshold::RatioAtMost)));
        }
        for (peer, theirs) in [BASELINE, LIBNIDS].iter().zip(peers) {
            report.add(Line::pair(
                &name,
                "peak memory",
                Unit::Memory,
                &peak(ours),
                peer,
                &peak(theirs),
            ));
        }
        Ok(())
    }

    fn monitord(&self, context: &Context, file: &Path) -> Result<Command> {
        let verify = if self.verify { "always" } else { "never" };
        let text = format!(
            "[tcp]\nverify_checksums = \"{verify}\"\n[rpc]\nsocket = \"{}\"\n[log]\nlevel = \"warn\"\n",
            context.directory.join("engine.sock").display()
        );
        // One file for each setting: the command is run again and again.
        let settings = context.directory.join(format!("engine-{verify}.toml"));
        fs::write(&settings, text)
            .with_context(|| format!("cannot write {}", settings.display()))?;
        let mut command = Command::new(monitord());
        command
            .arg("replay")
            .arg(file)
            .arg("--exit")
            .arg("--config")
            .arg(settings);
        Ok(command)
    }

    /// Checks that each program did all of the work; others aren't measured.
    fn agree(&self, runs: &[Runs]) -> Result<()> {
        let first = |runs: &Runs| {
            runs.first()
                .map(|run: &Run| run.said.clone())
                .unwrap_or_default()
        };
        let [ours, baseline] = [&runs[0], &runs[1]].map(first);
        for what in ["payload_bytes", "flows", "packets"] {
            ensure!(
                ours[what] == baseline[what],
                "{what}: monitord {}, baseline {}",
                ours[what],
                baseline[what]
            );
        }
        ensure!(
            baseline["bad_checksums"] == 0 && ours["stats"]["decode"]["bad_checksum"] == 0,
            "bad checksums"
        );
        let gap_bytes = &ours["stats"]["tcp"]["gap_bytes"];
        ensure!(
            *gap_bytes == self.lost,
            "monitord declared {gap_bytes} bytes lost, but {} were",
            self.lost
        );
        if let Some(nids) = runs.get(2).map(first) {
            for what in ["payload_bytes", "flows"] {
                ensure!(
                    ours[what] == nids[what],
                    "{what}: monitord {}, libnids {}",
                    ours[what],
                    nids[what]
                );
            }
        }
        Ok(())
    }
}

/// The harness for libnids, compiled.
fn harness(context: &Context) -> Result<std::path::PathBuf> {
    let source = context.directory.join("nids.c");
    let program = context.directory.join("nids");
    if program.exists() && fs::read_to_string(&source).is_ok_and(|text| text == HARNESS) {
        return Ok(program);
    }
    fs::write(&source, HARNESS).context("cannot write the harness")?;
    let mut cc = Command::new("cc");
    cc.args(["-O2", "-o"])
        .arg(&program)
        .arg(&source)
        .arg("-lnids");
    let output = cc.output().context("cannot start cc")?;
    if !output.status.success() {
        let errors = String::from_utf8_lossy(&output.stderr).into_owned();
        let first = errors
            .lines()
            .find(|line| line.contains("error"))
            .unwrap_or("the compiler failed")
            .to_owned();
        bail!("libnids is not installed ({first})");
    }
    Ok(program)
}

fn cpu(runs: &Runs) -> Vec<f64> {
    runs.iter().map(|run| run.cpu.as_secs_f64()).collect()
}

fn peak(runs: &Runs) -> Vec<f64> {
    runs.iter().map(|run| run.peak as f64).collect()
}

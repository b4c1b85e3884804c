//! Running programs beside each other.

use std::io::Read;
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use serde_json::Value;

use crate::sys;

/// Costs and output of a program.
#[derive(Clone, Debug)]
pub struct Run {
    /// Processor time in user space and in the kernel.
    pub cpu: Duration,
    /// Peak resident memory, bytes. This program's own is the least that can be seen, so it stays
    /// small: parts that need memory run in another process.
    pub peak: u64,
    /// The JSON object on its standard output.
    pub said: Value,
}

/// Runs a program that prints one JSON object, to its end.
pub fn run(command: &mut Command) -> Result<Run> {
    let name = command.get_program().to_string_lossy().into_owned();
    let mut child = command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .with_context(|| format!("cannot start {name}"))?;
    // Neither writes more than a pipe holds.
    let (mut out, mut log) = (String::new(), String::new());
    child
        .stdout
        .take()
        .context("no standard output")?
        .read_to_string(&mut out)?;
    child
        .stderr
        .take()
        .context("no standard error")?
        .read_to_string(&mut log)?;
    let (status, usage) = sys::wait(&child)?;
    if !status.success() {
        bail!("{name}: {status}\n{log}{out}");
    }
    let said = serde_json::from_str(&out).with_context(|| format!("{name} printed {out:?}"))?;
    Ok(Run {
        cpu: usage.cpu,
        peak: usage.peak,
        said,
    })
}

/// Several runs of one program, each beside the runs with the same index of the others.
pub type Runs = Vec<Run>;

/// Runs all programs in turns, so that changes of the machine during the run meet all of them.
pub fn in_turns(repeat: usize, programs: &mut [Command]) -> Result<Vec<Runs>> {
    let mut runs = vec![Runs::new(); programs.len()];
    // A first turn that isn't counted: it fills the page cache.
    for program in &mut *programs {
        run(program)?;
    }
    for _ in 0..repeat {
        for (program, runs) in programs.iter_mut().zip(&mut runs) {
            runs.push(run(program)?);
        }
    }
    Ok(runs)
}

/// The value in the middle; of an even number, the mean of the two there.
pub fn median(values: impl IntoIterator<Item = f64>) -> f64 {
    let mut values: Vec<f64> = values.into_iter().collect();
    values.sort_unstable_by(f64::total_cmp);
    let (low, high) = (values.len().saturating_sub(1) / 2, values.len() / 2);
    match (values.get(low), values.get(high)) {
        (Some(low), Some(high)) => f64::midpoint(*low, *high),
        _ => f64::NAN,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_is_the_middle_value() {
        assert!((median([3.0, 1.0, 2.0]) - 2.0).abs() < 1e-9);
        assert!((median([4.0, 1.0, 2.0, 3.0]) - 2.5).abs() < 1e-9);
        assert!(median([]).is_nan());
    }

    #[test]
    fn the_usage_of_a_program_is_counted() {
        let mut busy = Command::new("sh");
        busy.args([
            "-c",
            "i=0; while [ $i -lt 30000 ]; do i=$((i+1)); done; echo 1",
        ]);
        let run = run(&mut busy).unwrap();
        assert!(run.cpu > Duration::from_millis(5), "{run:?}");
        assert!(run.peak > 500 << 10, "{run:?}");
        assert_eq!(run.said, 1);
    }
}

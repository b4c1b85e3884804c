//! Results of the test harness, counted from its output.

use std::collections::BTreeSet;
use std::time::Duration;

/// Counts up to now.
#[derive(Debug, Default)]
pub struct Report {
    passed: usize,
    failed: usize,
    /// Test binaries that ended with a result.
    binaries: usize,
    /// Names of failed tests, in the order in which they failed.
    failures: Vec<String>,
    /// Failures counted when the current run of cargo began.
    failed_before: usize,
    /// `name: reason`. A set: a test may record a reason twice.
    skipped: BTreeSet<String>,
    ignored: Vec<String>,
}

impl Report {
    /// Takes in one line of the harness's output.
    pub fn read(&mut self, line: &str) {
        if let Some(counts) = line.strip_prefix("test result: ") {
            self.passed += count(counts, "passed");
            self.failed += count(counts, "failed");
            self.binaries += 1;
        } else if let Some((name, result)) = line
            .strip_prefix("test ")
            .and_then(|test| test.split_once(" ... "))
        {
            if result.starts_with("FAILED") {
                self.failures.push(name.to_string());
            } else if let Some(reason) = result.strip_prefix("ignored") {
                let reason = reason.trim_start_matches(", ");
                self.ignored.push(format!(
                    "{name}: {}",
                    if reason.is_empty() { "ignored" } else { reason }
                ));
            }
        }
    }

    /// A run of cargo that failed without a failed test: a test binary ended in the middle, by a signal or an exit.
    pub fn end_of_run(&mut self, success: bool) {
        if !success && self.failed == self.failed_before {
            self.failed += 1;
            self.failures
                .push("a test binary that ended without a result (see above)".to_string());
        }
        self.failed_before = self.failed;
    }

    /// Takes in the names and reasons of tests that returned early, since they cannot run here. The harness counted
    /// them as passed.
    pub fn add_skipped(&mut self, log: &str) {
        self.skipped.extend(
            log.lines()
                .map(str::trim)
                .filter(|line| !line.is_empty())
                .map(String::from),
        );
        let names: BTreeSet<_> = self
            .skipped
            .iter()
            .map(|line| line.split(": ").next().unwrap_or(line))
            .collect();
        self.passed = self.passed.saturating_sub(names.len());
    }

    /// Returns whether no test ran or was skipped.
    pub fn is_empty(&self) -> bool {
        self.passed + self.failed + self.skipped.len() + self.ignored.len() == 0
    }

    /// Returns the number of test binaries that gave a result.
    pub fn results(&self) -> usize {
        self.binaries
    }

    /// Returns the number of failed tests.
    pub fn failed(&self) -> usize {
        self.failed
    }

    /// The names that matter, the time, and the line that counts.
    pub fn print(&self, elapsed: Duration) {
        println!();
        for line in self.skipped.iter().chain(&self.ignored) {
            println!("skipped {line}");
        }
        for name in &self.failures {
            println!("failed  {name}");
        }
        println!(
            "The whole took {}:{:02} min.",
            elapsed.as_secs() / 60,
            elapsed.as_secs() % 60
        );
        println!("{}", self.summary());
    }

    fn summary(&self) -> String {
        let names: BTreeSet<_> = self
            .skipped
            .iter()
            .map(|line| line.split(": ").next().unwrap_or(line))
            .collect();
        format!(
            "{} passed, {} failed, {} skipped",
            self.passed,
            self.failed,
            names.len() + self.ignored.len()
        )
    }
}

/// The number before `word` in "ok. 3 passed; 0 failed; ...".
fn count(counts: &str, word: &str) -> usize {
    let mut words = counts.split([' ', ';']).filter(|part| !part.is_empty());
    let mut previous = "";
    for part in words.by_ref() {
        if part == word {
            return previous.parse().unwrap_or(0);
        }
        previous = part;
    }
    0
}

#[cfg(test)]
mod tests {
    use super::*;

    fn report(lines: &[&str]) -> Report {
        let mut report = Report::default();
        for line in lines {
            report.read(line);
        }
        report
    }

    #[test]
    fn results_of_several_binaries_add_up() {
        let report = report(&[
            "test a ... ok",
            "test b ... FAILED",
            "test result: FAILED. 1 passed; 1 failed; 0 ignored; 0 measured; 0 filtered out; finished in 0.00s",
            "test result: ok. 4 passed; 0 failed; 0 ignored; 0 measured; 7 filtered out; finished in 0.00s",
        ]);
        assert_eq!(report.summary(), "5 passed, 1 failed, 0 skipped");
        assert_eq!(report.failures, ["b"]);
    }

    #[test]
    fn a_skip_is_not_a_pass() {
        let mut report = report(&[
            "test later ... ignored, needs two machines",
            "test result: ok. 3 passed; 0 failed; 1 ignored; 0 measured; 0 filtered out; finished in 0.00s",
        ]);
        report.add_skipped("lo::download: needs root\nlo::download: needs root\n");
        assert_eq!(report.summary(), "2 passed, 0 failed, 2 skipped");
        assert_eq!(report.ignored, ["later: needs two machines"]);
    }

    #[test]
    fn a_crashed_binary_is_a_failure() {
        let mut report = report(&["test a ... ok"]);
        report.end_of_run(false);
        assert_eq!(report.failed(), 1);
        report.end_of_run(true);
        assert_eq!(report.failed(), 1);
    }
}

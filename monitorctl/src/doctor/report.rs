//! Findings of the checks, and their output.

use std::io::Write;

use serde::Serialize;

use crate::failure::Failure;

/// Result of a check.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Level {
    Ok,
    /// It could not be determined.
    Unknown,
    /// The capture works, but slower or with a restriction.
    Warning,
    /// The capture fails, or loses packets.
    Problem,
}

/// Checked fact.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Finding {
    pub check: String,
    pub level: Level,
    pub found: String,
    /// Command or sentence that solves the problem.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cure: Option<String>,
}

/// All findings, in the order of the checks.
#[derive(Debug, Default, Serialize)]
pub struct Report {
    pub findings: Vec<Finding>,
}

impl Report {
    pub fn ok(&mut self, check: &str, found: impl Into<String>) {
        self.add(check, Level::Ok, found.into(), None);
    }

    pub fn unknown(&mut self, check: &str, found: impl Into<String>) {
        self.add(check, Level::Unknown, found.into(), None);
    }

    pub fn warning(&mut self, check: &str, found: impl Into<String>, cure: impl Into<String>) {
        self.add(check, Level::Warning, found.into(), Some(cure.into()));
    }

    pub fn problem(&mut self, check: &str, found: impl Into<String>, cure: impl Into<String>) {
        self.add(check, Level::Problem, found.into(), Some(cure.into()));
    }

    fn add(&mut self, check: &str, level: Level, found: String, cure: Option<String>) {
        self.findings.push(Finding {
            check: check.to_owned(),
            level,
            found,
            cure,
        });
    }

    pub fn count(&self, level: Level) -> usize {
        let of_level = self
            .findings
            .iter()
            .filter(|finding| finding.level == level);
        of_level.count()
    }

    /// Prints a line per finding, with the cure below it.
    pub fn print(&self, out: &mut impl Write) -> Result<(), Failure> {
        let width = self
            .findings
            .iter()
            .map(|finding| finding.check.len())
            .max();
        let width = width.unwrap_or(0);
        for Finding {
            check,
            level,
            found,
            cure,
        } in &self.findings
        {
            let level = match level {
                Level::Ok => "ok",
                Level::Unknown => "unknown",
                Level::Warning => "warning",
                Level::Problem => "PROBLEM",
            };
            writeln!(out, "{level:<7}  {check:<width$}  {found}")?;
            if let Some(cure) = cure {
                writeln!(out, "{:<7}  {:<width$}  -> {cure}", "", "")?;
            }
        }
        let (problems, warnings) = (self.count(Level::Problem), self.count(Level::Warning));
        writeln!(out, "{problems} problems, {warnings} warnings")?;
        Ok(())
    }
}

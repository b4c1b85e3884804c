//! Access to /proc, /sys and the programs `ip`, `ethtool` and `zcat`, replaceable in tests.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// Source of facts.
pub struct System {
    root: PathBuf,
}

impl System {
    pub fn new() -> Self {
        Self {
            root: PathBuf::from("/"),
        }
    }

    /// Returns a system with all of its files below a directory. The output of a program is the file
    /// `output/PROGRAM ARGUMENTS`.
    #[cfg(test)]
    pub fn at(root: &Path) -> Self {
        Self {
            root: root.to_path_buf(),
        }
    }

    fn path(&self, path: &str) -> PathBuf {
        self.root.join(path.trim_start_matches('/'))
    }

    pub fn exists(&self, path: &str) -> bool {
        self.path(path).exists()
    }

    /// Returns a file's content without the last line feed.
    pub fn read(&self, path: &str) -> Option<String> {
        let text = fs::read_to_string(self.path(path)).ok()?;
        Some(text.trim_end().to_owned())
    }

    pub fn number(&self, path: &str) -> Option<u64> {
        self.read(path)?.parse().ok()
    }

    /// Returns the last part of a symbolic link's target.
    pub fn link(&self, path: &str) -> Option<String> {
        let target = fs::read_link(self.path(path)).ok()?;
        Some(target.file_name()?.to_string_lossy().into_owned())
    }

    /// Returns the names in a directory, sorted.
    pub fn names(&self, path: &str) -> Vec<String> {
        let entries = fs::read_dir(self.path(path))
            .into_iter()
            .flatten()
            .flatten();
        let mut names: Vec<_> = entries
            .map(|entry| entry.file_name().to_string_lossy().into_owned())
            .collect();
        names.sort();
        names
    }

    /// Returns the standard output of a program, or `None` if it is missing or fails.
    pub fn output(&self, program: &str, args: &[&str]) -> Option<String> {
        if self.root != Path::new("/") {
            return self.read(&format!("output/{program} {}", args.join(" ")));
        }
        let output = Command::new(program)
            .args(args)
            .stdin(Stdio::null())
            .stderr(Stdio::null())
            .output()
            .ok()?;
        output
            .status
            .success()
            .then(|| String::from_utf8_lossy(&output.stdout).into_owned())
    }
}

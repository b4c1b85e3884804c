//! Steady stream of generated packets on a cable.

use std::io::{BufRead, BufReader};
use std::process::{Child, ChildStdout, Stdio};

use tempfile::TempDir;

use crate::Namespace;
use crate::wiregen::Capture;

/// Program that repeats the frames of a capture at a rate until it is stopped. Dropping it kills it.
pub struct Generator {
    child: Child,
    output: BufReader<ChildStdout>,
    _dir: TempDir,
}

impl Generator {
    /// Starts to send the frames of a capture out of an interface, at `rate` frames a second.
    ///
    /// # Panics
    /// When python3 cannot be run.
    #[must_use]
    #[track_caller]
    pub fn start(from: &Namespace, interface: &str, capture: &Capture, rate: u32) -> Self {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let file = dir.path().join("capture.pcap");
        std::fs::write(&file, capture.pcap()).expect("room for the frames");
        let mut command = from.command("python3");
        command.args(["-c", include_str!("generator.py")]);
        command.arg(&file).arg(interface).arg(rate.to_string());
        let spawned = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn();
        let mut child = spawned.expect("python3 starts");
        let stdout = child.stdout.take().expect("its output is a pipe");
        let mut this = Self {
            child,
            output: BufReader::new(stdout),
            _dir: dir,
        };
        assert_eq!(this.line(), "ready");
        this
    }

    /// Stops it, and returns the number of frames sent.
    ///
    /// # Panics
    /// When a frame could not be sent.
    #[track_caller]
    pub fn stop(mut self) -> u64 {
        drop(self.child.stdin.take());
        self.line().parse().expect("the number of frames")
    }

    #[track_caller]
    fn line(&mut self) -> String {
        let mut line = String::new();
        self.output.read_line(&mut line).expect("its output");
        line.trim_end().to_owned()
    }
}

impl Drop for Generator {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

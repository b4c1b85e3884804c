//! Steady stream of generated packets on a cable.

use std::io::{BufRead, BufReader};
use std::process::{Child, ChildStdout, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::json;
use tempfile::TempDir;

use crate::wiregen::Capture;
use crate::{Daemon, Namespace, Rpc};

/// Packets on the wire, and those that a daemon lost.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Count {
    /// Number of frames sent.
    pub sent: u64,
    /// Number of those that no worker took in.
    pub lost: u64,
}

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

    /// Sends the frames of a capture at `rate` frames a second to a daemon while `body` runs, and counts them.
    ///
    /// # Panics
    /// When a frame could not be sent, or the daemon doesn't answer.
    #[track_caller]
    pub fn beside(
        daemon: &Daemon,
        from: &Namespace,
        interface: &str,
        (capture, rate): (&Capture, u32),
        body: impl FnOnce(),
    ) -> Count {
        let received = |rpc: &mut Rpc| {
            let capture = rpc.ok("stats", json!({}))["capture"].take();
            let number = |name: &str| capture[name].as_u64().expect("a counter");
            let dropped = number("rx_dropped") + number("rx_ring_full");
            (number("rx_packets"), dropped)
        };
        let mut rpc = daemon.rpc();
        let before = received(&mut rpc);
        let generator = Self::start(from, interface, capture, rate);
        body();
        let sent = generator.stop();
        let mut after = received(&mut rpc);
        // The last packets are on their way.
        let deadline = Instant::now() + Duration::from_secs(5);
        while after.0 - before.0 < sent && Instant::now() < deadline {
            thread::sleep(Duration::from_millis(20));
            after = received(&mut rpc);
        }
        Count {
            sent,
            lost: sent
                .saturating_sub(after.0 - before.0)
                .max(after.1 - before.1),
        }
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

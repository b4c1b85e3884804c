//! `monitorctl export`: captures that other programs read, compared with the bytes that the daemon has.

#![expect(
    clippy::unwrap_used,
    reason = "a test says what it expects by unwrapping it"
)]

mod ends;
mod holes;
mod live;
mod round_trip;
mod stored;
mod tls;
mod wireshark;

use std::path::{Path, PathBuf};
use std::process::Command;

use monitor_tests::wiregen::{Capture, Flow, Layers};
use monitor_tests::{Daemon, Program, monitorctl};
use tempfile::TempDir;

/// Returns `monitorctl` with these arguments, beside a daemon.
fn ctl(daemon: &Daemon, args: &[&str]) -> Command {
    let mut command = Command::new(monitorctl());
    command.arg("--socket").arg(daemon.socket()).args(args);
    command
}

/// Capture in a directory of its own.
struct Exported {
    dir: TempDir,
}

impl Exported {
    /// Exports with these arguments.
    #[track_caller]
    fn new(daemon: &Daemon, args: &[&str]) -> Self {
        let it = Self {
            dir: tempfile::tempdir().unwrap(),
        };
        Program::run(ctl(daemon, &["export"]).args(args).arg("-o").arg(it.path()));
        it
    }

    fn path(&self) -> PathBuf {
        self.dir.path().join("export.pcapng")
    }

    /// Runs tshark on the file, and returns its output.
    #[track_caller]
    fn tshark(&self, args: &[&str]) -> String {
        tshark(&self.path(), args)
    }

    /// Returns the bytes of a stream as tshark reassembles them: those of the client and those of the server.
    #[track_caller]
    fn streams(&self, number: usize) -> [Vec<u8>; 2] {
        let shown = self.tshark(&["-q", "-z", &format!("follow,tcp,raw,{number}")]);
        followed(&shown)
    }

    /// Asserts that tshark finds no fault in sequence numbers and checksums.
    #[track_caller]
    fn is_clean(&self) {
        let faults = "tcp.analysis.flags or tcp.checksum.status == 0 or ip.checksum.status == 0";
        let checked = ["tcp.check_checksum:TRUE", "ip.check_checksum:TRUE"];
        let shown = self.tshark(&["-o", checked[0], "-o", checked[1], "-Y", faults]);
        assert_eq!(shown, "");
    }
}

#[track_caller]
fn tshark(file: &Path, args: &[&str]) -> String {
    Program::run(
        Command::new("tshark")
            .arg("-n")
            .arg("-r")
            .arg(file)
            .args(args),
    )
    .text()
}

/// Parses the bytes of both ends in tshark's text.
fn followed(shown: &str) -> [Vec<u8>; 2] {
    let mut streams = [Vec::new(), Vec::new()];
    let lines = shown
        .lines()
        .skip_while(|line| !line.starts_with("Node 1:"))
        .skip(1);
    for line in lines.take_while(|line| !line.starts_with('=')) {
        let sender = usize::from(line.starts_with('\t'));
        streams[sender].extend(unhex(line.trim()));
    }
    streams
}

fn unhex(text: &str) -> Vec<u8> {
    let digits = text.as_bytes().chunks(2);
    digits
        .map(|pair| u8::from_str_radix(str::from_utf8(pair).unwrap(), 16).unwrap())
        .collect()
}

/// Replays flows in the headers of `layers`, mixed by time, to their end.
fn replayed(flows: &[&Flow], layers: &Layers, settings: &str) -> Daemon {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("capture.pcap");
    let capture = Capture::mix(flows.iter().map(|flow| Capture::of(layers, flow)));
    std::fs::write(&file, capture.pcap()).unwrap();
    let daemon = Daemon::replay(&[&file], settings, &[]);
    daemon.finished();
    daemon
}

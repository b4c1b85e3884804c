//! The verb `ready`.

use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread;
use std::time::Duration;

use monitor_client::types::Stats;
use monitor_client::{Code, Error};
use serde_json::json;

use crate::context::connect;
use crate::failure::Failure;
use crate::values::seconds;

/// Pause between two attempts.
const PAUSE: Duration = Duration::from_millis(20);

/// The timeout.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Timeout: 2, 500ms, 10m; 0 checks once
    #[arg(long, value_name = "TIME", value_parser = seconds, default_value = "10")]
    timeout: f64,
}

/// Result of one attempt.
enum Attempt {
    /// The daemon captures; its statistics.
    Ready(Box<Stats>),
    /// It doesn't yet, for this reason.
    Waiting(String),
    /// Another attempt would fail as well.
    Failed(Failure),
}

pub fn ready(
    out: &mut impl Write,
    socket: &Path,
    is_json: bool,
    args: &Args,
) -> Result<(), Failure> {
    let timeout = Duration::try_from_secs_f64(args.timeout)
        .map_err(|_| Failure::Usage("the timeout is too long"))?;
    let stats = wait(socket.to_path_buf(), timeout)?;
    if is_json {
        serde_json::to_writer(
            &mut *out,
            &json!({ "ready": true, "capture": stats.capture }),
        )?;
        writeln!(out)?;
    }
    Ok(())
}

/// Attempts run on a thread of their own. A daemon that is starting accepts connections before it answers, and must not
/// block the timeout.
fn wait(socket: PathBuf, timeout: Duration) -> Result<Stats, Failure> {
    let (sender, attempts) = mpsc::channel();
    thread::spawn(move || {
        while sender.send(attempt(&socket)).is_ok() {
            thread::sleep(PAUSE);
        }
    });
    let deadline = std::time::Instant::now() + timeout;
    let mut reason = "the daemon doesn't answer".to_owned();
    loop {
        // The first attempt has a moment even without a timeout.
        let left = deadline.saturating_duration_since(std::time::Instant::now());
        match attempts.recv_timeout(left.max(PAUSE)) {
            Ok(Attempt::Ready(stats)) => return Ok(*stats),
            Ok(Attempt::Failed(failure)) => return Err(failure),
            Ok(Attempt::Waiting(because)) => reason = because,
            Err(RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected) => {}
        }
        if std::time::Instant::now() >= deadline {
            return Err(Failure::NotReady(reason));
        }
    }
}

fn attempt(socket: &Path) -> Attempt {
    let stats = connect(socket).and_then(|mut client| client.stats());
    match stats {
        Ok(stats) => match missing(&stats) {
            None => Attempt::Ready(Box::new(stats)),
            Some(reason) => Attempt::Waiting(reason),
        },
        Err(error) if is_temporary(&error) => Attempt::Waiting(Failure::from(error).message()),
        Err(error) => Attempt::Failed(error.into()),
    }
}

/// Returns the interfaces that aren't captured yet, as a sentence. Files of a replay need no capture.
fn missing(stats: &Stats) -> Option<String> {
    if stats.capture.mode == "replay" {
        return None;
    }
    let down = stats
        .capture
        .interfaces
        .iter()
        .filter(|interface| !interface.up);
    let names: Vec<_> = down.map(|interface| interface.name.as_str()).collect();
    (!names.is_empty()).then(|| format!("no packets are captured from {}", names.join(", ")))
}

fn is_temporary(error: &Error) -> bool {
    match error {
        Error::Connect { source, .. } => source.kind() != io::ErrorKind::PermissionDenied,
        Error::Io(_) | Error::Closed => true,
        Error::Rpc(error) => error.known_code() == Some(Code::Again),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use monitor_client::types::InterfaceStats;

    use super::*;

    #[test]
    fn every_interface_must_be_captured() {
        let interface = |name: &str, up| InterfaceStats {
            name: name.to_owned(),
            up,
            path: None,
            xdp: None,
            queues: 1,
        };
        let mut stats = Stats::default();
        stats.capture.mode = "tap".into();
        stats.capture.interfaces = vec![interface("lo", true), interface("eth0", false)];
        assert_eq!(
            missing(&stats).as_deref(),
            Some("no packets are captured from eth0")
        );
        stats.capture.interfaces[1].up = true;
        assert_eq!(missing(&stats), None);
    }
}

//! Reports to the service manager while the daemon serves: its status line, and its watchdog.
//!
//! **Invariant:** the watchdog is fed only after every worker ran a command, the supervisor read the counters, and the
//! server's task answered.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{mpsc, oneshot};
use tracing::debug;

use crate::control::Command;
use crate::status::{CaptureSnapshot, Status};
use crate::util::systemd;

/// Interval of the status line without a watchdog.
const INTERVAL: Duration = Duration::from_secs(10);
/// Number of times that a healthy daemon feeds the watchdog before it expires.
const FEEDS: u32 = 3;

/// Sender of questions to the server's task.
pub(super) type Pulse = mpsc::Sender<oneshot::Sender<()>>;

/// Reports until it is dropped.
pub(super) async fn run(status: Status, pulse: Pulse) {
    let timeout = systemd::watchdog_timeout();
    let interval = timeout.map_or(INTERVAL, |timeout| (timeout / FEEDS).min(INTERVAL));
    loop {
        match check(&status, &pulse).await {
            Some(snapshot) => {
                systemd::watchdog();
                systemd::status(&line(&snapshot));
            }
            None => debug!("the watchdog is not fed"),
        }
        tokio::time::sleep(interval).await;
    }
}

/// Returns the state of the capture once every part of the daemon made progress; `None` if a part does not answer.
async fn check(status: &Status, pulse: &Pulse) -> Option<CaptureSnapshot> {
    for worker in 0..status.command_queues.workers() {
        let ping = |answer| Command::Ping { answer };
        if let Err(error) = status.command_queues.ask(worker, ping).await {
            debug!("{error}");
            return None;
        }
    }
    let (answer, answered) = oneshot::channel();
    pulse.send(answer).await.ok()?;
    answered.await.ok()?;
    let capture = Arc::clone(&status.capture);
    tokio::task::spawn_blocking(move || capture.snapshot())
        .await
        .ok()
}

/// Returns the status line: interfaces, path and losses.
fn line(snapshot: &CaptureSnapshot) -> String {
    let all = snapshot.interfaces.len();
    let up = snapshot.interfaces.iter().filter(|interface| interface.up);
    let names: Vec<_> = up.map(|interface| interface.name.as_str()).collect();
    let down = if names.len() < all {
        format!("; {} of {all} interfaces down", all - names.len())
    } else {
        String::new()
    };
    let names = match names.len() {
        0 => "nothing".to_owned(),
        1..=4 => names.join(", "),
        more => format!("{} and {} more", names[..3].join(", "), more - 3),
    };
    let path: Vec<_> = [snapshot.path, snapshot.xdp]
        .into_iter()
        .flatten()
        .collect();
    let path = if path.is_empty() {
        String::new()
    } else {
        format!(" ({})", path.join(", "))
    };
    let lost: u64 = snapshot
        .counters
        .iter()
        .filter(|(name, ..)| LOSSES.contains(name))
        .map(|(.., value)| value)
        .sum();
    format!(
        "{}: capturing {names}{path}{down}; {lost} packets lost",
        snapshot.mode
    )
}

/// Counters of lost packets.
const LOSSES: [&str; 5] = [
    "rx_dropped",
    "rx_ring_full",
    "rx_oversized",
    "device_dropped",
    "handoffs_lost",
];

#[cfg(test)]
mod tests {
    use super::*;
    use crate::status::InterfaceSnapshot;

    #[test]
    fn the_status_line_has_interfaces_path_and_losses() {
        let interface = |name: &str, up| InterfaceSnapshot {
            name: name.to_owned(),
            up,
            ..InterfaceSnapshot::default()
        };
        let mut snapshot = CaptureSnapshot {
            mode: "mirror",
            path: Some("xdp"),
            xdp: Some("native"),
            interfaces: vec![interface("eth0", true), interface("eth1", false)],
            counters: vec![
                ("rx_packets", "", 9),
                ("rx_dropped", "", 2),
                ("rx_ring_full", "", 1),
            ],
            ..CaptureSnapshot::default()
        };
        assert_eq!(
            line(&snapshot),
            "mirror: capturing eth0 (xdp, native); 1 of 2 interfaces down; 3 packets lost"
        );
        snapshot.interfaces = (0..6).map(|n| interface(&format!("v{n}"), true)).collect();
        snapshot.xdp = None;
        assert_eq!(
            line(&snapshot),
            "mirror: capturing v0, v1, v2 and 3 more (xdp); 3 packets lost"
        );
    }
}

//! Streams of the monitor beside those of the running kernel: from any segments, both accept the same bytes.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use monitor_tests::needs;
use monitor_tests::receiver::{Difference, Kinds, Lab, Role};

/// Scripts of a batch.
const BATCH: u64 = 250;
/// Batches after which the endless run starts another daemon: all connections stay listed.
const BATCHES: u64 = 40;

fn number(name: &str, otherwise: u64) -> u64 {
    std::env::var(name)
        .ok()
        .and_then(|text| text.parse().ok())
        .unwrap_or(otherwise)
}

fn kinds() -> Kinds {
    Kinds {
        checksums: number("MONITOR_RECEIVER_CHECKSUMS", 0) != 0,
    }
}

/// Prints differences, and writes their packets to the directory that MONITOR_RECEIVER_DUMP names.
fn report(role: Role, differences: &[Vec<Difference>; 2]) {
    let directory = std::env::var_os("MONITOR_RECEIVER_DUMP");
    for (kind, found) in ["live", "replay"].iter().zip(differences) {
        for difference in found {
            eprintln!("{kind} seed {}: {}", difference.seed, difference.what);
            if let Some(directory) = &directory {
                let path = std::path::Path::new(directory)
                    .join(format!("{role:?}-{kind}-{}", difference.seed));
                let _ = std::fs::write(path.with_extension("txt"), difference.to_string());
                let _ = std::fs::write(path.with_extension("pcap"), &difference.pcap);
            }
        }
    }
    let first = differences.iter().flatten().next();
    assert!(
        first.is_none(),
        "{}",
        first.map(ToString::to_string).unwrap_or_default()
    );
}

fn scripts(role: Role, count: u64) {
    let count = number("MONITOR_RECEIVER_SCRIPTS", count);
    let first = number("MONITOR_RECEIVER_SEED", 1);
    let started = Instant::now();
    let mut lab = Lab::new("", kinds());
    let mut differences = [Vec::new(), Vec::new()];
    let mut seed = first;
    while seed < first + count {
        let end = (seed + BATCH).min(first + count);
        let batch = lab.run(role, seed..end);
        for (all, found) in differences.iter_mut().zip(batch) {
            all.extend(found);
        }
        seed = end;
    }
    eprintln!(
        "{role:?}: seeds {first} to {}: {} live differences, {} replayed, {:?}",
        first + count - 1,
        differences[0].len(),
        differences[1].len(),
        started.elapsed()
    );
    report(role, &differences);
}

#[test]
fn a_listening_socket_and_the_monitor_accept_the_same_bytes() {
    needs!("python3");
    scripts(Role::Server, 1400);
}

#[test]
fn a_connecting_socket_and_the_monitor_accept_the_same_bytes() {
    needs!("python3");
    scripts(Role::Client, 600);
}

/// Runs scripts of both roles until one differs, or for MONITOR_RECEIVER_SECONDS.
#[test]
#[ignore = "runs until it is stopped: cargo xtask fuzz receiver"]
fn sockets_and_the_monitor_accept_the_same_bytes_without_end() {
    needs!("python3");
    let seconds = number("MONITOR_RECEIVER_SECONDS", u64::MAX);
    let now = SystemTime::now().duration_since(UNIX_EPOCH);
    let clock = now.map_or(0, |now| now.as_secs());
    let mut seed = number("MONITOR_RECEIVER_SEED", clock * 1_000_000);
    let (started, mut scripts) = (Instant::now(), 0);
    let is_over = |started: Instant| started.elapsed() >= Duration::from_secs(seconds);
    while !is_over(started) {
        let mut lab = Lab::new("", kinds());
        for batch in 0..BATCHES {
            let role = [Role::Server, Role::Client][(batch % 2) as usize];
            let differences = lab.run(role, seed..seed + BATCH);
            eprintln!("{role:?}: seeds {seed} to {}", seed + BATCH - 1);
            report(role, &differences);
            seed += BATCH;
            scripts += BATCH;
            if is_over(started) {
                break;
            }
        }
    }
    eprintln!("{scripts} scripts without a difference");
}

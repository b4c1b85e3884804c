//! Isolation: greedy readers, and the packets lost during their reads.

use std::sync::atomic::Ordering::Relaxed;
use std::sync::atomic::{AtomicBool, AtomicU64};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use monitor_tests::{Daemon, Pair};
use serde_json::json;

use super::network;
use crate::context::{Benchmark, Context};
use crate::load::Sending;
use crate::report::{Line, Report, Threshold, Unit};

pub const BENCHMARKS: &[Benchmark] = &[Benchmark {
    name: "isolation",
    measure: isolation,
}];

const CLIENTS: [usize; 3] = [0, 8, 64];
/// Load below half of a worker's capacity.
const LOAD: Sending = Sending {
    bytes: 1514,
    seconds: 3.0,
    rate: 200_000,
    core: network::SENDER_CORE,
};
/// Bytes asked for at a time.
const PIECE: u64 = 64 << 10;

/// Outcome of a load.
struct Outcome {
    /// Packets that the sender's kernel was done with.
    sent: u64,
    taken: u64,
    /// Lost before they came to the monitor's end.
    on_the_cable: u64,
    /// Lost there, by the monitor's own counters.
    at_the_socket: u64,
    read: f64,
}

fn isolation(context: &Context, name: &str, report: &mut Report) -> Result<()> {
    if let Some(missing) = network::missing(&["ethtool"]) {
        report.skip(name, &missing);
        return Ok(());
    }
    let mut outcomes = CLIENTS.map(|_| Vec::new());
    for _ in 0..context.repeat {
        for (clients, outcomes) in CLIENTS.into_iter().zip(&mut outcomes) {
            outcomes.push(loaded(context, clients)?);
        }
    }
    // Sums and not medians: one packet that is lost in one run counts.
    let sum = |runs: &[Outcome], of: fn(&Outcome) -> u64| runs.iter().map(of).sum::<u64>() as f64;
    let lost = |runs: &[Outcome]| sum(runs, |run| run.sent) - sum(runs, |run| run.taken);
    for (clients, runs) in CLIENTS.into_iter().zip(&outcomes) {
        let benchmark = format!("{name}, {clients} clients");
        let mut count =
            |what, value| report.add(Line::alone(&benchmark, what, Unit::Count, &[value]));
        count("sent", sum(runs, |run| run.sent));
        count("taken in", sum(runs, |run| run.taken));
        count("lost on the cable", sum(runs, |run| run.on_the_cable));
        count("lost at the socket", sum(runs, |run| run.at_the_socket));
        let line = Line::difference(
            &benchmark,
            "lost",
            Unit::Count,
            &[lost(runs)],
            "0 clients",
            &[lost(&outcomes[0])],
        );
        report.add(line.threshold_if((clients > 0).then_some(Threshold::NotMore)));
        if clients > 0 {
            let read: Vec<f64> = runs.iter().map(|run| run.read).collect();
            report.add(Line::alone(
                &benchmark,
                "read by them",
                Unit::BytesPerSecond,
                &read,
            ));
        }
    }
    Ok(())
}

fn loaded(context: &Context, clients: usize) -> Result<Outcome> {
    let Pair { a, b } = network::cable();
    // Only the frames sent here shall arrive.
    b.set("ipv6/conf/veth/disable_ipv6", "1");
    let daemon = network::mirror(&a);
    let sender = network::send(context, &b, LOAD)?;
    network::rate(&mut daemon.rpc(), 0.1);
    let (done, read, started) = (AtomicBool::new(false), AtomicU64::new(0), Instant::now());
    let said = thread::scope(|scope| {
        for _ in 0..clients {
            scope.spawn(|| greedy(&daemon, &done, &read));
        }
        let said = network::said(sender);
        done.store(true, Relaxed);
        said
    })?;
    let read = read.into_inner() as f64 / started.elapsed().as_secs_f64();
    // The worker empties the rings.
    thread::sleep(Duration::from_millis(200));
    let mut rpc = daemon.rpc();
    let (taken, at_the_socket) = (network::taken(&mut rpc), network::lost(&mut rpc));
    let on_the_cable = b.statistic("veth", "tx_dropped");
    let sent = said["packets"]
        .as_u64()
        .context("the sender does not say how many it sent")?;
    ensure!(sent > 0 && taken > 0, "nothing came: {said}");
    daemon.stop();
    Ok(Outcome {
        sent,
        taken,
        on_the_cable,
        at_the_socket,
        read,
    })
}

/// Reads the newest bytes of one connection after the other.
fn greedy(daemon: &Daemon, done: &AtomicBool, read: &AtomicU64) {
    let mut rpc = daemon.rpc();
    let sockets = rpc.sockets(json!({}));
    let mut turn = 0;
    while !done.load(Relaxed) {
        turn += 1;
        let Some(sockid) = sockets
            .get(turn % sockets.len().max(1))
            .and_then(|s| s["sockid"].as_u64())
        else {
            return;
        };
        let next = rpc.side(sockid, "server")["next"]
            .as_u64()
            .unwrap_or_default();
        // Evicted bytes are an error, and as good a request as any.
        if let Ok((_, bytes)) = rpc.ppeek(sockid, "server", next.saturating_sub(PIECE), PIECE) {
            read.fetch_add(bytes.len() as u64, Relaxed);
        }
    }
}

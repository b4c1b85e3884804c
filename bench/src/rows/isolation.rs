//! Readers that are as greedy as they can be, and the packets that are lost meanwhile.

use std::{
    sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed},
    thread,
    time::Duration,
};

use anyhow::{Result, ensure};
use monitor_tests::{Daemon, Pair};
use serde_json::json;

use super::{Row, network};
use crate::{
    Context,
    load::Sending,
    report::{Bar, Line, Report, Unit},
};

pub const ROWS: &[Row] = &[Row { name: "isolation", measure: isolation }];

const CLIENTS: [usize; 3] = [0, 8, 64];
/// Frames, their size, and how long they are sent: about half of what a worker can take in.
const LOAD: Sending = Sending { bytes: 1514, seconds: 3.0, rate: 200_000, core: network::SENDER_CORE };
/// Bytes asked for at a time.
const PIECE: u64 = 64 << 10;

/// What came of a load.
struct Outcome {
    lost: f64,
    taken: f64,
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
    let lost = outcomes.each_ref().map(|runs| runs.iter().map(|run| run.lost).collect::<Vec<_>>());
    for ((clients, runs), ours) in CLIENTS.into_iter().zip(&outcomes).zip(&lost) {
        let row = format!("{name}, {clients} clients");
        let taken: Vec<f64> = runs.iter().map(|run| run.taken).collect();
        let read: Vec<f64> = runs.iter().map(|run| run.read).collect();
        report.add(Line::alone(&row, "taken in", Unit::Count, &taken));
        if clients > 0 {
            report.add(Line::alone(&row, "read by them", Unit::BytesPerSecond, &read));
        }
        let line = Line::difference(&row, "lost", Unit::Count, ours, "0 clients", &lost[0]);
        report.add(line.bar_if((clients > 0).then_some(Bar::NotMore)));
    }
    Ok(())
}

fn loaded(context: &Context, clients: usize) -> Result<Outcome> {
    let Pair { a, b } = network::cable();
    let daemon = network::mirror(&a);
    let sender = network::send(context, &b, LOAD)?;
    network::rate(&mut daemon.rpc(), 0.1);
    let (done, read) = (AtomicBool::new(false), AtomicU64::new(0));
    let sent = thread::scope(|scope| {
        for _ in 0..clients {
            scope.spawn(|| greedy(&daemon, &done, &read));
        }
        let sent = network::said(sender);
        done.store(true, Relaxed);
        sent
    })?;
    // What is in the rings is taken in.
    thread::sleep(Duration::from_millis(200));
    let mut rpc = daemon.rpc();
    let (taken, lost) = (network::taken(&mut rpc), network::lost(&mut rpc));
    ensure!(taken > 0, "nothing came: {sent}");
    daemon.stop();
    Ok(Outcome { lost: lost as f64, taken: taken as f64, read: read.into_inner() as f64 / LOAD.seconds })
}

/// Reads the newest bytes of one connection after the other.
fn greedy(daemon: &Daemon, done: &AtomicBool, read: &AtomicU64) {
    let mut rpc = daemon.rpc();
    let sockets = rpc.sockets(json!({}));
    let mut turn = 0;
    while !done.load(Relaxed) {
        turn += 1;
        let Some(sockid) = sockets.get(turn % sockets.len().max(1)).and_then(|s| s["sockid"].as_u64()) else {
            return;
        };
        let next = rpc.side(sockid, "server")["next"].as_u64().unwrap_or_default();
        // Bytes that were evicted meanwhile are an error, and as good a request as any.
        if let Ok((_, bytes)) = rpc.ppeek(sockid, "server", next.saturating_sub(PIECE), PIECE) {
            read.fetch_add(bytes.len() as u64, Relaxed);
        }
    }
}

//! Network of the live benchmarks: a cable, its senders and its receivers.

use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use monitor_tests::{Daemon, Namespace, Network, Pair, Program, Rpc, skip, until};
use serde_json::{Value, json};

use crate::context::Context;
use crate::load::Sending;

/// The worker and every receiver it is compared with.
pub const RECEIVER_CORE: usize = 0;
/// The sender, and with it the kernel's work of carrying packets over.
pub const SENDER_CORE: usize = 1;

/// Returns the missing requirement, if any.
pub fn missing(programs: &[&str]) -> Option<String> {
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    skip::missing(programs)
        .map(|missing| format!("needs {missing}"))
        .or_else(|| (cores < 2).then(|| "needs two processors: one sends, one receives".to_owned()))
}

/// Creates two namespaces and a cable between them that leaves packets unchanged.
pub fn cable() -> Pair {
    Network {
        offloads: false,
        ..Network::default()
    }
    .pair()
}

/// Starts monitord at the end of the cable, as at a mirror port, with default settings.
pub fn mirror(namespace: &Namespace) -> Daemon {
    mirror_by(namespace, "auto")
}

/// Starts it with a capture path.
pub fn mirror_by(namespace: &Namespace, path: &str) -> Daemon {
    mirror_with(namespace, path, "")
}

/// Starts it with a capture path and more settings.
pub fn mirror_with(namespace: &Namespace, path: &str, more: &str) -> Daemon {
    let settings = format!(
        "[capture]\nmode = 'mirror'\npath = '{path}'\ninterfaces = ['veth']\nworkers = 1\n{more}[log]\nlevel = 'warn'\n"
    );
    Daemon::start(namespace, &settings)
}

/// Starts to send.
pub fn send(context: &Context, from: &Namespace, sending: Sending) -> Result<Program> {
    let Sending {
        bytes,
        seconds,
        rate,
        core,
    } = sending;
    let words = [
        bytes.to_string(),
        seconds.to_string(),
        rate.to_string(),
        core.to_string(),
    ];
    let mut command = inside(context, from)?;
    command.args(["send", "veth"]).args(words);
    Ok(Program::start(&mut command))
}

/// Starts to send at full speed, until it is dropped or `seconds` have passed.
pub fn flood(context: &Context, from: &Namespace, bytes: usize, seconds: u32) -> Result<Program> {
    let words = [
        bytes.to_string(),
        seconds.to_string(),
        SENDER_CORE.to_string(),
    ];
    let mut command = inside(context, from)?;
    command.args(["flood", "veth"]).args(words);
    Ok(Program::start(&mut command))
}

/// This program in a namespace.
pub fn inside(context: &Context, namespace: &Namespace) -> Result<std::process::Command> {
    let program = context.program()?;
    Ok(namespace.command(program.to_str().context("a path in UTF-8")?))
}

/// Returns the output of a part.
pub fn said(program: Program) -> Result<Value> {
    let finished = program.finish();
    anyhow::ensure!(
        finished.status.success(),
        "{}: {}",
        finished.status,
        finished.stderr
    );
    serde_json::from_str(&finished.text()).with_context(|| finished.text())
}

/// Returns the packets per second that the daemon captured, over `seconds`.
pub fn rate(rpc: &mut Rpc, seconds: f64) -> f64 {
    let first = taken(rpc);
    until("packets", || (taken(rpc) > first).then_some(()));
    std::thread::sleep(Duration::from_millis(300));
    let (before, started) = (taken(rpc), Instant::now());
    std::thread::sleep(Duration::from_secs_f64(seconds));
    (taken(rpc) - before) as f64 / started.elapsed().as_secs_f64()
}

/// Packets that the workers took in.
pub fn taken(rpc: &mut Rpc) -> u64 {
    rpc.stat("capture", "rx_packets")
}

/// Packets that came to the daemon and were lost.
pub fn lost(rpc: &mut Rpc) -> u64 {
    let stats = rpc.ok("stats", json!({}));
    ["rx_dropped", "rx_ring_full"]
        .iter()
        .filter_map(|name| stats["capture"][name].as_u64())
        .sum()
}

//! Counters of the capture and the engines, as `stats` and `replay --exit` show them.

use std::borrow::Cow;
use std::sync::Arc;

use monitor_engine::Counters as EngineCounters;
use monitor_rpc::Counters;
use monitor_rpc::types::{CaptureStats, InterfaceStats, Stats, WorkerStats};

use crate::status::{CaptureSnapshot, InterfaceSnapshot};

/// Returns all of `stats` except the server's own counters.
#[must_use]
pub fn gather(snapshot: CaptureSnapshot, engines: &[Arc<EngineCounters>]) -> Stats {
    let mut stats = Stats {
        capture: capture(snapshot),
        ..Stats::default()
    };
    for (worker, engine) in engines.iter().enumerate() {
        let mut own = WorkerStats {
            worker: worker as u16,
            cpu_ns: engine.cpu_ns.get(),
            ..WorkerStats::default()
        };
        for (group, name, _, value) in engine.each() {
            let (part, sum) = match group {
                "decode" => (&mut own.decode, &mut stats.decode),
                "flows" => (&mut own.flows, &mut stats.flows),
                "tcp" => (&mut own.tcp, &mut stats.tcp),
                _ => (&mut own.store, &mut stats.store),
            };
            part.add(name, value);
            sum.add(name, value);
        }
        add_evicted(&mut own.flows);
        stats.workers.push(own);
    }
    add_evicted(&mut stats.flows);
    stats
}

/// Adds `evicted`: the number of connections evicted in any state.
fn add_evicted(flows: &mut Counters) {
    let sum = flows
        .0
        .iter()
        .filter(|(name, _)| name.starts_with("evicted_"))
        .map(|&(_, value)| value)
        .sum();
    flows.add("evicted", sum);
}

fn capture(snapshot: CaptureSnapshot) -> CaptureStats {
    let mut counters = Counters::default();
    for (name, _, value) in snapshot.counters {
        counters.add(name, value);
    }
    CaptureStats {
        mode: Cow::Borrowed(snapshot.mode),
        path: snapshot.path.map(Cow::Borrowed),
        path_reason: snapshot.path_reason,
        xdp: snapshot.xdp.map(Cow::Borrowed),
        finished: snapshot.finished,
        interfaces: snapshot.interfaces.into_iter().map(interface).collect(),
        workers: snapshot.workers,
        counters,
    }
}

fn interface(snapshot: InterfaceSnapshot) -> InterfaceStats {
    InterfaceStats {
        name: snapshot.name,
        up: snapshot.up,
        path: snapshot.path.map(Cow::Borrowed),
        xdp: snapshot.xdp.map(Cow::Borrowed),
        queues: snapshot.queues,
    }
}

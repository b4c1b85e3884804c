//! `hello`, `info`, `stats`.

use std::borrow::Cow;
use std::io;
use std::sync::Arc;

use monitor_rpc::types::{
    CaptureStats, Hello, HelloCapture, HelloParams, InfoParams, InterfaceStats, Socket, Stats,
    StatsParams, WorkerStats,
};
use monitor_rpc::{Counters, ErrorObject, MAX_LEN, Method, VERSION};
use serde_json::value::RawValue;

use super::handler::Serve;
use crate::rpc::access::account::Purpose;
use crate::rpc::access::peer::Peer;
use crate::rpc::protocol::errors;
use crate::rpc::session::Session;
use crate::rpc::shared::Shared;
use crate::rpc::view;
use crate::status::CaptureSnapshot;

impl Serve for HelloParams {
    async fn serve(self, session: &mut Session, id: &RawValue) -> io::Result<()> {
        introduce(&session.peer, &self);
        let hello = hello(&session.shared).await;
        session.result(id, &hello);
        Ok(())
    }

    async fn notify(self, session: &mut Session) {
        introduce(&session.peer, &self);
    }
}

impl Serve for InfoParams {
    async fn serve(self, session: &mut Session, id: &RawValue) -> io::Result<()> {
        let result = info(&session.shared, &self);
        session.reply(id, result);
        Ok(())
    }
}

impl Serve for StatsParams {
    async fn serve(self, session: &mut Session, id: &RawValue) -> io::Result<()> {
        let result = stats(&session.shared).await;
        session.result(id, &result);
        Ok(())
    }
}

/// Logs the name that a client gives itself.
fn introduce(peer: &Peer, params: &HelloParams) {
    if let Some(name) = &params.client {
        tracing::debug!(client = ?name, pid = peer.pid, uid = peer.uid, "client said hello");
    }
}

async fn hello(shared: &Shared) -> Hello {
    let snapshot = snapshot(shared).await;
    Hello {
        version: VERSION,
        server: concat!("monitord ", env!("CARGO_PKG_VERSION")).to_owned(),
        pid: std::process::id(),
        instance: Some(shared.instance),
        capture: HelloCapture {
            mode: Cow::Borrowed(snapshot.mode),
            path: snapshot.path.map(Cow::Borrowed),
            interfaces: snapshot
                .interfaces
                .into_iter()
                .map(|interface| interface.name)
                .collect(),
            workers: snapshot.workers,
        },
        max_len: MAX_LEN,
        methods: Method::ALL
            .iter()
            .map(|method| Cow::Borrowed(method.name()))
            .collect(),
    }
}

fn info(shared: &Shared, params: &InfoParams) -> Result<Socket, ErrorObject> {
    let (reader, id) = shared.reader(params.sockid, params.worker)?;
    let connection = reader
        .connection(id)
        .ok_or_else(|| errors::no_connection(params.sockid))?;
    Ok(view::socket(&connection))
}

async fn stats(shared: &Shared) -> Stats {
    let mut stats = gather(snapshot(shared).await, &shared.status.engines);
    let (metrics, accounts) = (&shared.metrics, &shared.accounts);
    metrics.log_lines_lost.set(crate::util::stderr::lost());
    metrics.reply_memory.set(accounts.bytes(Purpose::Reply));
    metrics.listeners.set(accounts.all().listeners);
    metrics.event_memory.set(accounts.bytes(Purpose::Listener));
    for (name, _, value) in shared.metrics.each() {
        stats.rpc.add(name, value);
    }
    stats
}

/// Returns all of `stats` except the server's own counters.
pub fn gather(snapshot: CaptureSnapshot, engines: &[Arc<monitor_engine::Counters>]) -> Stats {
    let mut stats = Stats {
        capture: capture(snapshot),
        ..Stats::default()
    };
    for (worker, engine) in engines.iter().enumerate() {
        let mut own = WorkerStats {
            worker: worker as u16,
            ..WorkerStats::default()
        };
        for (group, name, _, value) in engine.each() {
            for (part, sum) in [
                ("decode", &mut own.decode, &mut stats.decode),
                ("flows", &mut own.flows, &mut stats.flows),
                ("tcp", &mut own.tcp, &mut stats.tcp),
                ("store", &mut own.store, &mut stats.store),
            ]
            .into_iter()
            .filter_map(|(of, part, sum)| (of == group).then_some((part, sum)))
            {
                part.add(name, value);
                sum.add(name, value);
            }
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
    let interface = |interface: crate::status::InterfaceSnapshot| InterfaceStats {
        name: interface.name,
        up: interface.up,
        path: interface.path.map(Cow::Borrowed),
        xdp: interface.xdp.map(Cow::Borrowed),
        queues: interface.queues,
    };
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

/// Reads the state of the capture, once at a time, on a thread that may make system calls.
async fn snapshot(shared: &Shared) -> CaptureSnapshot {
    let _one_at_a_time = shared.snapshot.lock().await;
    let capture = Arc::clone(&shared.status.capture);
    match tokio::task::spawn_blocking(move || capture.snapshot()).await {
        Ok(snapshot) => snapshot,
        Err(error) => {
            tracing::error!(%error, "the capture's state could not be read");
            CaptureSnapshot::default()
        }
    }
}

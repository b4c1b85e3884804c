//! `hello`, `info`, `stats`.

use std::borrow::Cow;
use std::io;
use std::sync::Arc;

use monitor_rpc::types::{
    Hello, HelloCapture, HelloParams, InfoParams, Socket, Stats, StatsParams,
};
use monitor_rpc::{ErrorObject, MAX_LEN, Method, VERSION};
use serde_json::value::RawValue;

use super::handler::Serve;
use crate::rpc::access::account::Purpose;
use crate::rpc::access::peer::Peer;
use crate::rpc::protocol::errors;
use crate::rpc::session::Session;
use crate::rpc::shared::Shared;
use crate::rpc::view;
use crate::stats;
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
    Ok(view::socket_with_tls(&shared.status.readers, &connection))
}

async fn stats(shared: &Shared) -> Stats {
    let mut stats = stats::gather(snapshot(shared).await, &shared.status.engines);
    let (metrics, accounts) = (&shared.metrics, &shared.accounts);
    metrics.log_lines_lost.set(crate::util::stderr::lost());
    metrics.reply_memory.set(accounts.bytes(Purpose::Reply));
    metrics.listeners.set(shared.dispatcher.listening());
    metrics.event_memory.set(accounts.bytes(Purpose::Listener));
    for (name, _, value) in shared.metrics.each() {
        stats.rpc.add(name, value);
    }
    stats.methods = shared.times.each().collect();
    stats
}

/// Reads the state of the capture, once at a time, on a thread that may make system calls.
pub(crate) async fn snapshot(shared: &Shared) -> CaptureSnapshot {
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

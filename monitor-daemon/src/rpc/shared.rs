//! State that all sessions share.

use std::sync::Arc;

use monitor_engine::{Reader, Rule, SockId};
use monitor_rpc::ErrorObject;
use tokio::sync::Mutex;
use tokio::sync::watch::{Receiver, Sender};

use super::Metrics;
use super::access::account::Accounts;
use super::access::policy::AccessPolicy;
use super::dispatcher::Dispatcher;
use super::method_times::MethodTimes;
use super::packet_logs::PacketLogs;
use super::protocol::errors;
use crate::status::Status;

/// State of the server.
pub(crate) struct Shared {
    pub(crate) status: Status,
    /// Random number of this server: a client that reconnects learns from it that the daemon was restarted.
    pub(crate) instance: u64,
    pub(crate) metrics: Metrics,
    pub(crate) times: MethodTimes,
    pub(crate) accounts: Arc<Accounts>,
    pub(crate) policy: Sender<Arc<AccessPolicy>>,
    /// Locked until every worker has the rules, so that all workers get them in the same order.
    pub(crate) rules: Mutex<ConnectionRules>,
    pub(crate) dispatcher: Arc<Dispatcher>,
    pub(crate) packet_logs: Arc<PacketLogs>,
    /// True once the server stops.
    pub(crate) stopping: Receiver<bool>,
    /// Held while the capture's state is read, which makes system calls on a thread of its own.
    pub(crate) snapshot: Mutex<()>,
    /// Held while the patterns of one client are compiled, which takes a processor and memory.
    pub(crate) compiling: Mutex<()>,
    /// Held while the settings change.
    pub(crate) reload: Mutex<()>,
}

/// Settings for future connections, made by `configure` with a filter.
#[derive(Debug, Default)]
pub(crate) struct ConnectionRules {
    /// Number of rules ever made: the name of the next one.
    pub(crate) made: u64,
    /// Name and rule; the first that matches a connection applies.
    pub(crate) rules: Vec<(u64, Rule)>,
}

impl Shared {
    /// Returns the reader of the worker that owns `sockid`. `worker` is the owner that the client expects.
    pub(crate) fn reader(
        &self,
        sockid: u64,
        worker: Option<u64>,
    ) -> Result<(&Reader, SockId), ErrorObject> {
        self.worker(worker)?;
        let readers = &self.status.readers;
        let id = SockId::from_u64(sockid).ok_or_else(|| errors::no_connection(sockid))?;
        if id.is_listener() && self.dispatcher.contains(sockid) {
            return Err(errors::listener(sockid));
        }
        if worker.is_some_and(|worker| worker != u64::from(id.worker())) {
            return Err(errors::no_connection(sockid));
        }
        let reader = readers
            .get(usize::from(id.worker()))
            .ok_or_else(|| errors::no_connection(sockid))?;
        Ok((reader, id))
    }

    /// Returns the number of a worker that a client names.
    pub(crate) fn worker(&self, worker: Option<u64>) -> Result<Option<u16>, ErrorObject> {
        let workers = self.status.readers.len();
        match worker {
            Some(worker) if worker >= workers as u64 => Err(errors::no_worker(worker, workers)),
            worker => Ok(worker.map(|worker| worker as u16)),
        }
    }
}

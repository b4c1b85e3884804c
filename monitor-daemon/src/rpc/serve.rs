//! Server: accepts clients, and disconnects them when it stops.

use std::future::Future;
use std::io::{self, IoSlice};
use std::os::unix::net::{UnixListener, UnixStream};
use std::sync::Arc;
use std::time::Duration;

use monitor_rpc::{ErrorObject, Role};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;
use tokio::sync::Mutex;
use tokio::sync::watch::{self, Sender};
use tokio::task::{JoinError, JoinSet};

use super::Metrics;
use super::access::account::Accounts;
use super::access::limits;
use super::access::peer::Peer;
use super::connection::Connection;
use super::dispatcher::Dispatcher;
use super::fairness::BusyThreads;
use super::method_times::MethodTimes;
use super::packet_logs::PacketLogs;
use super::protocol::{errors, response};
use super::shared::Shared;
use super::transport::server_socket::ServerSocket;
use super::transport::stream::{self, Stream};
use crate::status::Status;

/// Time that clients get to read the rest of a reply when the daemon stops.
const GRACE: Duration = Duration::from_secs(1);
/// Pause after a failed accept: without free descriptors, an immediate retry would only use the processor.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Serves clients until `shutdown` completes. Then the socket file is removed, clients get a second for the rest of a
/// reply, and everything is closed. Needs a tokio runtime with I/O and time enabled.
///
/// **Invariant:** no client can end it, and only a client's own task waits for the client.
///
/// # Errors
/// When the socket or the dispatcher's descriptor cannot be registered with the runtime.
pub async fn serve(
    listener: ServerSocket,
    status: Status,
    shutdown: impl Future<Output = ()>,
) -> io::Result<()> {
    let ServerSocket {
        socket,
        file,
        policy,
    } = listener;
    let socket = stream::watch(socket, Interest::READABLE)?;
    let (stop, stopping) = watch::channel(false);
    let command_queues = status.command_queues.clone();
    // On a thread of the runtime, since the collector's thread inherits its rights.
    let dispatcher = tokio::spawn(async move { Dispatcher::new(command_queues) });
    let dispatcher = dispatcher.await.map_err(io::Error::other)??;
    // That of the stores: an attached client compares the two.
    let instance = status
        .readers
        .first()
        .map_or(0, |reader| reader.identity().instance);
    let packet_logs = PacketLogs::new(status.command_queues.clone());
    let shared = Arc::new(Shared {
        status,
        packet_logs,
        instance,
        metrics: Metrics::default(),
        times: MethodTimes::default(),
        accounts: Accounts::new(max_clients(), policy.settings.memory),
        dispatcher: Arc::new(dispatcher),
        stopping: stopping.clone(),
        policy: Sender::new(Arc::new(policy)),
        rules: Mutex::default(),
        snapshot: Mutex::new(()),
        compiling: Mutex::new(()),
        reload: Mutex::new(()),
    });
    let busy = BusyThreads::start()?;
    let mut dispatching = JoinSet::new();
    let dispatcher = Arc::clone(&shared.dispatcher);
    dispatching.spawn(async move { dispatcher.run().await });
    let mut clients = JoinSet::new();
    let mut reloads = JoinSet::new();
    tokio::pin!(shutdown);
    loop {
        tokio::select! {
            () = &mut shutdown => break,
            Some(ended) = clients.join_next() => note_end(ended),
            () = shared.status.settings.reload_requested() => {
                let shared = Arc::clone(&shared);
                reloads.spawn(async move { super::methods::reload_by_signal(&shared).await });
            }
            Some(_) = reloads.join_next() => {}
            // Without the dispatcher no event would be delivered.
            Some(ended) = dispatching.join_next() => return ended.map_err(io::Error::other)?,
            accepted = accept(&socket) => match accepted {
                Ok(client) => if let Some(client) = admit(client, &shared) {
                    let user = client.processor_time();
                    clients.spawn(busy.run(client.run(stopping.clone()), user));
                },
                Err(error) => {
                    tracing::warn!(%error, "cannot accept a client");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                }
            },
        }
    }
    drop((socket, file));
    stop.send_replace(true);
    let all_gone = async {
        while let Some(ended) = clients.join_next().await {
            note_end(ended);
        }
    };
    if tokio::time::timeout(GRACE, all_gone).await.is_err() {
        clients.shutdown().await;
    }
    Ok(())
}

/// Returns the maximum number of clients under the process's limit of open descriptors. The rest is left to the capture,
/// which needs descriptors when an interface is recreated.
fn max_clients() -> usize {
    let open = std::fs::read_dir("/proc/self/fd").map_or(0, Iterator::count);
    let limit = rustix::process::getrlimit(rustix::process::Resource::Nofile).current;
    let limit = limit.map_or(usize::MAX, |limit| limit as usize);
    let free = limit.saturating_sub(open + limits::RESERVED_DESCRIPTORS);
    let clients = (free / limits::CLIENT_DESCRIPTORS).min(limits::CLIENTS);
    if clients < limits::CLIENTS {
        tracing::warn!(
            clients,
            limit,
            open,
            "fewer clients than {} can be served: raise the limit of open descriptors (ulimit -n, LimitNOFILE=)",
            limits::CLIENTS
        );
    }
    clients
}

async fn accept(socket: &AsyncFd<UnixListener>) -> io::Result<UnixStream> {
    socket
        .async_io(Interest::READABLE, |socket| {
            socket.accept().map(|(client, _)| client)
        })
        .await
}

/// Returns the client's connection, or refuses the client.
fn admit(client: UnixStream, shared: &Arc<Shared>) -> Option<Connection> {
    let peer = Peer::of(&client);
    let admin = shared.policy.borrow().role(&peer) == Role::Admin;
    let slot = match shared.accounts.of(peer.uid, admin).client() {
        Ok(slot) => slot,
        Err(limit) => {
            refuse(client, shared, &errors::client_limit(limit, &peer));
            return None;
        }
    };
    Connection::new(client, peer, slot, Arc::clone(shared))
        .inspect_err(|error| tracing::warn!(%error, "cannot serve a client"))
        .ok()
}

fn note_end(ended: Result<(), JoinError>) {
    if let Err(error) = ended
        && error.is_panic()
    {
        tracing::error!(%error, "a client's task panicked; the client was disconnected");
    }
}

/// Sends the error, as much as fits into the socket's buffer, and closes.
fn refuse(client: UnixStream, shared: &Shared, error: &ErrorObject) {
    shared.metrics.refused.add(1);
    let mut line = Vec::new();
    response::error(&mut line, None, error);
    line.push(b'\n');
    // A client that has disconnected needs no answer.
    let _ = Stream::new(client).and_then(|client| client.try_write(&[IoSlice::new(&line)]));
}

//! Accepting clients, and letting go of them.

use std::future::Future;
use std::io::{self, IoSlice};
use std::os::unix::net::{UnixListener, UnixStream};
use std::sync::Arc;
use std::time::Duration;

use monitor_rpc::ErrorObject;
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;
use tokio::sync::Mutex;
use tokio::sync::watch::{self, Sender};
use tokio::task::{JoinError, JoinSet};

use super::connection::Connection;
use super::listeners::Switchboard;
use super::memory::ReplyMemory;
use super::methods::RuleBook;
use super::peer::Peer;
use super::rules::Rules;
use super::stream::{self, Stream};
use super::users::Users;
use super::{Listener, Metrics, fault, reply};
use crate::status::Status;

/// How long clients in the middle of a reply may go on reading it when the daemon stops.
const GRACE: Duration = Duration::from_secs(1);
/// Pause after a failed accept: out of descriptors, trying at once would only burn the processor.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// What all clients share.
pub(super) struct Shared {
    pub(super) status: Status,
    /// Tells clients that connect again whether it is still this server that answers.
    pub(super) instance: u64,
    pub(super) metrics: Metrics,
    pub(super) memory: ReplyMemory,
    pub(super) users: Arc<Users>,
    pub(super) rules: Sender<Arc<Rules>>,
    /// What connections to come start with. Held while the workers are told: they all hear the same, in one order.
    pub(super) book: Mutex<RuleBook>,
    pub(super) board: Arc<Switchboard>,
    /// True once the server stops.
    pub(super) stopping: watch::Receiver<bool>,
    /// One look at the capture at a time: it makes system calls, on a thread of its own.
    pub(super) snapshot: Mutex<()>,
    /// One client's patterns at a time: that takes a processor and memory.
    pub(super) compiling: Mutex<()>,
    /// One change of the settings at a time.
    pub(super) reload: Mutex<()>,
}

/// Answers clients until `shutdown` completes; then the socket file is removed, clients in the middle of a reply get
/// a second for the rest of it, and everything is closed. Needs a tokio runtime with I/O and time enabled.
///
/// Nothing that a client does ends it, and nothing in it waits for a client except that client's own task.
pub async fn serve(
    listener: Listener,
    status: Status,
    shutdown: impl Future<Output = ()>,
) -> io::Result<()> {
    let Listener {
        socket,
        file,
        rules,
    } = listener;
    let socket = stream::watch(socket, Interest::READABLE)?;
    let (stop, stopping) = watch::channel(false);
    let shared = Arc::new(Shared {
        status,
        instance: getrandom::u64().map_err(io::Error::other)? >> 11,
        metrics: Metrics::default(),
        memory: ReplyMemory::new(rules.settings.reply_memory),
        users: Arc::new(Users::new(rules.settings.user_reply_memory)),
        board: Arc::new(Switchboard::new(rules.settings.event_memory)?),
        stopping: stopping.clone(),
        rules: Sender::new(Arc::new(rules)),
        book: Mutex::default(),
        snapshot: Mutex::new(()),
        compiling: Mutex::new(()),
        reload: Mutex::new(()),
    });
    let mut operator = JoinSet::new();
    let board = Arc::clone(&shared.board);
    operator.spawn(async move { board.answer().await });
    let mut clients = JoinSet::new();
    tokio::pin!(shutdown);
    loop {
        tokio::select! {
            () = &mut shutdown => break,
            Some(ended) = clients.join_next() => note_end(ended),
            // Only when something is wrong: nobody would hear of events any more.
            Some(ended) = operator.join_next() => return ended.map_err(io::Error::other)?,
            accepted = accept(&socket) => match accepted {
                Ok(client) => if let Some(client) = admit(client, &shared, clients.len()) {
                    clients.spawn(client.run(stopping.clone()));
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

async fn accept(socket: &AsyncFd<UnixListener>) -> io::Result<UnixStream> {
    socket
        .async_io(Interest::READABLE, |socket| {
            socket.accept().map(|(client, _)| client)
        })
        .await
}

/// The client's connection, unless it is one too many.
fn admit(client: UnixStream, shared: &Arc<Shared>, connected: usize) -> Option<Connection> {
    let (most, most_of_user) = {
        let settings = &shared.rules.borrow().settings;
        (settings.max_clients, settings.max_user_clients)
    };
    if connected >= most {
        refuse(client, shared, &fault::too_many_clients(most));
        return None;
    }
    let peer = Peer::of(&client);
    let Some(place) = shared.users.admit(peer.uid, most_of_user) else {
        refuse(
            client,
            shared,
            &fault::too_many_of_user(&peer, most_of_user),
        );
        return None;
    };
    let client = Connection::new(client, peer, place, Arc::clone(shared));
    client
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

/// Says why, as far as the socket's buffer takes it, and closes.
fn refuse(client: UnixStream, shared: &Shared, error: &ErrorObject) {
    shared.metrics.refused.add(1);
    let mut line = Vec::new();
    reply::error(&mut line, None, error);
    line.push(b'\n');
    // A client that is gone already needs no answer.
    let _ = Stream::new(client).and_then(|client| client.try_write(&[IoSlice::new(&line)]));
}

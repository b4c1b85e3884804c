//! Life of a relay in the fleet: its claim to the host's name, its tasks, its heartbeats.

use std::fs::{self, File};
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use async_nats::Client;
use async_nats::jetstream;
use async_nats::jetstream::kv::Store;
use monitor_client::types::Hello;
use monitor_client::{AsyncClient, Chain};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

use super::access::AccessError;
use super::events::Events;
use super::hosts::{self, ClaimError, Host, PERIOD};
use super::journal::Journal;
use super::pool::Pool;
use super::publisher::Publisher;
use super::records::Collector;
use super::service::Responder;
use crate::config::Fleet;
use crate::status::Status;

/// Pause after the server refused or was away.
const PAUSE: Duration = Duration::from_secs(1);
/// Time for the daemon's answer, and for the server's at the end.
const TIMEOUT: Duration = Duration::from_secs(2);

/// Failure that ends the relay.
#[derive(Debug, thiserror::Error)]
pub enum FleetError {
    /// No connection to the server.
    #[error(transparent)]
    Access(#[from] AccessError),
    /// The name belongs to another relay.
    #[error(transparent)]
    Claim(#[from] ClaimError),
    /// The directory of the spool is unusable.
    #[error("cannot use the spool in {}", path.display())]
    Spool {
        /// Path of the directory.
        path: PathBuf,
        /// Reason.
        source: io::Error,
    },
    /// Another relay uses the directory.
    #[error("another relay uses the spool in {}: name another one in [fleet] spool", .0.display())]
    Locked(PathBuf),
    /// The service could not be registered.
    #[error("cannot register the service")]
    Service(#[source] async_nats::Error),
}

/// Serves the fleet until `stop` is true, and writes its state to `status`. The runtime must have several threads
/// (`multi_thread`): one of them copies the spool's file when that is full.
///
/// # Errors
/// The spool is unusable, the credentials are wrong, or another relay has the host's name.
pub async fn run(
    config: Fleet,
    socket: PathBuf,
    status: Arc<Status>,
    mut stop: watch::Receiver<bool>,
) -> Result<(), FleetError> {
    let directory = &config.spool;
    let spool = |source| FleetError::Spool {
        path: directory.clone(),
        source,
    };
    fs::create_dir_all(directory).map_err(spool)?;
    let _lock = lock(directory)?;
    let relay = identity(directory).map_err(spool)?;
    let limit = config.spool_size.as_u64();
    let journal = Journal::open(directory, limit, Arc::clone(&status)).map_err(spool)?;
    let journal = Arc::new(journal);
    let host = config.host();
    let name = format!("monitor-relay {host}");
    let access = config.access();
    if !access.is_encrypted() {
        tracing::warn!(
            "the connection to {} is not encrypted: configure [fleet] ca",
            access.url
        );
    }
    let on_event = |event| tracing::info!("nats: {event}");
    let client = access.connect(&name, true, on_event).await?;
    let mut tasks = JoinSet::new();
    // At once: records wait in the spool while the server is away.
    let collector = Collector {
        journal: Arc::clone(&journal),
        socket: socket.clone(),
        host: host.clone(),
    };
    tasks.spawn(collector.run());
    let heart = Heart {
        client: client.clone(),
        socket: socket.clone(),
        host: host.clone(),
        relay,
    };
    let (store, revision) = tokio::select! {
        claimed = heart.start() => claimed?,
        _ = stop.wait_for(|&stop| stop) => return Ok(()),
    };
    let responder = Responder::new(
        client.clone(),
        Pool::new(socket.clone()),
        host.clone(),
        config.allow,
    );
    let service = responder.start().await.map_err(FleetError::Service)?;
    // From here on the server knows the subjects: requests are answered. While it's away, the client repeats them later.
    let _ = client.flush().await;
    tracing::info!("in the fleet as {host}");
    tasks.spawn(Publisher::new(journal, client.clone(), &host, status).run());
    let events = Events {
        client: client.clone(),
        socket,
        host: host.clone(),
        kinds: config.events,
    };
    tasks.spawn(events.run());
    tokio::select! {
        ended = heart.beat(&store, revision) => return ended,
        _ = stop.wait_for(|&stop| stop) => {}
    }
    // Frees the name at once. Without an answer it is free after 30 s.
    let _ = timeout(TIMEOUT, store.delete(&host)).await;
    let _ = timeout(TIMEOUT, service.stop()).await;
    let _ = timeout(TIMEOUT, client.flush()).await;
    Ok(())
}

/// Heartbeats of this host.
struct Heart {
    client: Client,
    socket: PathBuf,
    host: String,
    relay: String,
}

impl Heart {
    /// Claims the host's name, once the server is there. Returns the bucket and the entry's revision.
    async fn start(&self) -> Result<(Store, u64), FleetError> {
        let context = jetstream::new(self.client.clone());
        let mut reported = false;
        loop {
            let failure = match hosts::bucket(&context).await {
                Ok(store) => match hosts::claim(&store, &self.host().await, 0).await {
                    Ok(revision) => return Ok((store, revision)),
                    Err(error @ ClaimError::Taken(_)) => return Err(error.into()),
                    Err(error) => Chain(&error).to_string(),
                },
                Err(error) => Chain(error.as_ref()).to_string(),
            };
            if !std::mem::replace(&mut reported, true) {
                tracing::warn!("not in the fleet yet: {failure}");
            }
            sleep(PAUSE).await;
        }
    }

    /// Sends heartbeats until another relay has the name.
    async fn beat(&self, store: &Store, mut revision: u64) -> Result<(), FleetError> {
        let mut pause = PERIOD;
        loop {
            sleep(pause).await;
            pause = PERIOD;
            match hosts::claim(store, &self.host().await, revision).await {
                Ok(new) => revision = new,
                Err(error @ ClaimError::Taken(_)) => return Err(error.into()),
                Err(error) => {
                    tracing::debug!("{}", Chain(&error));
                    pause = PAUSE;
                }
            }
        }
    }

    async fn host(&self) -> Host {
        let hello = timeout(TIMEOUT, hello(&self.socket)).await;
        let mut host = Host {
            host: self.host.clone(),
            addresses: hosts::addresses(),
            relay: self.relay.clone(),
            ..Host::default()
        };
        if let Ok(Ok(hello)) = hello {
            host.instance = hello.instance.map(|instance| format!("{instance:x}"));
            host.server = hello.server;
            host.mode = hello.capture.mode.into_owned();
            host.interfaces = hello.capture.interfaces;
            host.workers = hello.capture.workers;
        }
        host
    }
}

async fn hello(socket: &Path) -> Result<Hello, monitor_client::Error> {
    AsyncClient::connect(socket)
        .await?
        .hello("monitor-relay")
        .await
}

/// Locks a directory for this process.
fn lock(directory: &Path) -> Result<File, FleetError> {
    let open = File::create(directory.join("lock"));
    let file = open.map_err(|source| FleetError::Spool {
        path: directory.to_path_buf(),
        source,
    })?;
    file.try_lock()
        .map_err(|_| FleetError::Locked(directory.to_path_buf()))?;
    Ok(file)
}

/// Returns the random name of a directory, by which a relay that was killed is recognized.
fn identity(directory: &Path) -> io::Result<String> {
    let path = directory.join("relay.id");
    if let Ok(text) = fs::read_to_string(&path)
        && text.len() == 32
    {
        return Ok(text);
    }
    let mut bytes = [0; 16];
    File::open("/dev/urandom")?.read_exact(&mut bytes)?;
    let text: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
    fs::write(&path, &text)?;
    Ok(text)
}

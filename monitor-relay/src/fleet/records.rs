//! Records of ended connections, from the daemon to the spool.
//!
//! [`Journal`] is the spool together with the tracker, which knows the records that were written. [`Collector`] listens to the
//! daemon, and lists its ended connections after each start and after lost events.
//!
//! **Invariant:** a record is noted as written after it is in the spool.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant, SystemTime};

use monitor_client::socket::Socket;
use monitor_client::types::{SocketsParams, SubscribeParams};
use monitor_client::{AsyncClient, Chain, Code, Error, Notification};
use monitor_records::{Record, Request, Source, Tracker};
use serde::{Deserialize, Serialize};
use tokio::sync::Notify;
use tokio::time::sleep;

use super::spool::{Contents, Spool};


/// Time between interim records of a connection.
const INTERIM: Duration = Duration::from_secs(300);
/// Time between looks at open connections.
const LOOK: Duration = Duration::from_secs(5);
/// Pause after the daemon was gone.
const PAUSE: Duration = Duration::from_secs(1);
/// Time without an event, or since a loss, after which missing records are counted.
const QUIET: Duration = Duration::from_secs(1);
const PATIENCE: Duration = Duration::from_secs(10);
/// Number of events that may wait, per worker: a burst of short connections.
const QUEUE: u64 = 65_536;

/// Spool, and the tracker of the daemon's current instance.
#[derive(Debug)]
pub(super) struct Journal {
    state: Mutex<State>,
    /// Notified when there is a record to send.
    pub(super) appended: Notify,
}

#[derive(Debug)]
struct State {
    spool: Spool,
    tracker: Option<Tracker>,
    /// Records that an earlier run of the relay wrote, until the daemon's instance is known.
    restored: Option<Written>,
}

/// Identifiers of written records of an instance.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
struct Written {
    instance: u64,
    parts: Vec<(u64, u32)>,
}

/// Identifier of a record in a line of the spool.
#[derive(Deserialize)]
struct Identifier {
    instance: u64,
    sockid: u64,
    part: u32,
}

/// Failure of the collector.
#[derive(Debug, thiserror::Error)]
pub(super) enum CollectError {
    #[error("the daemon cannot be asked for its connections")]
    Daemon(#[from] Error),
    #[error("the spool cannot be written")]
    Spool(#[from] io::Error),
}

impl Journal {
    /// Opens the journal in a directory. At most `limit` bytes of records wait.
    pub(super) fn open(directory: &Path, limit: u64) -> io::Result<Self> {
        let (spool, contents) = Spool::open(directory, limit)?;
        let state = State {
            spool,
            tracker: None,
            restored: restore(&contents),
        };
        Ok(Self {
            state: Mutex::new(state),
            appended: Notify::new(),
        })
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Calls `body` with the spool.
    pub(super) fn spool<T>(&self, body: impl FnOnce(&mut Spool) -> T) -> T {
        body(&mut self.lock().spool)
    }

    /// Replaces the spool's file if it's due. Returns the number of records that were dropped since the start.
    pub(super) fn compact(&self) -> io::Result<u64> {
        let mut state = self.lock();
        if state.spool.is_due() {
            let written = match (&state.tracker, &state.restored) {
                (Some(tracker), _) => Written {
                    instance: tracker.source().instance,
                    parts: tracker.state().collect(),
                },
                (None, restored) => restored.clone().unwrap_or_default(),
            };
            let text = serde_json::to_string(&written).map_err(io::Error::other)?;
            state.spool.compact(&text)?;
        }
        Ok(state.spool.dropped())
    }

    /// Starts with an instance of the daemon. The end of an earlier one is marked, since its open connections have no record.
    fn begin(&self, source: Source) -> Result<(), CollectError> {
        let mut state = self.lock();
        let mut earlier = None;
        if let Some(tracker) = &state.tracker {
            if tracker.source().instance == source.instance {
                return Ok(());
            }
            earlier = Some(tracker.restarted(now()));
        }
        let restored = state.restored.take();
        let mut tracker = Tracker::new(source.clone(), INTERIM);
        match restored {
            Some(written) if written.instance == source.instance => {
                for (sockid, part) in written.parts {
                    tracker.written(sockid, part);
                }
            }
            Some(Written { instance, .. }) if instance != 0 => {
                let before = Source { instance, ..source };
                earlier = Some(Tracker::new(before, INTERIM).restarted(now()));
            }
            _ => {}
        }
        state.tracker = Some(tracker);
        if let Some(mark) = earlier {
            state.append(&mark)?;
        }
        drop(state);
        self.appended.notify_one();
        Ok(())
    }

    /// Writes a record that the tracker makes.
    fn write(&self, make: impl FnOnce(&mut Tracker) -> Option<Record>) -> Result<(), CollectError> {
        let mut state = self.lock();
        if let Some(record) = state.tracker.as_mut().and_then(make) {
            state.append(&record)?;
            if let Some(tracker) = &mut state.tracker {
                tracker.written(record.sockid, record.part);
            }
            drop(state);
            self.appended.notify_one();
        }
        Ok(())
    }

    fn tracker<T>(&self, body: impl FnOnce(&mut Tracker) -> T) -> Option<T> {
        self.lock().tracker.as_mut().map(body)
    }
}

impl State {
    fn append(&mut self, value: &impl Serialize) -> io::Result<()> {
        let line = serde_json::to_vec(value).map_err(io::Error::other)?;
        self.spool.append(&line)
    }
}

/// Returns the identifiers of the records in a spool, of the latest instance.
fn restore(contents: &Contents) -> Option<Written> {
    let state = contents.state.as_deref();
    let mut written: Option<Written> = state.and_then(|state| serde_json::from_str(state).ok());
    for line in &contents.records {
        let Ok(record) = serde_json::from_str::<Identifier>(line) else {
            continue;
        };
        let known = written.get_or_insert_default();
        if known.instance != record.instance {
            *known = Written {
                instance: record.instance,
                ..Written::default()
            };
        }
        known.parts.push((record.sockid, record.part));
    }
    written
}

/// Listener to the daemon.
pub(super) struct Collector {
    pub(super) journal: Arc<Journal>,
    pub(super) socket: PathBuf,
    pub(super) host: String,
}

impl Collector {
    /// Collects records until the future is dropped.
    pub(super) async fn run(self) {
        let mut reported = false;
        loop {
            if let Err(error) = self.collect(&mut reported).await
                && !std::mem::replace(&mut reported, true)
            {
                tracing::warn!("no records: {}", Chain(&error));
            }
            sleep(PAUSE).await;
        }
    }

    async fn collect(&self, reported: &mut bool) -> Result<(), CollectError> {
        let mut client = AsyncClient::connect(&self.socket).await?;
        let hello = client.hello("monitor-relay").await?;
        self.journal.begin(Source {
            host: self.host.clone(),
            instance: hello.instance.unwrap_or_default(),
            mode: hello.capture.mode.into_owned(),
        })?;
        let params = SubscribeParams {
            events: Some(Tracker::EVENTS.to_vec()),
            queue: Some(QUEUE),
            ..SubscribeParams::default()
        };
        let mut events = client.subscribe(&params).await?;
        self.list_ended(&mut client).await?;
        *reported = false;
        let (mut latest, mut incomplete_since) = (Instant::now(), None);
        let (mut tick, mut looked) = (tokio::time::interval(QUIET), Instant::now());
        loop {
            tokio::select! {
                event = events.next() => {
                    let Some(event) = event else { return Ok(()) };
                    latest = Instant::now();
                    self.event(&mut client, &event?).await?;
                }
                _ = tick.tick() => {
                    if looked.elapsed() >= LOOK {
                        looked = Instant::now();
                        self.list_open(&mut client).await?;
                    }
                    self.count_lost(latest, &mut incomplete_since)?;
                }
            }
        }
    }

    async fn event(
        &self,
        client: &mut AsyncClient,
        event: &Notification,
    ) -> Result<(), CollectError> {
        match self.journal.tracker(|tracker| tracker.event(event)) {
            Some(Request::Info(sockid)) => match client.info(sockid).await {
                Ok(socket) => self.journal.write(|tracker| tracker.ended(&socket)),
                Err(Error::Rpc(error)) if error.known_code() == Some(Code::BadSocket) => {
                    self.journal.tracker(|tracker| tracker.gone(sockid));
                    Ok(())
                }
                Err(error) => Err(error.into()),
            },
            Some(Request::List) => self.list_ended(client).await,
            Some(Request::Nothing) | None => Ok(()),
        }
    }

    async fn list_ended(&self, client: &mut AsyncClient) -> Result<(), CollectError> {
        let params = SocketsParams {
            closed: Some(true),
            ..SocketsParams::default()
        };
        let write = |socket: &Socket| self.journal.write(|tracker| tracker.ended(socket));
        each(client, params, write).await?;
        self.journal.tracker(Tracker::listed);
        Ok(())
    }

    async fn list_open(&self, client: &mut AsyncClient) -> Result<(), CollectError> {
        let params = SocketsParams {
            closed: Some(false),
            min_age: Some(INTERIM.as_secs_f64()),
            ..SocketsParams::default()
        };
        let now = now();
        let write = |socket: &Socket| self.journal.write(|tracker| tracker.open(socket, now));
        each(client, params, write).await
    }

    /// Marks missing records once no event comes that could explain them.
    fn count_lost(&self, latest: Instant, since: &mut Option<Instant>) -> Result<(), CollectError> {
        if self.journal.tracker(|tracker| tracker.is_incomplete()) != Some(true) {
            *since = None;
            return Ok(());
        }
        let began = *since.get_or_insert_with(Instant::now);
        if latest.elapsed() < QUIET && began.elapsed() < PATIENCE {
            return Ok(());
        }
        let mut state = self.journal.lock();
        let mark = state
            .tracker
            .as_mut()
            .and_then(|tracker| tracker.lost(now()));
        if let Some(mark) = mark {
            tracing::warn!(lost = mark.lost, "records are missing: events were lost");
            state.append(&mark)?;
        }
        Ok(())
    }
}

/// Calls `body` with each connection of all pages.
async fn each(
    client: &mut AsyncClient,
    mut params: SocketsParams,
    body: impl Fn(&Socket) -> Result<(), CollectError>,
) -> Result<(), CollectError> {
    loop {
        let page = client.sockets(&params).await?;
        page.sockets.iter().try_for_each(&body)?;
        match page.next {
            Some(next) => params.after = Some(next),
            None => return Ok(()),
        }
    }
}

/// Returns the time in seconds since the epoch.
fn now() -> f64 {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    since.map_or(0.0, |time| time.as_secs_f64())
}

//! Records of ended connections, from the daemon to the journal.
//!
//! [`Collector`] listens to the daemon, and lists its ended connections after each start and after lost events.

use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use monitor_client::socket::Socket;
use monitor_client::types::{SocketsParams, SubscribeParams};
use monitor_client::{AsyncClient, Chain, Code, Error, Notification};
use monitor_records::{Request, Settling, Source, Tracker};
use tokio::time::sleep;

use super::journal::{INTERIM, Journal, now};

/// Time between looks at open connections.
const LOOK: Duration = Duration::from_secs(5);
/// Pause after the daemon was gone.
const PAUSE: Duration = Duration::from_secs(1);
/// Time between flushes of the spool to the disk, and between looks at missing records.
const TICK: Duration = Duration::from_secs(1);
/// Number of events that may wait, per worker: a burst of short connections.
const QUEUE: u64 = 65_536;

/// Failure of the collector.
#[derive(Debug, thiserror::Error)]
pub(super) enum CollectError {
    #[error("the daemon cannot be asked for its connections")]
    Daemon(#[from] Error),
    #[error("the spool cannot be written")]
    Spool(#[from] io::Error),
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
            let ended = self.collect(&mut reported).await;
            // Records since the last tick: the daemon may be gone for long.
            let flushed = self.journal.flush().await.map_err(CollectError::from);
            if let Err(error) = ended.and(flushed)
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
        self.journal.tracker(|tracker| tracker.listen(now()));
        self.list_ended(&mut client).await?;
        *reported = false;
        let mut settling = Settling::new(Instant::now());
        let (mut tick, mut looked) = (tokio::time::interval(TICK), Instant::now());
        loop {
            tokio::select! {
                event = events.next() => {
                    let Some(event) = event else { return Ok(()) };
                    settling.on_event(Instant::now());
                    self.event(&mut client, &event?).await?;
                }
                _ = tick.tick() => {
                    if looked.elapsed() >= LOOK {
                        looked = Instant::now();
                        self.list_open(&mut client).await?;
                    }
                    self.count_lost(&mut settling)?;
                    self.journal.flush().await?;
                }
            }
        }
    }

    async fn event(
        &self,
        client: &mut AsyncClient,
        event: &Notification,
    ) -> Result<(), CollectError> {
        match self.journal.tracker(|tracker| tracker.event(event, now())) {
            Some(Request::Info(sockid)) => match client.info(sockid).await {
                Ok(socket) => Ok(self.journal.write(|tracker| tracker.ended(&socket))?),
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
            tls: true,
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
            tls: true,
            ..SocketsParams::default()
        };
        let now = now();
        let write = |socket: &Socket| self.journal.write(|tracker| tracker.open(socket, now));
        each(client, params, write).await
    }

    /// Marks missing records once no event comes that could explain them.
    fn count_lost(&self, settling: &mut Settling) -> io::Result<()> {
        let lost = |tracker: &mut Tracker| settling.lost(tracker, Instant::now(), now());
        if let Some(mark) = self.journal.tracker(lost).flatten() {
            tracing::warn!(lost = mark.lost, "records are missing: events were lost");
            self.journal.mark(&mark)?;
        }
        Ok(())
    }
}

/// Calls `body` with each connection of all pages.
async fn each(
    client: &mut AsyncClient,
    mut params: SocketsParams,
    body: impl Fn(&Socket) -> io::Result<()>,
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

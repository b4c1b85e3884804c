//! Questions to the daemon, on behalf of all listeners.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use monitor_client::types::{Hello, Stats};
use monitor_client::{AsyncClient, Chain, Error};
use tokio::sync::Mutex;
use tokio::time::timeout;

use crate::status::{Snapshot, Status};

/// Time for the daemon's answer. It must end before Prometheus gives up (10 s) and shows no metric at all.
const TIMEOUT: Duration = Duration::from_secs(2);
/// Age up to which an answer serves further scrapes: many scrapers cost the daemon as much as one.
const FRESH: Duration = Duration::from_millis(250);

/// State of the daemon at one moment.
#[derive(Clone, Debug, Default)]
pub struct Scrape {
    /// Time of the answer.
    pub took: Duration,
    /// Answers to `hello` and `stats`; `None`: the daemon is gone, hangs, or refuses.
    pub answer: Option<(Hello, Stats)>,
    /// State of the fleet; `None`: the relay is in no fleet.
    pub fleet: Option<Snapshot>,
}

/// Client that asks for the counters, one scrape at a time.
pub struct Scraper {
    socket: PathBuf,
    fleet: Option<Arc<Status>>,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    client: Option<(AsyncClient, Hello)>,
    latest: Option<(Instant, Arc<Scrape>)>,
    /// Whether the latest scrape succeeded, for the log; `None` before the first.
    up: Option<bool>,
}

impl Scraper {
    /// Creates a scraper of the daemon at `socket`. It connects at the first scrape. `fleet` is the state of the relay's
    /// fleet, if it's in one.
    #[must_use]
    pub fn new(socket: PathBuf, fleet: Option<Arc<Status>>) -> Self {
        Self {
            socket,
            fleet,
            state: Mutex::default(),
        }
    }

    /// Returns the state of the daemon, within about 2 s.
    pub async fn scrape(&self) -> Arc<Scrape> {
        let mut state = self.state.lock().await;
        if let Some((at, scrape)) = &state.latest
            && at.elapsed() < FRESH
        {
            return Arc::clone(scrape);
        }
        let start = Instant::now();
        // Taken out: a connection with a late answer is closed.
        let client = state.client.take();
        let result = timeout(TIMEOUT, self.ask(client)).await;
        let (answer, failure) = match result {
            Ok(Ok((client, hello, stats))) => {
                state.client = Some((client, hello.clone()));
                (Some((hello, stats)), None)
            }
            Ok(Err(error)) => (None, Some(Chain(&error).to_string())),
            Err(_) => (None, Some(format!("no answer within {TIMEOUT:?}"))),
        };
        state.log(failure.as_deref());
        let scrape = Arc::new(Scrape {
            took: start.elapsed(),
            answer,
            fleet: self.fleet.as_ref().map(|fleet| fleet.snapshot()),
        });
        state.latest = Some((Instant::now(), Arc::clone(&scrape)));
        scrape
    }

    async fn ask(
        &self,
        client: Option<(AsyncClient, Hello)>,
    ) -> Result<(AsyncClient, Hello, Stats), Error> {
        if let Some((mut client, hello)) = client {
            match client.stats().await {
                Ok(stats) => return Ok((client, hello, stats)),
                // The daemon was restarted.
                Err(error) if error.is_broken() => {}
                Err(error) => return Err(error),
            }
        }
        let mut client = AsyncClient::connect(&self.socket).await?;
        let hello = client.hello("monitor-relay").await?;
        let stats = client.stats().await?;
        Ok((client, hello, stats))
    }
}

impl State {
    /// Logs changes alone.
    fn log(&mut self, failure: Option<&str>) {
        let was_up = self.up.replace(failure.is_none());
        match failure {
            Some(reason) if was_up != Some(false) => tracing::warn!("monitord is down: {reason}"),
            None if was_up == Some(false) => tracing::info!("monitord is up"),
            _ => {}
        }
    }
}

//! Session: records of one run of the daemon, over one pair of connections.

use std::path::Path;
use std::time::{Duration, Instant};

use monitor_client::types::{SocketsParams, SubscribeParams};
use monitor_client::{Client, Code, Error, Events, Notification};
use monitor_records::{Request, Settling, Source, Tracker};
use serde::Serialize;

use super::output::Output;
use super::signals::Signals;
use crate::context::connect;
use crate::failure::Failure;
use crate::pages;
use crate::show::units::now;

/// Longest wait for an event: signals and the file are looked at between two waits.
const TICK: Duration = Duration::from_millis(250);
/// Interim records are looked for at least this often, so that they are at most this late.
const INTERIM_PASS: Duration = Duration::from_secs(60);

/// State that outlives a session.
pub struct Log<'a> {
    pub socket: &'a Path,
    pub filter: Option<&'a str>,
    pub interim: Duration,
    pub queue: u64,
    pub host: String,
    pub signals: Signals,
    pub out: Output,
    /// `None` until the daemon answered.
    pub tracker: Option<Tracker>,
}

pub struct Session<'a> {
    client: Client,
    events: Events,
    tracker: &'a mut Tracker,
    out: &'a mut Output,
    filter: Option<&'a str>,
    interim: Duration,
    next_pass: Instant,
    settling: Settling,
}

impl<'a> Session<'a> {
    /// Writes records until the log is stopped.
    ///
    /// # Errors
    /// Those of the daemon, after which another session may succeed, and those of the output.
    pub fn run(log: &'a mut Log<'_>) -> Result<(), Failure> {
        let mut client = connect(log.socket)?;
        let hello = client.hello("monitorctl log")?;
        let source = Source {
            host: log.host.clone(),
            instance: hello.instance.unwrap_or_default(),
            mode: hello.capture.mode.into_owned(),
        };
        let filter = log.filter;
        // Before the listing: a connection that ends in between has an event.
        let events = client.subscribe(&SubscribeParams {
            events: Some(Tracker::EVENTS.to_vec()),
            filter: filter.map(str::to_owned),
            queue: Some(log.queue),
            ..SubscribeParams::default()
        })?;
        let interim = log.interim;
        let known = log
            .tracker
            .take_if(|tracker| tracker.source().instance != source.instance);
        if let Some(ended) = known {
            line(&mut log.out, &ended.restarted(now()))?;
        }
        if log.tracker.is_none() {
            let mut tracker = Tracker::new(source, interim);
            log.out.resume(&mut tracker)?;
            log.tracker = Some(tracker);
        }
        let Some(tracker) = log.tracker.as_mut() else {
            return Ok(());
        };
        tracker.listen(now());
        let signals = log.signals.clone();
        let mut session = Session {
            client,
            events,
            tracker,
            out: &mut log.out,
            filter,
            interim,
            next_pass: Instant::now(),
            settling: Settling::new(Instant::now()),
        };
        session.list_ended()?;
        while !signals.is_stopped() {
            session.step()?;
        }
        session.finish()
    }

    /// Handles one event, or waits for it; then everything that is due.
    fn step(&mut self) -> Result<(), Failure> {
        let mut event = self.next(Duration::ZERO)?;
        if event.is_none() {
            // Lines gather while events wait, and are written before the log does.
            self.out.flush()?;
            event = self.next(TICK)?;
        }
        if let Some(event) = event {
            self.settling.on_event(Instant::now());
            self.event(&event)?;
        }
        self.out.maintain(self.tracker)?;
        if Instant::now() >= self.next_pass {
            self.list_open()?;
            self.next_pass = Instant::now() + (self.interim / 5).min(INTERIM_PASS);
        }
        self.count_missing()
    }

    fn next(&mut self, timeout: Duration) -> Result<Option<Notification>, Failure> {
        match self.events.next_within(Some(timeout)) {
            Some(event) => Ok(event?),
            None => Err(Error::Closed.into()),
        }
    }

    fn event(&mut self, event: &Notification) -> Result<(), Failure> {
        match self.tracker.event(event, now()) {
            Request::Nothing => {}
            Request::Info(sockid) => match self.client.info(sockid) {
                Ok(socket) => {
                    if let Some(record) = self.tracker.ended(&socket) {
                        line(self.out, &record)?;
                        self.tracker.written(record.sockid, record.part);
                    }
                }
                Err(Error::Rpc(error)) if error.known_code() == Some(Code::BadSocket) => {
                    self.tracker.gone(sockid);
                }
                Err(error) => return Err(error.into()),
            },
            Request::List => {
                self.list_ended()?;
                self.tracker.listed();
            }
        }
        Ok(())
    }

    /// Writes the records of ended connections that are not written yet.
    fn list_ended(&mut self) -> Result<(), Failure> {
        let params = SocketsParams {
            closed: Some(true),
            filter: self.filter.map(str::to_owned),
            tls: true,
            ..SocketsParams::default()
        };
        let Self {
            client,
            tracker,
            out,
            ..
        } = self;
        pages::pages(client, params, u64::MAX, |sockets| {
            for socket in &*sockets {
                if let Some(record) = tracker.ended(socket) {
                    line(out, &record)?;
                    tracker.written(record.sockid, record.part);
                }
            }
            Ok(())
        })?;
        Ok(())
    }

    /// Writes the interim records that are due.
    fn list_open(&mut self) -> Result<(), Failure> {
        let params = SocketsParams {
            closed: Some(false),
            min_age: Some(self.interim.as_secs_f64()),
            filter: self.filter.map(str::to_owned),
            tls: true,
            ..SocketsParams::default()
        };
        let Self {
            client,
            tracker,
            out,
            ..
        } = self;
        pages::pages(client, params, u64::MAX, |sockets| {
            for socket in &*sockets {
                if let Some(record) = tracker.open(socket, now()) {
                    line(out, &record)?;
                    tracker.written(record.sockid, record.part);
                }
            }
            Ok(())
        })?;
        Ok(())
    }

    fn count_missing(&mut self) -> Result<(), Failure> {
        let lost = self.settling.lost(self.tracker, Instant::now(), now());
        lost.map_or(Ok(()), |lost| line(self.out, &lost))
    }

    /// Writes the number of missing records.
    fn finish(&mut self) -> Result<(), Failure> {
        match self.tracker.lost(now()) {
            Some(lost) => line(self.out, &lost),
            None => Ok(()),
        }
    }
}

fn line(out: &mut Output, value: &impl Serialize) -> Result<(), Failure> {
    out.line(&serde_json::to_vec(value)?)
}

//! Publisher: writes the events of a worker's engine to its event log.

use std::sync::Arc;

use monitor_engine::{Engine, EngineConfig, EngineError, Event, EventKind, Reader, Sink};

use super::entry::Entry;
use super::filter::subject;
use super::{Endpoints, EventKinds, EventLog, Interest};
use crate::packets::PacketLog;

/// Sink of one engine's events.
#[derive(Debug, Default)]
pub struct Publisher {
    /// Kinds that any subscriber needs; empty without subscribers.
    kinds: EventKinds,
    interest: Box<Interest>,
    /// `None` until the first subscription.
    log: Option<Arc<EventLog>>,
    /// Time of the engine, in nanoseconds since the epoch.
    now: u64,
    batch: u32,
    /// Data that may still grow in this batch.
    held: Option<Entry>,
    /// Something was written in this batch.
    touched: bool,
    /// Reader of the engine's own connections.
    reader: Option<Reader>,
    /// `None` unless a client captures packets.
    packet_log: Option<Arc<PacketLog>>,
}

impl Publisher {
    /// Creates an engine with a publisher as its sink.
    pub fn engine(config: EngineConfig) -> Result<Engine<Self>, EngineError> {
        let mut engine = Engine::new(config, Self::default())?;
        engine.sink().reader = Some(engine.reader());
        Ok(engine)
    }

    /// Replaces the interest in events. The previous one is returned through the log's notifier, to be freed there.
    pub fn set_interest(&mut self, interest: Box<Interest>, log: Arc<EventLog>) {
        self.forward();
        self.kinds = interest.kinds();
        let previous = std::mem::replace(&mut self.interest, interest);
        log.notifier().give_back(previous);
        self.log = Some(log);
    }

    /// Replaces the log of packets, and returns the previous one.
    pub fn set_packet_log(&mut self, log: Option<Arc<PacketLog>>) -> Option<Arc<PacketLog>> {
        std::mem::replace(&mut self.packet_log, log)
    }

    /// Returns the log to which the worker writes its packets.
    #[inline(always)]
    #[must_use]
    pub fn packet_log(&self) -> Option<&PacketLog> {
        self.packet_log.as_deref()
    }

    #[cold]
    #[inline(never)]
    fn publish(&mut self, event: Event) {
        let (id, kind) = (subject(&event).0, event.kind());
        if !self.interest.contains(id, kind) {
            return;
        }
        let with_ends = matches!(
            kind,
            EventKind::Opened | EventKind::Closed | EventKind::Evicted
        );
        let ends = self
            .reader
            .as_ref()
            .filter(|_| with_ends)
            .and_then(|reader| reader.connection(id))
            .map(|connection| Endpoints::of(&connection));
        let entry = Entry {
            batch: self.batch,
            time: self.now,
            event,
            ends,
        };
        self.touched = true;
        if self.held.as_mut().is_some_and(|held| held.grow(&entry)) {
            return;
        }
        self.forward();
        if kind == EventKind::Data {
            self.held = Some(entry);
        } else {
            self.push(&entry);
        }
    }

    fn forward(&mut self) {
        if let Some(held) = self.held.take() {
            self.push(&held);
        }
    }

    fn push(&self, entry: &Entry) {
        if let Some(log) = &self.log {
            log.push(entry);
        }
    }
}

impl Sink for Publisher {
    #[inline(always)]
    fn event(&mut self, event: Event) {
        if !self.kinds.is_empty() && self.kinds.contains(event.kind()) {
            self.publish(event);
        }
    }

    #[inline(always)]
    fn time(&mut self, now: u64) {
        self.now = now;
    }

    #[inline(always)]
    fn flush(&mut self) {
        if self.touched {
            self.touched = false;
            self.batch = self.batch.wrapping_add(1);
            self.forward();
            if let Some(log) = &self.log {
                log.notifier().notify();
            }
        }
    }
}

//! Publisher: passes the events of a worker's engine to its subscribers.

use monitor_engine::{Engine, EngineConfig, EngineError, Event, Reader, Sink};

use super::filter::EventKinds;
use super::filter::subject;
use super::subject::Subject;
use super::subscriber::Subscriber;

/// Sink of one engine's events.
#[derive(Debug, Default)]
pub struct Publisher {
    /// Kinds that any subscriber needs; empty without subscribers.
    kinds: EventKinds,
    /// Time of the engine, in nanoseconds since the epoch.
    now: u64,
    /// A subscriber got an event of this batch.
    touched: bool,
    #[expect(
        clippy::vec_box,
        reason = "they go back as they came, without an allocation on this thread"
    )]
    subscribers: Vec<Box<Subscriber>>,
    /// Reader of the engine's own connections.
    reader: Option<Reader>,
}

impl Publisher {
    /// Creates an engine with a publisher as its sink.
    pub fn engine(config: EngineConfig) -> Result<Engine<Self>, EngineError> {
        let mut engine = Engine::new(config, Self::default())?;
        engine.sink().reader = Some(engine.reader());
        Ok(engine)
    }

    /// Adds a subscriber.
    pub fn subscribe(&mut self, subscriber: Box<Subscriber>) {
        self.subscribers.push(subscriber);
        self.update_kinds();
    }

    /// Removes a subscriber, and returns it to the dispatcher.
    pub fn unsubscribe(&mut self, number: u64) {
        let place = self
            .subscribers
            .iter()
            .position(|subscriber| subscriber.number() == number);
        if let Some(place) = place {
            self.subscribers.swap_remove(place).give_back();
        }
        self.update_kinds();
    }

    fn update_kinds(&mut self) {
        self.kinds = self
            .subscribers
            .iter()
            .fold(EventKinds::default(), |kinds, subscriber| {
                kinds.union(subscriber.sees())
            });
    }

    #[cold]
    #[inline(never)]
    fn publish(&mut self, event: &Event) {
        self.touched = true;
        let mut about = Subject::new(subject(event).0, self.reader.as_ref());
        for subscriber in &mut self.subscribers {
            subscriber.on_event(event, self.now, &mut about);
        }
    }
}

impl Sink for Publisher {
    #[inline(always)]
    fn event(&mut self, event: Event) {
        if !self.kinds.is_empty() && self.kinds.contains(event.kind()) {
            self.publish(&event);
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
            self.subscribers
                .iter_mut()
                .for_each(|subscriber| subscriber.flush());
        }
    }
}
